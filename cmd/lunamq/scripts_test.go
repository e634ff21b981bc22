package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"lunamq/scripting"
)

// TestTroubleOfTheRulesIsShown: worlds that grow, handlers that are paused, events
// that were not put to them.
func TestTroubleOfTheRulesIsShown(t *testing.T) {
	until := time.Date(2026, 1, 2, 12, 30, 0, 0, time.UTC)
	r := &scriptsReport{
		OK: true,
		Worlds: []scripting.WorldLoad{
			{World: 1, Busy: 0.5, Memory: 60 << 20, Waiting: 3},
			{World: 2, Rebuilt: 1},
			{World: 3, Busy: 1, Memory: 1 << 20, Rebuilt: 2},
			{World: 4},
		},
		Handlers: []handlerReport{
			{HandlerCounts: scripting.HandlerCounts{By: "10.lua:1", Event: "publish", Skipped: 77, Paused: &scripting.Paused{Until: &until}}},
			{HandlerCounts: scripting.HandlerCounts{By: "10.lua:2", Event: "connect", Paused: &scripting.Paused{Clients: 2}}},
			{HandlerCounts: scripting.HandlerCounts{By: "10.lua:3", Event: "connect"}},
		},
	}
	var out bytes.Buffer
	facts(&out, r.facts()...)
	r.printHandlers(&out)
	for _, want := range []string{
		"worlds busy  50% (3 wait) 0% 100% 0%\n",
		"world 1: about 60.0 MiB\n", "world 2, rebuilt once, for it grew too large\n", "world 3: about 1.0 MiB, rebuilt 2 times, for it grew too large\n",
		"10.lua:1 publish: paused until 12:30:00 UTC, for it overran again and again\n",
		"10.lua:2 connect: paused for 2 clients, for it overran again and again\n",
		"SKIPPED", "77",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "world 4") || strings.Contains(out.String(), "10.lua:3 connect:") {
		t.Errorf("what is well is shown as well:\n%s", out.String())
	}
}
