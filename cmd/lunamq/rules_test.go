package main

import (
	"encoding/json"
	"strings"
	"testing"

	"lunamq/scripting"
)

const (
	celsius = `mqtt.on("publish", "legacy/+/f", function(msg)
  local f = tonumber(msg.payload)
  if not f then return mqtt.deny("payload_format_invalid") end
  msg.payload = json.encode({ c = (f - 32) * 5 / 9, by = msg.client.id })
  msg.topic   = "devices/" .. msg.level[2] .. "/temperature"
end)
`
	celsiusTest = `test("Fahrenheit becomes Celsius", function()
  local r = try.publish{ client = { id = "gw-7" }, topic = "legacy/42/f", payload = "212" }
  expect(r.verdict):equals("pass")
  expect(r.topic):equals("devices/42/temperature")
  expect(json.decode(r.payload).c):equals(100)
end)
test("garbage is refused", function()
  expect(try.publish{ topic = "legacy/42/f", payload = "warm" }):denied("payload_format_invalid")
end)
`
	brokenTest = `test("this fails", function()
  expect(try.publish{ topic = "legacy/42/f", payload = "warm" }):passed()
end)
`
)

// run wants an exit code and parts of what is printed.
type run struct {
	args   []string
	code   int
	stdout []string
	stderr []string
}

func (r run) check(t *testing.T, dir string) {
	t.Helper()
	stdout, stderr, code := command(t, dir, r.args...)
	if code != r.code {
		t.Errorf("lunamq %q: exit code %d, want %d\n%s%s", r.args, code, r.code, stdout, stderr)
	}
	for _, list := range []struct {
		name, said string
		want       []string
	}{{"stdout", stdout, r.stdout}, {"stderr", stderr, r.stderr}} {
		if len(list.want) == 0 && list.said != "" {
			t.Errorf("lunamq %q: %s is\n%swant nothing", r.args, list.name, list.said)
		}
		for _, want := range list.want {
			if !strings.Contains(list.said, want) {
				t.Errorf("lunamq %q: %s is\n%swant %q in it", r.args, list.name, list.said, want)
			}
		}
	}
}

func TestCheckCommand(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "rules/20-celsius.lua", celsius)
	write(t, dir, "rules/20-celsius_test.lua", celsiusTest)
	write(t, dir, "bad/10.lua", "mqtt.on('publish', function(msg)\n  mqtt.deny()\n  return msg.topc\nend)\n")
	write(t, dir, "deep.toml", "[scripting]\ndir = \"rules\"\n[limits]\ntopic_levels = 2\n")
	for _, r := range []run{
		{args: []string{"check", "rules"}, stdout: []string{"rules: good: 1 file, 1 handler, 1 test file\n"}},
		{args: []string{"check", "--config", "deep.toml"}, code: exitError, stdout: []string{"20-celsius.lua:1: the filter \"legacy/+/f\" never matches: topics have at most 2 levels"}},
		{args: []string{"check", "bad"}, code: exitError, stdout: []string{
			"10.lua:2: mqtt.deny() alone does nothing: write return mqtt.deny(…)\n    mqtt.deny()\n",
			"10.lua:3: publish event has no field \"topc\" (did you mean \"topic\"?)\n    return msg.topc\n"}},
		{args: []string{"check"}, code: exitUsage, stderr: []string{"no folder of rules"}},
		{args: []string{"check", "none"}, code: exitError, stderr: []string{"none"}},
		{args: []string{"check", "a", "b"}, code: exitUsage, stderr: []string{"lunamq --help"}},
	} {
		r.check(t, dir)
	}
	stdout, _, _ := command(t, dir, "check", "bad", "--json")
	var report scripting.CheckReport
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || len(report.Findings) != 2 || report.Findings[0].Rule != "verdict-unused" || report.Findings[0].Line != 2 {
		t.Errorf("check --json printed %s, %v", stdout, err)
	}
}

