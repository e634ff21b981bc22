package scripting

import (
	"context"
	"errors"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// trialRules are rules to try: each topic has one of each verdict.
const trialRules = `
local limiter = rate.limiter(1, 1)
mqtt.on("publish", "v/#", function(m)
  local v = m.level[2]
  if v == "allow" then return mqtt.allow() end
  if v == "deny" then return mqtt.deny("quota_exceeded", "too much") end
  if v == "drop" then return mqtt.drop("thinned") end
  if v == "disconnect" then return mqtt.disconnect("quota_exceeded") end
  if v == "error" then return m.payload.x.y end
end)
mqtt.on("publish", "do", function(m)
  mqtt.publish{ topic = "copy", payload = m.payload, qos = 1, user_properties = {{"a", "b"}} }
  mqtt.publish{ topic = "again", payload = "x", handlers = true }
  mqtt.publish{ topic = "v/drop", handlers = true }
  mqtt.kick("other", "quota_exceeded", { text = "out" })
  log.warn("careful", { n = 1, ok = true, who = m.client.id })
  m.client.vars.seen = true
  m.topic, m.retain = "done/" .. kv.incr("n"), true
end)
mqtt.on("publish", "again", function(m) m.payload = m.origin end)
mqtt.on("publish", "refused", function()
  mqtt.publish{ topic = "lost" }
  mqtt.publish{ topic = "alarm", always = true }
  return mqtt.deny()
end)
mqtt.on("publish", "limited", function(m) if not limiter:allow("k") then return mqtt.drop() end end)
mqtt.on("publish", "ttl", function(m) if not kv.add("ttl", 1, 10) then return mqtt.drop() end end)
mqtt.on("deliver", "bad", function(m) error("deliver broke") end)
mqtt.on("publish", "many", function() for i = 1, 1500 do mqtt.publish{ topic = "m" } end end)
`

// tried runs test bodies against rules and returns the results by name.
func tried(t *testing.T, rules, tests string) map[string]TestResult {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "10.lua"), rules)
	writeFile(t, filepath.Join(dir, "a_test.lua"), tests)
	report, err := Test(context.Background(), Options{Dir: dir}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]TestResult)
	for _, r := range report.Results {
		out[r.Name] = r
	}
	if len(out) != report.Passed+report.Failed {
		t.Fatalf("%d results, %d passed, %d failed", len(out), report.Passed, report.Failed)
	}
	return out
}

// body is the result of one test with this body.
func body(t *testing.T, statement string) TestResult {
	t.Helper()
	return tried(t, trialRules, "test('t', function()\n"+statement+"\nend)")["t"]
}

