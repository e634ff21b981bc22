package scripting

import (
	"strings"
	"testing"

	"lunamq/core"
	"lunamq/core/packet"
)

// TestVerdicts is the table of SCRIPT-API.md, row by row: what each event's
// verdicts come to. want "" is a script error.
func TestVerdicts(t *testing.T) {
	judged := []string{"connect", "authenticate", "publish", "subscribe", "unsubscribe", "will", "deliver"}
	toldEvents := []string{"connected", "disconnected", "subscribed", "unsubscribed", "dropped", "acked", "session_ended"}
	rows := map[string]map[string]string{ // statement → event → decision
		`return`:              {"*": "pass"},
		`return nil`:          {"*": "pass"},
		`return mqtt.allow()`: {"*": "allow"},
		`return true`:         {"*": "allow"},
		`return mqtt.deny()`:  {"*": "deny not_authorized"},
		`return false`:        {"*": "deny not_authorized"},
		`return mqtt.drop()`:  {"publish": "drop", "will": "drop", "deliver": "drop"},
		`return mqtt.disconnect()`: {"connect": "disconnect not_authorized", "publish": "disconnect not_authorized",
			"subscribe": "disconnect not_authorized", "unsubscribe": "disconnect not_authorized", "deliver": "disconnect not_authorized"},
		`return mqtt.deny("quota_exceeded")`: {"connect": "deny quota_exceeded", "publish": "deny quota_exceeded",
			"subscribe": "deny quota_exceeded", "authenticate": "deny quota_exceeded", "will": "deny quota_exceeded", "deliver": "deny quota_exceeded"},
		`return mqtt.deny("bad_user_name_or_password")`: {"connect": "deny bad_user_name_or_password", "authenticate": "deny bad_user_name_or_password"},
		`return mqtt.deny("banned", "go away")`:         {"connect": "deny banned go away", "authenticate": "deny banned go away"},
		`return mqtt.deny(0x8A)`:                        {"connect": "deny banned", "authenticate": "deny banned"},
		`return mqtt.deny(nil, "why")`:                  {"*": "deny not_authorized why"},
		`return mqtt.deny("topic_name_invalid")`: {"connect": "deny topic_name_invalid", "authenticate": "deny topic_name_invalid", "publish": "deny topic_name_invalid",
			"will": "deny topic_name_invalid", "deliver": "deny topic_name_invalid"},
		`return mqtt.deny("topic_filter_invalid")`: {"subscribe": "deny topic_filter_invalid", "unsubscribe": "deny topic_filter_invalid"},
		`return mqtt.disconnect("administrative_action", "bye")`: {"publish": "disconnect administrative_action bye",
			"subscribe": "disconnect administrative_action bye", "unsubscribe": "disconnect administrative_action bye",
			"deliver": "disconnect administrative_action bye"},
		`return mqtt.disconnect("banned")`:           {"connect": "disconnect banned"},
		`return mqtt.drop("enough")`:                 {"publish": "drop success enough", "will": "drop success enough", "deliver": "drop success enough"},
		`return mqtt.deny("success")`:                {},
		`return mqtt.disconnect(0)`:                  {},
		`return mqtt.deny("granted_qos_1")`:          {},
		`return mqtt.deny("nonsense")`:               {},
		`return mqtt.deny(0x7f)`:                     {},
		`return mqtt.deny(300)`:                      {},
		`return mqtt.deny({})`:                       {},
		`return mqtt.deny("not_authorized", 5)`:      {},
		`return mqtt.deny("not_authorized", "\0")`:   {},
		`return mqtt.deny("not_authorized", "a", 1)`: {},
		`return mqtt.allow(1)`:                       {},
		`return mqtt.drop("a", "b")`:                 {},
		`return true, {}`:                            {},
		`return false, "because"`:                    {},
		`return nil, "error"`:                        {},
		`return mqtt.deny(), 1`:                      {},
		`return "deny"`:                              {},
		`return 1`:                                   {},
		`return {}`:                                  {},
		`return mqtt.deny`:                           {},
		`return ev`:                                  {},
	}
	for statement, row := range rows {
		for _, event := range judged {
			want, ok := row[event]
			if !ok {
				want = row["*"]
			}
			checkVerdict(t, event, statement, want)
		}
		for _, event := range toldEvents {
			want := ""
			if row["*"] == "pass" {
				want = "pass"
			}
			checkVerdict(t, event, statement, want)
		}
	}
}

