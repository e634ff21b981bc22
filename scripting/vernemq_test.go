package scripting

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"lunamq/core"
)

// vernemqTests show, for each section of VERNEMQ.md that has rules, that they do
// what it says.
var vernemqTests = map[string]string{
	"auth_on_register": `
local r = try.connect{ username = "alice", password = "wonderland" }
expect(r):allowed()
expect(r.mount):equals("tenants/alice/")
expect(r.limits.publish_rate):equals(100)
expect(r.vars.role):equals("device")
for _, c in ipairs{ { username = "alice", password = "x" }, { username = "alice" }, { username = "bob", password = "wonderland" }, {} } do
  local r = try.connect(c)
  expect(r):denied("bad_user_name_or_password")
  expect(r.vars.role):is_nil()
end`,
	"auth_on_publish": `
local r = try.publish{ client = { id = "d1", protocol = "3.1.1" }, topic = "devices/d1/status", payload = "on" }
expect(r):allowed()
expect(r.topic):equals("fleet/d1")
expect(r.user_properties:get("from")):equals("d1")
expect(try.publish{ client = { id = "d2" }, topic = "devices/d1/status" }):denied("not_authorized")
expect(try.publish{ topic = "devices/d1/debug" }):dropped()
expect(try.publish{ topic = "devices/d1/other" }):passed()`,
	"auth_on_subscribe": `
local admin = { id = "a", vars = { role = "admin" } }
for _, filter in ipairs{ "secret/#", "secret/x", "#", "+/x" } do
  expect(try.subscribe{ filter = filter }):denied("not_authorized")
  expect(try.subscribe{ filter = filter, client = admin }):passed()
end
local r = try.subscribe{ filter = "old/x", qos = 2 }
expect(r):passed()
expect(r.filter):equals("new/x")
expect(r.qos):equals(1)`,
	"on_deliver": `
local r = try.deliver{ topic = "sensors/1", client = { id = "c" } }
expect(r):passed()
expect(r.topic):equals("view/sensors/1")
expect(try.deliver{ topic = "sensors/1", client = { id = "c", vars = { role = "guest" } } }):dropped()`,
	"on_register, on_client_wakeup, on_client_offline, on_client_gone": `
local function said(r)
  local m = r.published[1]
  return m and m.topic .. " " .. m.payload .. " " .. tostring(m.retain)
end
local c = { id = "c" }
expect(said(try.connected{ client = c, session_present = true })):equals("presence/c back true")
expect(said(try.connected{ client = c, session_present = false })):equals("presence/c new true")
expect(said(try.disconnected{ client = c, by = "network", reason = "keep_alive_timeout" })):equals("presence/c offline: keep_alive_timeout true")
expect(said(try.disconnected{ client = c, by = "takeover", reason = "session_taken_over" })):is_nil()
expect(said(try.session_ended{ client_id = "c", reason = "expired" })):equals("presence/c gone true")
expect(said(try.session_ended{ client_id = "c", reason = "clean_start" })):is_nil()`,
	"kv": `
local bad, good = { username = "u", password = "x" }, { username = "u", password = "secret" }
expect(try.connect(good)):allowed()
for _ = 1, 3 do expect(try.connect(bad)):denied("bad_user_name_or_password") end
expect(try.connect(good)):denied("banned")
clock.advance(61)
expect(try.connect(good)):allowed()`,
	"From a database": `
local directory, ann = { id = "d", username = "directory" }, { id = "a", username = "ann" }
expect(try.publish{ topic = "data/ann/x", client = ann }):denied("not_authorized")
expect(try.publish{ topic = "admin/acl/ann", payload = '{"publish":["data/ann/#"]}', client = ann }):denied()
expect(try.publish{ topic = "data/ann/x", client = ann }):denied()
expect(try.publish{ topic = "admin/acl/ann", payload = '{"publish":["data/ann/#"]}', client = directory }):allowed()
expect(try.publish{ topic = "data/ann/x", client = ann }):allowed()
expect(try.publish{ topic = "data/bob/x", client = ann }):denied("not_authorized")`,
	"vmq_api": `
expect(#try.publish{ topic = "admin/kick", payload = "c", client = { id = "x", username = "eve" } }.kicked):equals(0)
local r = try.publish{ topic = "admin/kick", payload = "c", client = { id = "x", username = "admin" } }
expect(r):dropped()
expect(r.kicked[1].id):equals("c")
expect(r.kicked[1].reason):equals("administrative_action")`,
}