func TestTryAndExpect(t *testing.T) {
	for _, statement := range []string{
		`expect(try.publish{topic="v/x"}):passed(); expect(try.publish{topic="v/allow"}):allowed(); expect(try.publish{topic="v/drop"}):dropped()`,
		`expect(try.publish{topic="v/deny"}):denied(); expect(try.publish{topic="v/deny"}):denied("quota_exceeded"):denied(0x97); expect(try.publish{topic="v/disconnect"}):disconnected("quota_exceeded")`,
		`local r = try.publish{topic="v/deny"}; expect(r.verdict):equals("deny"); expect(r.reason):equals("quota_exceeded"); expect(r.text):equals("too much"); expect(r.by):equals("10.lua:6")`,
		`local r = try.publish{topic="v/x"}; expect(r.verdict):equals("pass"); expect(r.reason):is_nil(); expect(r.by):is_nil(); expect(r.text):is_nil()`,
		`expect(try.publish{topic="v/error"}):fails():fails("attempt to index"):fails("10.lua:9: in publish handler %(v/#%)")`,
		`local r = try.publish{topic="v/error"}; expect(#r.errors):equals(1); expect(r.verdict):equals("deny"); expect(r.reason):equals("unspecified_error")`,
		`local r = try.publish{topic="do", payload="p", client={id="me"}}
		 expect(r):passed(); expect(r.topic):equals("done/1"); expect(r.retain):equals(true); expect(r.level[2]):equals("1"); expect(#r.level):equals(2)
		 expect(#r.published):equals(2); expect(r.published[1].topic):equals("copy"); expect(r.published[1].payload):equals("p"); expect(r.published[1].handlers):equals(false)
		 expect(r.published[1].user_properties):equals{{"a","b"}}; expect(r.published[2].payload):equals("script"); expect(r.published[2].handlers):equals(true)
		 expect(#r.kicked):equals(1); expect(r.kicked[1].id):equals("other"); expect(r.kicked[1].reason):equals("quota_exceeded"); expect(r.kicked[1].text):equals("out"); expect(r.kicked[1].by):matches("^10.lua:%d+$")
		 expect(#r.logs):equals(1); expect(r.logs[1].level):equals("warn"); expect(r.logs[1].text):equals("careful"); expect(r.logs[1].fields.n):equals(1); expect(r.logs[1].fields.ok):equals(true); expect(r.logs[1].fields.who):equals("me")
		 expect(r.client.vars.seen):equals(true); expect(r.client.vars):equals{seen = true}; expect(r.event.topic):equals(r.topic); expect(kv.get("n")):equals(1)`,
		`local r = try.publish{topic="refused"}; expect(r):denied("not_authorized"); expect(#r.published):equals(1); expect(r.published[1].topic):equals("alarm")`,
		`expect(#try.publish{topic="many"}.published):equals(1000)`,
		`expect(try.publish{topic="limited"}):passed(); expect(try.publish{topic="limited"}):dropped(); clock.advance(1); expect(try.publish{topic="limited"}):passed()`,
		`expect(try.publish{topic="ttl"}):passed(); clock.advance(9.5); expect(try.publish{topic="ttl"}):dropped(); clock.advance(0.5); expect(try.publish{topic="ttl"}):passed()`,
		`expect(clock.now()):equals(1767225600); expect(time.now()):equals(clock.now()); expect(clock.advance(1.5).published):equals({}); expect(time.now()):equals(1767225601.5)`,
		`local a = os.time(); clock.advance(100000); expect(os.time() - a):equals(100000); expect(os.date("!%F")):equals("2026-01-02")`,
		`kv.set("n", 41); expect(try.publish{topic="do"}.topic):equals("done/42")`,
		`local r = try.publish{topic="a/b"}; expect(r.qos):equals(0); expect(r.retain):equals(false); expect(r.payload):equals(""); expect(r.origin):equals("client"); expect(r.client.id):exists(); expect(r.client.protocol):equals("5"); expect(r.client.username):is_nil()`,
		`local r = try.publish{topic="a", payload="p", qos=2, retain=true, dup=true, expiry=5, content_type="c", payload_format=1, response_topic="r", correlation_data="d", user_properties={k="v"}, origin="bridge"}
		 expect(r.qos):equals(2); expect(r.dup):equals(true); expect(r.expiry):equals(5); expect(r.correlation_data):equals("d"); expect(r.user_properties:get("k")):equals("v"); expect(r.client.id):equals("$bridge"); expect(r.origin):equals("bridge")`,
		`local r = try.publish{topic="a", client={id="i", username="u", remote="r", listener="l", protocol="3.1.1", mount="m/", connected_at=5, vars={x=1}, tls={common_name="cn"}}}
		 expect(r.client.username):equals("u"); expect(r.client.protocol):equals("3.1.1"); expect(r.client.mount):equals("m/"); expect(r.client.connected_at):equals(5); expect(r.client.vars.x):equals(1); expect(r.client.tls.common_name):equals("cn"); expect(r.client.tls.version):equals("1.3")`,
		`local r = try.connect{client_id="c", username="u", password="p\0", protocol="3.1", clean_start=false, keep_alive=5, will={topic="w", payload="x", qos=1}, limits={queued=5}, vars={a=1}, mount="t/", tls={}}
		 expect(r.password):equals("p\0"); expect(r.will.topic):equals("w"); expect(r.limits.queued):equals(5); expect(r.limits.publish_rate):equals(math.huge); expect(r.receive_maximum):is_nil(); expect(r.clean_start):equals(false); expect(r.keep_alive):equals(5)`,
		`local r = try.connect(); expect(r.client_id):exists(); expect(r.username):is_nil(); expect(r.password):is_nil(); expect(r.will):is_nil(); expect(r.receive_maximum):equals(65535)`,
		`local r = try.will{topic="a", delay=5, reason="keep_alive_timeout"}; expect(r.delay):equals(5); expect(r.reason):equals("keep_alive_timeout"); expect(r):passed()`,
		`local r = try.deliver{topic="a/b", qos=1, subscription={filter="a/#"}}; expect(r.subscription.filter):equals("a/#"); expect(r.subscription.qos):equals(1)`,
		`local r = try.subscribe{filter="$share/g/a/#", qos=1, no_local=false, identifier=3}; expect(r.filter):equals("a/#"); expect(r.share):equals("g"); expect(r.identifier):equals(3); expect(r.retain_handling):equals(0)`,
		`expect(try.unsubscribe{filter="a"}.filter):equals("a"); expect(try.subscribed{filter="$share/g/a", qos=1}.filter):equals("$share/g/a"); expect(try.unsubscribed{filter="a"}.qos):equals(0)`,
		`expect(try.connected{session_present=true}.session_present):equals(true); local r = try.disconnected{reason="normal_disconnection", text="bye", by="network", will="sent"}
		 expect(r.reason):equals("normal_disconnection"); expect(r.text):equals("bye"); expect(r.by):equals("network"); expect(r.will):equals("sent")`,
		`local r = try.dropped{topic="a", cause="expired", publisher={id="p"}}; expect(r.cause):equals("expired"); expect(r.publisher.id):equals("p")`,
		`expect(1):equals(1):differs(2):exists(); expect({a={1,2}}):equals{a={1,2}}; expect({1}):differs{1,2}; expect({1,2}):differs{1}; expect(nil):is_nil(); expect(false):exists()`,
		`expect(0.1+0.2):is_near(0.3); expect(5):is_near(6, 1); expect("abc"):matches("^a.c$"):contains("b"); expect({1,{2}}):contains({2})`,
		`expect(function() error("boom (1)") end):fails():fails("boom (1)"):fails("boom")`,
		`for _, f in ipairs{ function() try.publish{topik="a"} end, function() try.publish{} end, function() try.publish{topic="#"} end, function() try.publish{topic="a", qos=3} end, function() try.publish{topic="a", client={idd=1}} end,
		   function() try.publish(5) end, function() try.publish({}, {}) end, function() try.publish{topic="a", origin="me"} end, function() try.publish{topic="a", client=5} end, function() try.subscribe{} end, function() try.subscribe{filter="a/#/b"} end,
		   function() try.disconnected{by="me"} end, function() try.disconnected{reason="x"} end, function() try.connect{protocol="4"} end, function() try.connect{mount="x"} end, function() try.connect{limits={qeued=1}} end, function() try.connect{will=5} end,
		   function() clock.advance(0) end, function() clock.advance(-1) end, function() clock.advance(1e300) end, function() clock.now(1) end, function() test("x", function() end) end, function() mqtt.publish{topic="a"} end, function() mqtt.on("publish", function() end) end,
		   function() expect() end, function() expect(1, 2) end, function() return expect(1).equal end, function() expect(1).equals(1) end, function() expect(1):equals() end, function() expect(1):passed() end, function() expect(try.connect()):denied("x") end,
		   function() local r = try.connect(); r.verdict = 1 end, function() return try.connect().client end, function() return try.connect()[1] end, function() expect("x"):contains(1) end, function() expect(1):is_near("x") end,
		   function() try.connect{remote=false} end, function() try.publish{topic="a", client={connected_at=-1}} end } do expect(f):fails() end`,
		`expect(function() try.publish{topik="a"} end):fails('the table has the unknown key "topik" (did you mean "topic"?)')
		 expect(function() try.publish{topic="a", client={usrname="x"}} end):fails('client has the unknown key "usrname" (did you mean "username"?)')
		 expect(function() return try.connect().mont end):fails('a result of connect has no field "mont" (did you mean "mount"?)')`,
		`expect(mqtt.match("a/+", "a/b")):equals(true); expect(mqtt.generation):equals(1)`,
	} {
		if r := body(t, statement); !r.Passed {
			t.Errorf("%s\n%s", statement, r.Failure)
		}
	}
}

