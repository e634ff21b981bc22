package scripting

import (
	"fmt"
	"strings"
	"testing"

	"lunamq/core"
	"lunamq/core/packet"
)

// TestClientsOnASocket: rules look at clients, subscribe for them and read
// retained messages, with real connections.
func TestClientsOnASocket(t *testing.T) {
	x := onSocket(t, `
mqtt.on("publish", "who", function(m)
	local ids = {}
	for c in mqtt.clients() do ids[#ids + 1] = c.id end
	table.sort(ids)
	local b, nobody = mqtt.client("b"), mqtt.client("nobody")
	m.payload = table.concat(ids, " ") .. " " .. b.id .. " " .. b.protocol .. " " .. tostring(nobody)
end)
mqtt.on("publish", "join", function(m) mqtt.subscribe("b", m.payload, 1) end)
mqtt.on("publish", "part", function(m) mqtt.unsubscribe("b", m.payload) end)
mqtt.on("publish", "kept/#", function(m) m.retain = true end)
mqtt.on("publish", "what", function(m)
	local all = {}
	for r in mqtt.retained_all("kept/+") do all[#all + 1] = r.level[2] .. "=" .. r.payload end
	m.payload = table.concat(all, " ") .. " " .. mqtt.retained("kept/1").payload .. " " .. tostring(mqtt.retained("kept/none"))
end)
mqtt.on("subscribed", function(e) log.info("subscribed", {who = e.client.id, to = e.filter}) end)`)
	a, b := x.connect("a"), x.connect("b")
	a.subscribe("who", 0)
	a.publish("who", "?")
	a.wantMessage("who", "a b b 5 nil")
	for i := range 70 { // more than two slices
		a.publish1(fmt.Sprintf("kept/%d", i), "x")
	}
	a.publish1("join", "kept/1")
	b.wantMessage("kept/1", "x")
	a.publish1("part", "kept/1")
	a.publish1("kept/1", "y")
	b.ping()
	a.subscribe("what", 0)
	a.publish("what", "?")
	_, got := a.message()
	if n := strings.Count(got, "="); n != 70 || !strings.HasSuffix(got, " y nil") {
		t.Errorf("%d retained messages: %s", n, got)
	}
	if !strings.Contains(strings.Join(x.log.all(), "\n"), "who=b") {
		t.Error("subscribed was not told")
	}
	x.clean()
	a.publish1("join", "kept/1")
	must(t, b.conn.Close())
	for x.broker.Client("", "b") != nil {
		a.ping()
	}
	a.publish1("join", "kept/1")
	if lines := x.log.errors(); len(lines) != 1 || !strings.Contains(lines[0], "there is no such client") {
		t.Errorf("logged %q", lines)
	}
}

func TestClientCallArguments(t *testing.T) {
	for _, c := range []struct{ statement, want string }{
		{`mqtt.client()`, "mqtt.client: id must be a string, not nil"},
		{`mqtt.clients(1)`, "mqtt.clients takes no arguments, it got 1"},
		{`mqtt.subscribe("a")`, "mqtt.subscribe: filter must be a string, not nil"},
		{`mqtt.subscribe("a", "b#")`, "mqtt.subscribe: the filter"},
		{`mqtt.subscribe("a", "\255")`, "mqtt.subscribe: the filter is not valid UTF-8"},
		{`mqtt.subscribe("a", "b", 3)`, "mqtt.subscribe: qos must be a whole number from 0 to 2"},
		{`mqtt.subscribe("a", "b", 0, {}, 1)`, "mqtt.subscribe takes at most 4 arguments"},
		{`mqtt.unsubscribe("a", "b", {}, 1)`, "mqtt.unsubscribe takes at most 3 arguments"},
		{`mqtt.retained("a/+")`, `mqtt.retained: topic cannot be "a/+"`},
		{`mqtt.retained_all("a/#/b")`, "mqtt.retained_all: the filter cannot be"},
		{`mqtt.retained_all("$share/a/b")`, "without $share/group/ here"},
		{`for i = 1, 1e6 do mqtt.subscribe("a", "b") end`, "budget"},
	} {
		refusal(t, "publish", c.statement, c.want)
	}
	for _, call := range []string{`mqtt.client("a")`, `mqtt.clients()`, `mqtt.subscribe("a", "b")`, `mqtt.unsubscribe("a", "b")`, `mqtt.retained("a")`, `mqtt.retained_all("a")`} {
		if text := loadError(t, call); !strings.Contains(text, "while the file loads") {
			t.Errorf("%s: %s", call, text)
		}
	}
}

// manyHost has more clients and retained messages than any budget.
type manyHost struct{ *fakeHost }

func (manyHost) Clients(dst []*core.Client, page int) ([]*core.Client, bool) {
	return append(dst, testClient(packet.V5)), true
}

func (manyHost) Client(string, string) *core.Client { return testClient(packet.V5) }

func TestEndlessWalksEnd(t *testing.T) {
	for _, statement := range []string{
		`for c in mqtt.clients() do end`,
		`local n = 0; for c in mqtt.clients() do n = n + #c.id end`,
		`while true do mqtt.client("a") end`,
	} {
		r := newRig(t, map[string]string{"10.lua": `mqtt.on("publish", function() ` + statement + ` end)`}, func(o *Options) { o.Budget = 100_000 })
		r.host = new(fakeHost)
		r.Engine.host = manyHost{r.host}
		must(t, r.Reload(t.Context()))
		if d, _ := r.publish("a", ""); d.Verdict != core.Deny {
			t.Errorf("%s: %+v", statement, d)
		}
		r.failedWith("budget of 100000 instructions")
	}
}

// TestRetainedObjects are read-only and die with their call.
func TestRetainedObjects(t *testing.T) {
	x := onSocket(t, `
local kept
mqtt.on("publish", "write", function() mqtt.retained("kept").payload = "x" end)
mqtt.on("publish", "later", function() return kept.payload end)
mqtt.on("publish", "keep", function() kept = mqtt.retained("kept") end)`)
	must(t, x.broker.Publish(nil, core.Message{Topic: "kept", Payload: []byte("x"), Retain: true, Origin: core.OriginAdmin}, false))
	c := x.connect("a")
	for _, topic := range []string{"write", "keep", "later"} {
		c.publish1(topic, "")
	}
	log := strings.Join(x.log.errors(), "\n")
	for _, want := range []string{"retained message: payload is read-only", "event object used after its handler returned"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q: %s", want, log)
		}
	}
}
