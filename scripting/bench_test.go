package scripting

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
)

// handlers10k are rules with 10 000 handlers of which one matches "site/7/temp".
func handlers10k() string {
	return `for i = 1, 10000 do mqtt.on("publish", "site/" .. i .. "/temp", function() end) end`
}

func publishHookOf(tb testing.TB, source string) core.PublishHook {
	tb.Helper()
	h, ok := hookOf[core.PublishHook](rules(tb, source, func(o *Options) { o.Budget = 10_000_000 }).host)
	if !ok {
		tb.Fatal("no publish hook")
	}
	return h
}

func benchmarkPublish(b *testing.B, source, topic, payload string) {
	h := publishHookOf(b, source)
	ev := newPublish(topic, payload)
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as the program has it where little is in use: gc_heap_minimum
	b.ReportAllocs()
	for b.Loop() {
		ev.Message.Topic = topic
		if d := h.OnPublish(ev); d.Verdict == core.Deny {
			b.Fatal(d)
		}
	}
}

// BenchmarkEmptyLuaCall is what the others are held against: gopher-lua as it is,
// with a context, calls an empty function with a userdata.
func BenchmarkEmptyLuaCall(b *testing.B) {
	L := lua.NewState()
	defer L.Close()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	L.SetContext(ctx)
	must(b, L.DoString("function handler(msg) end"))
	call := lua.P{Fn: L.GetGlobal("handler"), NRet: 1, Protect: true}
	ud := L.NewUserData()
	b.ReportAllocs()
	for b.Loop() {
		if err := L.CallByParam(call, ud); err != nil {
			b.Fatal(err)
		}
		L.SetTop(0)
	}
}

func BenchmarkNoFilterMatches(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			source := strings.Replace(handlers10k(), "10000", fmt.Sprint(n), 1)
			benchmarkPublish(b, source, "other/7/temp", "x")
		})
	}
}

func BenchmarkEmptyHandler(b *testing.B) {
	benchmarkPublish(b, `mqtt.on("publish", function(m) end)`, "a/b/c", "x")
}

func BenchmarkEmptyHandlerWithFilter(b *testing.B) {
	benchmarkPublish(b, `mqtt.on("publish", "a/+/c", function(m) end)`, "a/b/c", "x")
}

func BenchmarkOneOfTenThousand(b *testing.B) {
	benchmarkPublish(b, handlers10k(), "site/7/temp", "x")
}

func BenchmarkReadAndSetTopic(b *testing.B) {
	benchmarkPublish(b, `mqtt.on("publish", function(m) m.topic = "new/" .. m.topic end)`, "a/b/c", "x")
}

func BenchmarkJSON(b *testing.B) {
	payload := `{"device":"gw-7","seq":123456,"values":[21.5,21.6,21.7],"unit":"F","status":"ok","meta":{"fw":"1.2.3","uptime":86400,"rssi":-70},"note":"` + strings.Repeat("x", 60) + `"}`
	benchmarkPublish(b, `mqtt.on("publish", function(m) local t = json.decode(m.payload); t.seq = t.seq + 1; m.content_type = json.encode(t) end)`, "a/b/c", payload)
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool allocates under the race detector")
	}
	for name, source := range map[string]string{
		"no match":      handlers10k(),
		"empty":         `mqtt.on("publish", function(m) end)`,
		"empty, filter": `mqtt.on("publish", "a/#", function(m) end)`,
	} {
		h, ev := publishHookOf(t, source), newPublish("a/b", "x")
		if n := testing.AllocsPerRun(1000, func() { h.OnPublish(ev) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