const vernemqPage = "VERNEMQ.md"

// vernemqSections are the sections of the page, by heading.
func vernemqSections(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile(vernemqPage)
	if err != nil {
		t.Fatal(err)
	}
	sections := make(map[string]string)
	for _, s := range strings.Split(string(page), "\n## ")[1:] {
		heading, text, _ := strings.Cut(s, "\n")
		sections[heading] = text
	}
	return sections
}

var luaBlock = regexp.MustCompile("(?s)```lua\n(.*?)```")

func TestVernemqPage(t *testing.T) {
	sections := vernemqSections(t)
	for heading, text := range sections {
		blocks := luaBlock.FindAllStringSubmatch(text, -1)
		if fences := strings.Count(text, "```"); fences != 2*len(blocks) {
			t.Errorf("%s: %d fences and %d blocks of Lua", heading, fences, len(blocks))
		}
		test, tested := vernemqTests[heading]
		switch {
		case len(blocks) == 0 && !tested:
		case len(blocks) != 1 || !tested:
			t.Errorf("%s: %d blocks of Lua, want one, with a test", heading, len(blocks))
		default:
			t.Run(heading, func(t *testing.T) {
				rules(t, blocks[0][1]).clean()
				r := tried(t, blocks[0][1], "test('t', function()"+test+"\nend)")["t"]
				if !r.Passed {
					t.Errorf("%s", r.Failure)
				}
			})
		}
	}
	for heading := range vernemqTests {
		if sections[heading] == "" {
			t.Errorf("no section %q", heading)
		}
	}
}

var pageEvent = regexp.MustCompile("`([a-z_]+)`")

// TestVernemqHooks: the events that the page names in place of hooks are there,
// and what it says of returns is so.
func TestVernemqHooks(t *testing.T) {
	sections := vernemqSections(t)
	n := 0
	for row := range strings.Lines(sections["Hooks"]) {
		cells := strings.Split(row, "|")
		if len(cells) != 5 || !strings.Contains(row, "`") || strings.HasPrefix(cells[1], " VerneMQ") {
			continue
		}
		for _, m := range pageEvent.FindAllStringSubmatch(cells[2], -1) {
			if m[1] == "reason" { // a field of session_ended
				continue
			}
			n++
			rules(t, fmt.Sprintf(`mqtt.on(%q, function() end)`, m[1])).clean()
		}
	}
	if n < 15 {
		t.Errorf("%d events in the table", n)
	}
	for statement, want := range map[string]core.Verdict{
		`return true`: core.Allow, `return false`: core.Deny, `return`: core.Pass, `return nil`: core.Pass, `return mqtt.drop()`: core.Drop,
	} {
		r := rules(t, `mqtt.on("publish", function(msg) `+statement+` end)`)
		if d, _ := r.publish("a", "b"); d.Verdict != want {
			t.Errorf("%s: %s, want %s", statement, d.Verdict, want)
		}
		r.clean()
	}
	for _, statement := range []string{`return true, {}`, `return false, "why"`, `return {}`, `return "ok"`} {
		r := rules(t, `mqtt.on("publish", function(msg) `+statement+` end)`)
		if d, _ := r.publish("a", "b"); d.Verdict != core.Deny {
			t.Errorf("%s: %s", statement, d.Verdict)
		}
		r.failedWith("10.lua:1")
	}
	loadError(t, `mqtt.on("auth_on_publish", function() end)`)
}