// Every expectation can fail, at its line, with what was wanted and what came.
func TestExpectationsFail(t *testing.T) {
	for _, c := range []struct{ statement, want string }{
		{`expect(try.publish{topic="v/x"}):denied()`, "expected deny, got pass"},
		{`expect(try.publish{topic="v/deny"}):denied("banned")`, `expected deny with banned, got deny (quota_exceeded, "too much") by 10.lua:6`},
		{`expect(try.publish{topic="v/deny"}):passed()`, `expected pass, got deny (quota_exceeded, "too much") by 10.lua:6`},
		{`expect(try.publish{topic="v/x"}):allowed()`, "expected allow, got pass"},
		{`expect(try.publish{topic="v/x"}):dropped()`, "expected drop, got pass"},
		{`expect(try.publish{topic="v/deny"}):disconnected()`, "expected disconnect, got deny"},
		{`expect(try.publish{topic="v/error"}):denied()`, "expected deny, but a rule failed:\n10.lua:9: in publish handler (v/#): attempt to index"},
		{`expect(try.publish{topic="v/x"}):fails()`, "expected a rule to fail, none did: pass"},
		{`expect(try.publish{topic="v/error"}):fails("other")`, `expected an error with "other", got: 10.lua:9: in publish handler (v/#): attempt`},
		{`expect(function() end):fails()`, "expected an error, there was none"},
		{`expect(1):equals(2)`, "expected 2\n     got 1"},
		{`expect("1"):equals(1)`, "expected 1\n     got \"1\""},
		{`expect(nil):equals(false)`, "expected false\n     got nil"},
		{`expect({1}):differs({1})`, "expected something other than {1}"},
		{`expect(1):is_nil()`, "expected nil, got 1"},
		{`expect(nil):exists()`, "expected something, got nil"},
		{`expect(1):is_near(2, 0.5)`, "expected 2, give or take 0.5, got 1"},
		{`expect("x"):is_near(2)`, `expected 2, give or take 1e-09, got "x"`},
		{`expect("abc"):matches("^b")`, `expected something that matches "^b", got "abc"`},
		{`expect(5):matches("5")`, `expected something that matches "5", got 5`},
		{`expect("abc"):contains("x")`, `expected something that contains "x", got "abc"`},
		{`expect({1,2}):contains(3)`, "expected something that contains 3, got {1, 2}"},
		{`pcall(function() expect(1):equals(2) end)`, "expected 2\n     got 1"},
		{`try.publish{topic="v/error"}`, "a rule failed, and no expectation asks for it: attempt to index"},
		{`try.deliver{topic="bad"}`, "a rule failed, and no expectation asks for it: deliver broke"},
		{`expect(try.publish{topic="v/error"}.topic):equals("x")`, "expected \"x\"\n     got \"v/error\"\nbefore that a rule failed: 10.lua:9: in publish handler (v/#): attempt to index"},
		{`error("boom")`, "boom"},
		{`while true do end`, "the call used up its budget of 1000000 instructions"},
		{`g = 1`, "assignment to global 'g' (a missing 'local'?)"},
	} {
		r := body(t, c.statement)
		if r.Passed || r.Failure == nil || !strings.Contains(r.Failure.Text, c.want) {
			t.Errorf("%s\nfailed with %v, want %q", c.statement, r.Failure, c.want)
			continue
		}
		if !strings.Contains(c.want, "no expectation") && (r.Failure.At != "a_test.lua:2" || r.Failure.Source != c.statement) {
			t.Errorf("%s\nis said to have failed at %s, %q", c.statement, r.Failure.At, r.Failure.Source)
		}
	}
}