func checkVerdict(t *testing.T, event, statement, want string) {
	t.Helper()
	r := rules(t, "mqtt.on('"+event+"', function(ev)\n"+statement+"\nend)")
	_, _, d := fire(t, r, event, testClient(packet.V5))
	failed := len(r.log.errors()) > 0
	if want == "" {
		told := events[event].info().told || event == "deliver"
		if !failed {
			t.Errorf("%s: %s: no script error, %+v", event, statement, d)
		}
		if told && d.Verdict != core.Pass || !told && (d.Verdict != core.Deny || d.Reason != packet.UnspecifiedError) {
			t.Errorf("%s: %s: a script error came to %+v", event, statement, d)
		}
		return
	}
	got := d.Verdict.String()
	if d.Reason != 0 {
		got += " " + d.Reason.String()
	}
	if d.Text != "" {
		if d.Reason == 0 {
			got += " success"
		}
		got += " " + d.Text
	}
	if got != want || failed {
		t.Errorf("%s: %s: got %q, want %q; logged %q", event, statement, got, want, r.log.errors())
	}
	if strings.Contains(statement, "mqtt.d") && d.By != "10.lua:2" {
		t.Errorf("%s: %s: by %q", event, statement, d.By)
	}
}

func TestVerdictErrorTexts(t *testing.T) {
	for _, c := range []struct{ event, statement, want string }{
		{"connect", `return mqtt.drop()`, "mqtt.drop() is no verdict for connect: write mqtt.deny(reason)"},
		{"will", `return mqtt.disconnect()`, "mqtt.disconnect() is no verdict for will: write mqtt.drop()"},
		{"connected", `return mqtt.deny()`, "mqtt.deny() is no verdict for connected, which has happened already"},
		{"publish", `return mqtt.deny("banned")`, `mqtt.deny("banned"): publish cannot be refused with it; there are implementation_specific_error, not_authorized, `},
		{"publish", `return mqtt.deny("not_autorized")`, `there is no reason "not_autorized" (did you mean "not_authorized"?)`},
		{"publish", `return true, {topic = "x"}`, "a second value beside true: assign the event's fields instead"},
		{"publish", `return false, "x"`, "a second value beside false: write return mqtt.deny(reason, text)"},
		{"publish", `return mqtt.deny`, "returned a function: a verdict is called"},
		{"publish", `return "deny"`, `returned the string "deny": return nothing, mqtt.allow()`},
	} {
		refusal(t, c.event, c.statement, c.want)
	}
}

func TestUnsubscribeOf3(t *testing.T) {
	for _, v := range []packet.Version{packet.V31, packet.V311} {
		r := rules(t, `mqtt.on("unsubscribe", function(ev) ev.filter = "changed" return mqtt.deny() end)`)
		_, after, d := fire(t, r, "unsubscribe", testClient(v))
		if d.Verdict != core.Pass || strings.Contains(after, "changed") {
			t.Errorf("%s: %+v %s", v, d, after)
		}
		r.failedWith("an unsubscribe of 3.x cannot be refused", "10.lua:1")
		r = rules(t, `mqtt.on("unsubscribe", function(ev) return mqtt.disconnect() end)`)
		if _, _, d := fire(t, r, "unsubscribe", testClient(v)); d.Verdict != core.Disconnect {
			t.Errorf("%s: %+v", v, d)
		}
	}
}

func TestVerdictMadeAtFileScope(t *testing.T) {
	r := rules(t, `
		local refuse = mqtt.deny("quota_exceeded", "later")
		mqtt.on("publish", function() return refuse end)`)
	d, _ := r.publish("a", "")
	if d != (core.Decision{Verdict: core.Deny, Reason: packet.QuotaExceeded, Text: "later", By: "10.lua:2"}) {
		t.Errorf("%+v", d)
	}
	r.clean()
}

