package scripting

import (
	"context"
	"strings"
	"testing"
)

const version2Test = `test("the new version", function()
  expect(try.publish{ topic = "a" }.payload):equals("2")
end)`

func tested(o *Options) { o.TestBeforeReload = true }

// A set takes over only when its tests pass; a mended test is enough. Tests do
// nothing to rules that run.
func TestTestBeforeReload(t *testing.T) {
	l := startLive(t, map[string]string{"10.lua": mark("a", "1")}, func(l *live) { tested(&l.options) })
	l.write("a_test.lua", version2Test)
	l.write("10.lua", mark("a", "3"))
	l.await(func() bool { return !l.Status().OK })
	err := l.Status().Err
	if want := "a_test.lua:2: in test \"the new version\": expected \"2\"\n     got \"3\"\n    expect(try.publish{ topic = \"a\" }.payload):equals(\"2\")"; err != want {
		t.Errorf("the status says %q, want %q", err, want)
	}
	if got := l.says("a"); got != "1" || l.Status().Generation != 1 {
		t.Errorf("%q runs, status %+v", got, l.Status())
	}
	l.write("10.lua", mark("a", "2"))
	l.awaitSays("a", "2")
	l.await(func() bool { return l.Status().OK })
	l.write("10.lua", mark("a", "4"))
	l.await(func() bool { return !l.Status().OK })
	l.write("a_test.lua", "test('x', function() expect(try.publish{ topic = 'a' }.payload):equals('4') end)")
	l.awaitSays("a", "4") // the test alone was mended
	must(t, l.Reload(context.Background()))
	before := l.Status()
	l.write("a_test.lua", "test('x', function() error('no') end)")
	must(t, l.Reload(context.Background()))
	if s := l.Status(); !s.OK || s.Generation != before.Generation {
		t.Errorf("a test alone changed the status from %+v to %+v", before, s)
	}
	l.write("10.lua", mark("a", "1")+"mqtt.on(")
	if err := l.Reload(context.Background()); err == nil || !strings.Contains(err.Error(), "10.lua:") {
		t.Errorf("a set that does not compile: %v", err)
	}
}

// At start, too, a set whose tests fail is a broken set.
func TestTestBeforeStart(t *testing.T) {
	files := map[string]string{"10.lua": mark("a", "1"), "a_test.lua": version2Test}
	r := newRig(t, files, tested)
	if err := r.Reload(context.Background()); err == nil || !strings.Contains(err.Error(), "a_test.lua:2:") || r.host.registered != 0 {
		t.Errorf("loaded with %v, %d registered", err, r.host.registered)
	}
	files["a_test.lua"] = "test("
	if err := newRig(t, files, tested).Reload(context.Background()); err == nil || !strings.Contains(err.Error(), "a_test.lua:1:") {
		t.Errorf("loaded with %v", err)
	}
	if err := newRig(t, files).Reload(context.Background()); err != nil {
		t.Errorf("tests that are not asked for are loaded: %v", err)
	}
}

// What tests do stays in their worlds.
func TestTestsLeaveNoTrace(t *testing.T) {
	r := newRig(t, map[string]string{
		"10.lua": `local l = rate.limiter(1, 1)
mqtt.on("publish", function(m)
  mqtt.publish{ topic = "made" }
  mqtt.kick("x")
  log.warn("heard")
  if l:allow("k") then m.payload = tostring(kv.get("k")) end
  kv.set("k", 1)
end)`,
		"a_test.lua": `test("x", function() for i = 1, 3 do try.publish{ topic = "a" } end end)`,
	}, tested)
	must(t, r.Reload(context.Background()))
	if len(r.host.sent()) != 0 || len(r.host.kicked) != 0 || strings.Contains(strings.Join(r.log.all(), " "), "heard") {
		t.Errorf("the tests published %v, kicked %v, logged %q", r.host.sent(), r.host.kicked, r.log.all())
	}
	if _, ev := r.publish("a", ""); string(ev.Message.Payload) != "nil" {
		t.Errorf("the first event sees %q of the tests", ev.Message.Payload)
	}
}