func TestDiffs(t *testing.T) {
	long := strings.Repeat("x", 100)
	for _, c := range []struct{ statement, want string }{
		{`expect({name="` + long + `", list={1,2,3}}):equals({name="` + long + `", list={1,2,4}, more=true})`,
			"differs from what was expected (- expected, + got):\n  {\n-   list = {1, 2, 4}\n-   more = true\n+   list = {1, 2, 3}\n    name = \"" + long + "\"\n  }"},
		{`expect("a\nb\nc\n"):equals("a\nB\nc\n")`, "(- expected, + got):\n  \"a\\n\"\n- \"B\\n\"\n+ \"b\\n\"\n  \"c\\n\""},
		{`expect("` + long + `A` + long + `"):equals("` + long + `B` + long + `")`,
			"they differ from byte 101 on (of 201 expected, 201 got):\n  - …\"xxxxxxxxxxxxxxxxxxxxxxxxBxxxxxxxxxxxxxxxxxxxxxxx\"…\n  + …\"xxxxxxxxxxxxxxxxxxxxxxxxAxxxxxxxxxxxxxxxxxxxxxxx\"…"},
		{`expect("` + long + `"):equals("` + long + `y")`, "they differ from byte 101 on (of 101 expected, 100 got):\n  - …\"xxxxxxxxxxxxxxxxxxxxxxxxy\"…\n  + …\"xxxxxxxxxxxxxxxxxxxxxxxx\" ends there"},
		{`expect("a\0\255ü\"\t"):equals("")`, `got 'a\000\255ü"\t'`},
		{`expect({[5]=1, ["two words"]=2, f=print, n=json.null}):equals({})`, `got {["two words"] = 2, [5] = 1, f = (function), n = json.null}`},
		{`local t = {}; t.t = t; expect(t):equals({})`, "{…}"},
	} {
		if r := body(t, c.statement); r.Passed || !strings.Contains(r.Failure.Text, c.want) {
			t.Errorf("%s\nfailed with\n%v\nwant\n%s", c.statement, r.Failure, c.want)
		}
	}
}

