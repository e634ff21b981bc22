package scripting

import (
	"slices"
	"strings"
	"testing"

	"lunamq/core"
	"lunamq/core/packet"
)

func TestPublishEffect(t *testing.T) {
	r := rules(t, `mqtt.on("publish", function(m)
		mqtt.publish{ topic = "out/1", payload = m.payload .. "\0", qos = 2, retain = true, expiry = 5, content_type = "ct", payload_format = 1,
			response_topic = "r", correlation_data = "c", user_properties = {{"a", "b"}}, handlers = true }
		mqtt.publish{ topic = "out/2" }
		mqtt.kick("dev-1")
		mqtt.kick("dev-2", "session_taken_over", { text = "why" })
	end)`)
	ev := newPublish("a", "x")
	r.onPublish(ev)
	r.clean()
	if len(r.host.sent()) != 0 || len(r.host.kicked) != 0 {
		t.Error("effects happened before the event was decided")
	}
	settle(&ev.Turn, false)
	sent := r.host.sent()
	if len(sent) != 2 || sent[0].Topic != "out/1" || sent[1].Topic != "out/2" {
		t.Fatalf("sent %+v", sent)
	}
	m := sent[0]
	if string(m.Payload) != "x\x00" || m.QoS != 2 || !m.Retain || m.Expiry != 5 || m.ContentType != "ct" || m.PayloadFormat != 1 || m.ResponseTopic != "r" ||
		string(m.CorrelationData) != "c" || len(m.UserProperties) != 1 || m.Origin != core.OriginScript || m.Publisher.ID != "$script" {
		t.Errorf("%+v", m)
	}
	if h := r.host.handlers[len(r.host.handlers)-2:]; !h[0] || h[1] {
		t.Errorf("handlers %v", h)
	}
	want := []string{"t1/|dev-1|administrative_action||10.lua:5", "t1/|dev-2|session_taken_over|why|10.lua:6"}
	if !slices.Equal(r.host.kicked, want) {
		t.Errorf("kicked %q", r.host.kicked)
	}
}

func TestEffectsOfRefusals(t *testing.T) {
	for _, c := range []struct {
		after string
		want  []string
	}{
		{`return nil`, []string{"plain", "alarm"}},
		{`return true`, []string{"plain", "alarm"}},
		{`return mqtt.drop()`, []string{"plain", "alarm"}},
		{`return mqtt.deny()`, []string{"alarm"}},
		{`return mqtt.disconnect()`, []string{"alarm"}},
		{`error("boom")`, []string{"alarm"}},
		{`return 5`, []string{"alarm"}},
		{`while true do end`, []string{"alarm"}},
	} {
		r := rules(t, `
			mqtt.on("publish", function() mqtt.publish{topic = "first"} end)
			mqtt.on("publish", {on_error = "pass"}, function()
				mqtt.publish{topic = "plain"}
				mqtt.publish{topic = "alarm", always = true}
				`+c.after+`
			end)`)
		ev := newPublish("a", "")
		d := r.onPublish(ev)
		refused := d.Verdict == core.Deny || d.Verdict == core.Disconnect
		settle(&ev.Turn, refused)
		var got []string
		for _, m := range r.host.sent() {
			got = append(got, m.Topic)
		}
		want := c.want
		if !refused {
			want = append([]string{"first"}, want...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: sent %q, want %q", c.after, got, want)
		}
	}
}

func TestEffectsRefuse(t *testing.T) {
	for _, c := range []struct{ statement, want string }{
		{`mqtt.publish("a", "b")`, "mqtt.publish takes one argument, it got 2"},
		{`mqtt.publish("a")`, "mqtt.publish: want a table"},
		{`mqtt.publish{}`, "mqtt.publish: needs a topic"},
		{`mqtt.publish{topic = "a/+"}`, `mqtt.publish: topic cannot be "a/+"`},
		{`mqtt.publish{topic = "a", payload = 1}`, "mqtt.publish: payload must be a string"},
		{`mqtt.publish{topic = "a", qos = 3}`, "mqtt.publish: qos must be"},
		{`mqtt.publish{topic = "a", qos = false}`, "mqtt.publish: qos must be a number, not false"},
		{`mqtt.publish{topic = "a", retain = "yes"}`, "mqtt.publish: retain must be true or false"},
		{`mqtt.publish{topic = "a", handlers = 1}`, "mqtt.publish: handlers must be true or false"},
		{`mqtt.publish{topic = "a", always = 1}`, "mqtt.publish: always must be true or false"},
		{`mqtt.publish{topic = "a", retained = true}`, `unknown key "retained" (did you mean "retain"?)`},
		{`mqtt.publish{topic = "a", "x"}`, "the keys are names"},
		{`mqtt.publish{topic = "a", dup = true}`, `unknown key "dup"`},
		{`mqtt.kick()`, "mqtt.kick: id must be a string, not nil"},
		{`mqtt.kick("a", "nonsense")`, "mqtt.kick: there is no reason"},
		{`mqtt.kick("a", "bad_user_name_or_password")`, "a server does not disconnect with"},
		{`mqtt.kick("a", nil, "x")`, "the options must be a table"},
		{`mqtt.kick("a", nil, {txt = "x"})`, `unknown key "txt" (did you mean "text"?)`},
		{`for i = 1, 100000 do mqtt.publish{topic = "a"} end`, "budget"},
	} {
		refusal(t, "publish", c.statement, c.want)
	}
}

func TestHostErrorIsLogged(t *testing.T) {
	r := rules(t, `mqtt.on("publish", function() mqtt.publish{topic = "out"} end)`)
	r.Engine.host = failingHost{r.host}
	ev := newPublish("a", "")
	r.onPublish(ev)
	settle(&ev.Turn, false)
	r.failedWith("a message of a rule was not published", "by=10.lua:1", "topic=out", "err=no room")
}

type failingHost struct{ *fakeHost }

func (failingHost) Publish(*core.Turn, core.Message, bool) error { return errNoRoom }

var errNoRoom = &LoadError{Findings: []string{"no room"}}

func TestKickInConnectUsesTheNewMount(t *testing.T) {
	r := rules(t, `mqtt.on("connect", function(c) c.mount = "new/"; mqtt.kick("old") end)`)
	ev := &core.ConnectEvent{ClientID: "a", Protocol: packet.V5}
	ask(r, ev, core.ConnectHook.OnConnect)
	settle(&ev.Turn, false)
	if len(r.host.kicked) != 1 || !strings.HasPrefix(r.host.kicked[0], "new/|old|") {
		t.Errorf("kicked %q", r.host.kicked)
	}
}
