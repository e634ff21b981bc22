package scripting

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lunamq/core"
)

func tryRules(t *testing.T, rules, event string, fields map[string]any) *TryReport {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "10.lua"), rules)
	report, err := Try(context.Background(), Options{Dir: dir}, event, fields)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestTrySteps(t *testing.T) {
	const rules = `mqtt.on("publish", function(m) if m.client.vars then m.client.vars.n = 1 end end)
mqtt.on("publish", "a/#", function(m) m.topic = "b/1"; m.user_properties:add("k", "v"); m.expiry = 5 end)
mqtt.on("publish", "a/#", function(m) m.payload = "never" end)
mqtt.on("publish", "b/+", function(m) mqtt.publish{ topic = "again", handlers = true } end)
mqtt.on("publish", "b/+", { on_error = "pass" }, function(m) m.payload = "undone"; local x = m.content_type.y end)
mqtt.on("publish", "b/+", function(m) log.info("seen"); if m.origin == "client" then return mqtt.drop("done") end end)
mqtt.on("publish", function(m) m.payload = "never" end)`
	got := tryRules(t, rules, "publish", map[string]any{"topic": "a/1", "payload": "p", "qos": 1.0, "retain": true, "client": map[string]any{"id": "me"}})
	failure := got.Steps[3].Failure
	if failure == nil || failure.headline() != "10.lua:5: in publish handler (b/+): attempt to index a non-table object(nil) with key 'y'" || failure.Traceback == "" ||
		!strings.HasPrefix(failure.Source, `mqtt.on("publish", "b/+", { on_error`) {
		t.Errorf("the failure is %+v", failure)
	}
	got.Steps[3].Failure = nil
	want := &TryReport{
		Event: "publish", Handlers: 7, Verdict: "drop", Text: "done", By: "10.lua:6", Failed: true,
		Steps: []Step{
			{By: "10.lua:1", Event: "publish", Verdict: "pass", Changes: []Change{{"client.vars.n", "nil", "1"}}},
			{By: "10.lua:2", Event: "publish", Filter: "a/#", Verdict: "pass", Changes: []Change{
				{"expiry", "nil", "5"}, {"topic", `"a/1"`, `"b/1"`}, {"user_properties", "nil", `{{"k", "v"}}`}}},
			{By: "10.lua:4", Event: "publish", Filter: "b/+", Verdict: "pass"},
			{By: "10.lua:5", Event: "publish", Filter: "b/+", Verdict: "pass"},
			{By: "10.lua:6", Event: "publish", Filter: "b/+", Verdict: "drop", Text: "done"},
			{By: "10.lua:1", Event: "publish", Verdict: "pass"}, // of the message that a rule made
			{By: "10.lua:7", Event: "publish", Verdict: "pass", Changes: []Change{{"payload", `""`, `"never"`}}},
		},
		Published: []string{`{payload = "never", topic = "again"}`},
		Logs:      []string{"info: seen by=10.lua:6"},
		Fields:    got.Fields,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the report (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{"topic": `"b/1"`, "payload": `"p"`, "client.id": `"me"`, "client.vars.n": "1", "retain": "true", "qos": "1"} {
		if got.Fields[name] != want {
			t.Errorf("%s is %s, want %s", name, got.Fields[name], want)
		}
	}
}

func TestTryConnect(t *testing.T) {
	got := tryRules(t, `mqtt.on("connect", function(c)
  c.limits.queued = 5; c.will = nil; c.username = "root"; c.mount = "t/"
  mqtt.kick("old", nil, { text = "gone", always = true })
  return mqtt.deny("banned", "you")
end)`, "connect", map[string]any{"username": "u", "password": "secret", "will": map[string]any{"topic": "w"}})
	want := []Step{{By: "10.lua:1", Event: "connect", Verdict: "deny", Reason: "banned", Text: "you", Changes: []Change{
		{"limits.queued", "1000", "5"}, {"mount", `""`, `"t/"`}, {"username", `"u"`, `"root"`},
	}}}
	stripped := slices.DeleteFunc(got.Steps[0].Changes, func(c Change) bool { return strings.HasPrefix(c.Field, "will") })
	got.Steps[0].Changes = stripped
	if diff := cmp.Diff(want, got.Steps); diff != "" {
		t.Errorf("the steps (-want +got):\n%s", diff)
	}
	if len(got.Kicked) != 1 || got.Kicked[0] != "old with administrative_action gone by 10.lua:3" {
		t.Errorf("kicked %q", got.Kicked)
	}
	for name, value := range got.Fields {
		if name == "password" || strings.Contains(value, "secret") {
			t.Errorf("the report shows the password: %s = %s", name, value)
		}
	}
}

func TestTryRefuses(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "10.lua"), "")
	for _, c := range []struct {
		event  string
		fields map[string]any
		want   string
	}{
		{"publsh", nil, `there is no event "publsh" to try (did you mean "publish"?)`},
		{"publish", map[string]any{"topc": "x"}, `unknown key "topc" (did you mean "topic"?)`},
		{"publish", map[string]any{"topic": 5}, "topic: a int is no string, float64, bool or map[string]any"},
		{"publish", map[string]any{"topic": "x", "qos": 7.0}, "qos must be a whole number from 0 to 2"},
	} {
		if _, err := Try(context.Background(), Options{Dir: dir}, c.event, c.fields); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("try %s %v: %v, want %q", c.event, c.fields, err, c.want)
		}
	}
	if _, err := Try(context.Background(), Options{Dir: filepath.Join(dir, "none")}, "connect", nil); err == nil {
		t.Error("a folder that is not there is tried")
	}
	if !slices.Contains(TryEvents(), "publish") {
		t.Errorf("there are %q to try", TryEvents())
	}
}

// Every event can be tried, and rules that are in force are not traced.
func TestTryKnowsEveryEvent(t *testing.T) {
	for _, name := range eventNames {
		if _, shown := events[name].(shownEvent); !shown {
			continue
		}
		if trials[name] == nil || trials[name].event() != events[name] {
			t.Errorf("%s cannot be tried", name)
		}
	}
	r := rules(t, `mqtt.on("publish", function() end)`)
	if r.current.trial != nil {
		t.Error("the running set is in a trial")
	}
	ev := newPublish("a", "x")
	h, _ := hookOf[core.PublishHook](r.host)
	if n := testing.AllocsPerRun(1000, func() { h.OnPublish(ev) }); n != 0 && !raceEnabled {
		t.Errorf("a publish handler with an empty body allocates %v times", n)
	}
}