func TestOnError(t *testing.T) {
	const source = `
		mqtt.on("publish", "none", function(m) m.topic = "x"; error("boom") end)
		mqtt.on("publish", "deny", {on_error = "deny"}, function(m) m.topic = "x"; error("boom") end)
		mqtt.on("publish", "pass", {on_error = "pass"}, function(m) m.topic = "x"; error("boom") end)
		mqtt.on("publish", "loop", {on_error = "pass", budget = 1000}, function(m) while true do end end)
		mqtt.on("deliver", function(m) m.topic = "x"; error("boom") end)`
	for _, global := range []string{"deny", "pass"} {
		r := rules(t, source, func(o *Options) { o.OnError = global })
		for topic, want := range map[string]string{"none": global, "deny": "deny", "pass": "pass", "loop": "pass"} {
			d, ev := r.publish(topic, "")
			if d.Verdict.String() != want || ev.Message.Topic != topic {
				t.Errorf("global %s, %s: %+v, topic %s", global, topic, d, ev.Message.Topic)
			}
			if want == "deny" && (d.Reason != packet.UnspecifiedError || !strings.HasPrefix(d.By, "10.lua:")) {
				t.Errorf("%s: %+v", topic, d)
			}
		}
		if before, after, d := fire(t, r, "deliver", testClient(packet.V5)); d.Verdict != core.Pass || before != after {
			t.Errorf("deliver: %+v %s", d, after)
		}
		if n := len(r.log.errors()); n != 5 {
			t.Errorf("%d errors logged, want 5: %q", n, r.log.errors())
		}
		for _, c := range r.HandlerCounts() {
			if c.Errors != 1 || c.Verdicts["pass"] != 0 {
				t.Errorf("counted %+v", c)
			}
		}
	}
}

func TestErrorsAreLoggedWithTheirPlaceAndLimited(t *testing.T) {
	r := rules(t, `
		local function inner(m) return m.payload.x.y end
		mqtt.on("publish", "a/+", function(m) inner(m) end)`)
	for range 3 {
		r.publish("a/b", "")
	}
	r.failedWith("a rule failed in its publish handler (a/+)", "by=10.lua:2", "handler=10.lua:3", "filter=a/+", "client=gw-7",
		"source=local function inner(m) return m.payload.x.y end", "traceback=", "err=10.lua:2: in publish handler (a/+): attempt to index")
	r.reportsReset()
	r.publish("a/b", "")
	if lines := r.log.errors(); len(lines) != 2 || !strings.Contains(lines[1], "not_logged=2") {
		t.Errorf("logged %q", lines)
	}
	if c := r.HandlerCounts()[0]; c.Errors != 4 || c.By != "10.lua:3" || c.Event != "publish" || c.Filter != "a/+" {
		t.Errorf("counted %+v", c)
	}
}

func TestCounts(t *testing.T) {
	r := rules(t, `mqtt.on("publish", function(m) if m.topic == "a" then return mqtt.drop() elseif m.topic == "b" then return true end end)`)
	for _, topic := range []string{"a", "a", "b", "c"} {
		r.publish(topic, "")
	}
	if v := r.HandlerCounts()[0].Verdicts; v["drop"] != 2 || v["allow"] != 1 || v["pass"] != 1 || v["deny"] != 0 {
		t.Errorf("%v", v)
	}
}

func TestLargeErrorsAreClipped(t *testing.T) {
	r := rules(t, `mqtt.on("publish", function(m) error(("x"):rep(1000000)) end)`)
	r.publish("a", "")
	r.failedWith("by=10.lua:1", "xxx…")
	if n := len(r.log.errors()[0]); n > maxMessage+maxTraceback+1000 {
		t.Errorf("a line of %d bytes", n)
	}
	if got := loadError(t, `error(("x"):rep(1000000))`); len(got) > 2*maxMessage {
		t.Errorf("a finding of %d bytes", len(got))
	}
}