func TestTestCommand(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "rules/20-celsius.lua", celsius)
	write(t, dir, "rules/20-celsius_test.lua", celsiusTest)
	good := []string{"ok    20-celsius_test.lua  Fahrenheit becomes Celsius (", "ok    20-celsius_test.lua  garbage is refused (", "rules: 2 passed, 0 failed ("}
	run{args: []string{"test", "rules"}, stdout: good}.check(t, dir)
	write(t, dir, "rules/99_test.lua", brokenTest)
	for _, r := range []run{
		{args: []string{"test", "rules"}, code: exitError, stdout: []string{good[0], good[1],
			"FAIL  99_test.lua  this fails (", "      99_test.lua:2: expected pass, got deny (payload_format_invalid) by 20-celsius.lua:3\n          expect(try.publish", "rules: 2 passed, 1 failed ("}},
		{args: []string{"test", "rules", "-run", "garb.ge"}, stdout: []string{good[1], "rules: 1 passed, 0 failed ("}},
		{args: []string{"test", "rules", "-run=Fahren"}, stdout: []string{good[0], "rules: 1 passed, 0 failed ("}},
		{args: []string{"test", "rules", "--run", "nothing"}, code: exitError, stderr: []string{`no test in rules has a name that matches "nothing"`}},
		{args: []string{"test", "rules", "--run", "("}, code: exitUsage, stderr: []string{"--run: error parsing regexp"}},
	} {
		r.check(t, dir)
	}
	stdout, _, _ := command(t, dir, "test", "rules", "--json")
	var report scripting.TestReport
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || report.Passed != 2 || report.Failed != 1 || report.Results[2].Failure.At != "99_test.lua:2" {
		t.Errorf("test --json printed %s, %v", stdout, err)
	}
	write(t, dir, "rules/30.lua", "mqtt.on(")
	run{args: []string{"test", "rules"}, code: exitError, stderr: []string{"30.lua:1:"}}.check(t, dir)
}

func TestTryCommand(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "rules/20-celsius.lua", celsius)
	write(t, dir, "rules/30.lua", `mqtt.on("connect", function(c) if c.username == "bad" then return c.will.x end if c.password ~= "p" then return mqtt.deny("bad_user_name_or_password", "no") end end)`)
	write(t, dir, "config.toml", "[scripting]\ndir = \"rules\"\n")
	for _, r := range []run{
		{args: []string{"try", "publish", "--topic", "legacy/7/f", "--payload", "212", "--client", "gw"}, stdout: []string{
			"publish: 1 of 1 handler ran\n  20-celsius.lua:1 (legacy/+/f): pass\n      payload: \"212\" -> '{\"c\":100,\"by\":\"gw\"}'\n      topic: \"legacy/7/f\" -> \"devices/7/temperature\"\nverdict: pass\n"}},
		{args: []string{"try", "publish", "--topic", "other", "--qos", "1", "--retain"}, stdout: []string{"publish: 0 of 1 handler ran\nverdict: pass\n"}},
		{args: []string{"try", "connect", "--username", "u", "--password", "x"}, stdout: []string{"  30.lua:1: deny bad_user_name_or_password (\"no\")\nverdict: deny bad_user_name_or_password (\"no\") by 30.lua:1\n"}},
		{args: []string{"try", "connect", "--username", "u", "--password", "p"}, stdout: []string{"verdict: pass\n"}},
		{args: []string{"try", "connect", "--username", "bad"}, code: exitError, stdout: []string{"30.lua:1: in connect handler: attempt to index", "stack traceback"}},
		{args: []string{"try", "subscribe", "--filter", "a/#", "--qos", "1"}, stdout: []string{"subscribe: 0 of 0 handlers ran"}},
		{args: []string{"try", "will", "--topic", "a", "--reason", "keep_alive_timeout"}, stdout: []string{"verdict: pass"}},
		{args: []string{"try", "deliver", "--topic", "a", "--filter", "a/#"}, stdout: []string{"verdict: pass"}},
		{args: []string{"try", "publish", "--topic", "a/#"}, code: exitError, stderr: []string{"topic"}},
		{args: []string{"try", "publish", "--topc", "a"}, code: exitUsage, stderr: []string{"--topc"}},
		{args: []string{"try", "publsh"}, code: exitUsage, stderr: []string{`there is no event "publsh" to try: there are connect, deliver, publish, subscribe, will`}},
	} {
		r.check(t, dir)
	}
	stdout, _, _ := command(t, dir, "try", "publish", "--topic", "legacy/7/f", "--payload", "212", "--json")
	var report scripting.TryReport
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || len(report.Steps) != 1 || report.Fields["topic"] != `"devices/7/temperature"` {
		t.Errorf("try --json printed %s, %v", stdout, err)
	}
}

func TestLuaTypesCommand(t *testing.T) {
	run{args: []string{"lua-types"}, stdout: []string{"---@meta", "---@class lunamq.PublishEvent"}}.check(t, t.TempDir())
}

// Tests before a reload, and at start.
func TestTestBeforeReloadKey(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "rules/20-celsius.lua", celsius)
	write(t, dir, "rules/99_test.lua", brokenTest)
	write(t, dir, "config.toml", "[scripting]\ndir = \"rules\"\ntest_before_reload = true\n[[listener]]\nurl = \"tcp://127.0.0.1:0\"\n")
	_, stderr, code := command(t, dir)
	if code != exitError || !strings.Contains(stderr, `99_test.lua:2: in test "this fails": expected pass, got deny`) {
		t.Errorf("exit code %d:\n%s", code, stderr)
	}
}