// A test finds nothing of another one: neither in kv nor in the locals of the
// rules, the clock, or its own file.
func TestTestsAreIsolated(t *testing.T) {
	const rules = `local n = 0
mqtt.on("publish", function(m) n = n + 1; m.payload = n .. "/" .. kv.incr("n") end)`
	const one = `function()
  mine = nil
  file = file + 1
  expect(file):equals(1)
  expect(try.publish{topic="a"}.payload):equals("1/1")
  expect(try.publish{topic="a"}.payload):equals("2/2")
  expect(clock.now()):equals(1767225600)
  clock.advance(5)
end)`
	source := "local mine\nlocal file = 0\ntest('one', " + one + "\ntest('two', " + one
	source = strings.ReplaceAll(source, "  mine = nil\n", "")
	for name, r := range tried(t, rules, source) {
		if !r.Passed {
			t.Errorf("%s: %s", name, r.Failure)
		}
	}
}

func TestTestFiles(t *testing.T) {
	for _, c := range []struct{ name, source, want string }{
		{"that do not compile", "test('a', function(", "a_test.lua:1: syntax error"},
		{"that fail while they load", "local x = nil\nlocal y = x.z", "a_test.lua:2: attempt to index"},
		{"that try at file scope", "try.connect()", "a_test.lua:1: try.connect: only inside test(name, function() … end)"},
		{"that expect at file scope", "expect(1)", "a_test.lua:1: expect: only inside test"},
		{"with two tests of one name", "test('a', function() end)\ntest('a', function() end)", `a_test.lua:2: test: there is another test "a" in the file`},
		{"with a test without a name", "test('', function() end)", "a_test.lua:1: test: the name has 0 bytes"},
		{"with a test without a function", "test('a')", "a_test.lua:1: test: want (name, function), argument 2 is nil"},
		{"with other tests each time", "test('a' .. math.random(), function() end)", "the file has other tests each time it is loaded"},
	} {
		found := false
		for _, r := range tried(t, trialRules, c.source) {
			found = found || !r.Passed && strings.Contains(r.Failure.String(), c.want)
		}
		if !found {
			t.Errorf("files %s: %+v, want %q", c.name, tried(t, trialRules, c.source), c.want)
		}
	}
}

func TestTestsAreChosen(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "10.lua"), trialRules)
	writeFile(t, filepath.Join(dir, "lib", "u.lua"), "return { two = 2 }")
	writeFile(t, filepath.Join(dir, "a_test.lua"), "local u = require('u')\ntest('first', function() expect(u.two):equals(2) end)\ntest('second', function() log.info('here', {n=1}) error('x') end)")
	writeFile(t, filepath.Join(dir, "b_test.lua"), "test('third', function() end)")
	var told []string
	report, err := Test(context.Background(), Options{Dir: dir}, regexp.MustCompile("^(fir|thi)"), func(r TestResult) { told = append(told, r.File+" "+r.Name) })
	if err != nil || report.Passed != 2 || report.Failed != 0 || strings.Join(told, ", ") != "a_test.lua first, b_test.lua third" {
		t.Errorf("told %q, report %+v, err %v", told, report, err)
	}
	report, err = Test(context.Background(), Options{Dir: dir}, nil, nil)
	if err != nil || report.Passed != 2 || report.Failed != 1 {
		t.Fatalf("report %+v, err %v", report, err)
	}
	if r := report.Results[1]; r.Line != 3 || len(r.Logs) != 1 || !strings.Contains(r.Logs[0], "info: here by=a_test.lua:3 n=1") {
		t.Errorf("the failed test is %+v", r)
	}
	writeFile(t, filepath.Join(dir, "20.lua"), "mqtt.on('publsh', function() end)")
	var load *LoadError
	if _, err := Test(context.Background(), Options{Dir: dir}, nil, nil); !errors.As(err, &load) || !strings.Contains(err.Error(), "20.lua:1:") {
		t.Errorf("tests of a broken set: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Test(ctx, Options{Dir: dir}, nil, nil); err == nil {
		t.Error("tests run although they are given up")
	}
}

// What a trial takes is bounded, whatever rules and tests do.
func TestTrialsAreBounded(t *testing.T) {
	const rules = `local big = ("x"):rep(1000000)
mqtt.on("publish", function() for i = 1, 1000 do mqtt.publish{ topic = "m", payload = big } end end)`
	r := tried(t, rules, `test("t", function()
  local n, logged = 0, 0
  for i = 1, 3 do
    local r = try.publish{ topic = "a" }
    n, logged = n + #r.published, logged + #r.logs
  end
  expect(n):equals(67) -- of 64 MiB
  expect(logged):equals(0)
end)`)["t"]
	if !r.Passed {
		t.Error(r.Failure)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	set := &fileSet{}
	trial, err := newTrial(ctx, Options{}, set, nil)
	if err != nil {
		t.Fatal(err)
	}
	cancel(errors.New("took too long"))
	if _, err := trial.try("connect", trialConnect, nil); err == nil || err.Error() != "took too long" {
		t.Errorf("tried after its time: %v", err)
	}
}
