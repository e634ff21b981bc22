package scripting

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lunamq/scripting/sandbox"
)

// checked are the findings of a folder with these files, one text each.
func checked(t *testing.T, files map[string]string) []string {
	t.Helper()
	dir := t.TempDir()
	for name, source := range files {
		writeFile(t, filepath.Join(dir, name), source)
	}
	report, err := Check(context.Background(), Options{Dir: dir, TopicLevels: 8})
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, f := range report.Findings {
		out = append(out, f.Rule+" "+strings.Split(f.String(), "\n")[0])
	}
	return out
}

func TestCheckFindsNothingInTheExamples(t *testing.T) {
	report, err := Check(context.Background(), Options{Dir: "../examples/scripts"})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		t.Error(f)
	}
	if report.Files < 13 || report.Tests < 13 || report.Handlers < 15 {
		t.Errorf("looked at %+v", report)
	}
}

func TestCheckFindings(t *testing.T) {
	for _, c := range []struct{ name, source, want string }{
		{"a global that nobody assigns", "mqtt.on('publish', function(m)\n if tonumbr(m.payload) then return mqtt.drop() end end)",
			`unknown-global 10.lua:2: there is no global "tonumbr" (did you mean "tonumber"?)`},
		{"a global assigned in a handler", "count = 0\nmqtt.on('publish', function(m)\n count = count + 1 end)",
			`sealed-global 10.lua:3: the global "count" is assigned in a handler, where globals are sealed (a missing local?)`},
		{"in a function within a handler", "mqtt.on('publish', function(m)\n local f = function()\n n = 1 end f() end)",
			`sealed-global 10.lua:3: the global "n" is assigned in a handler, where globals are sealed (a missing local?)`},
		{"a name that a library does not have", "mqtt.on('publish', function(m)\n return jsn.x, json.decod(m.payload) end)\njsn = json",
			`unknown-function 10.lua:2: there is no json.decod (did you mean "decode"?)`},
		{"a field that an event does not have", "mqtt.on('publish', function(msg)\n msg.payload = msg.topc end)",
			`unknown-field 10.lua:2: publish event has no field "topc" (did you mean "topic"?)`},
		{"one of its client", "mqtt.on('publish', function(msg)\n local c = msg.client\n return c.usrname == 'x' end)",
			`unknown-field 10.lua:3: client has no field "usrname" (did you mean "username"?)`},
		{"an assigned one", "mqtt.on('will', function(msg)\n msg.topics = 'x' end)",
			`unknown-field 10.lua:2: will event has no field "topics" (did you mean "topic"?)`},
		{"a field that is read-only", "mqtt.on('publish', function(msg)\n msg.client = nil end)",
			`read-only-field 10.lua:2: publish event: client is read-only`},
		{"a method that there is not", "mqtt.on('publish', function(msg)\n msg.user_properties:put('a', 'b') end)",
			`unknown-field 10.lua:2: user_properties has no method "put" (did you mean "get"?)`},
		{"a verdict that is not returned", "mqtt.on('publish', function(msg)\n mqtt.deny() end)",
			`verdict-unused 10.lua:2: mqtt.deny() alone does nothing: write return mqtt.deny(…)`},
		{"a verdict that is not called", "mqtt.on('publish', function(msg)\n return mqtt.drop end)",
			`verdict-uncalled 10.lua:2: mqtt.drop is returned without a call: write return mqtt.drop(…)`},
		{"a local that hides a library", "local time = 5\nmqtt.on('publish', function() end)",
			`unused-shadow 10.lua:1: the local "time" is not used, and hides the library of the same name`},
		{"an option without effect", "mqtt.on('deliver', 'a', {on_error = 'deny'}, function() end)",
			`unused-option 10.lua:1: on_error has no effect on deliver, which goes on whatever its handlers do`},
		{"an option twice", "mqtt.on('publish', {budget = 5, budget = 6}, function() end)",
			`unused-option 10.lua:1: the option budget stands there twice`},
		{"an event that is not registered here", "local function later()\n mqtt.on('publsh', function() end) end",
			`load 10.lua:2: mqtt.on: there is no event "publsh" (did you mean "publish"?)`},
		{"an option that is not read here", "local function later()\n mqtt.on('publish', {buget = 1}, function() end) end",
			`load 10.lua:2: mqtt.on: options: the table has the unknown key "buget" (did you mean "budget"?)`},
		{"a filter of the broker's own", "\nmqtt.on('publish', '$SYS/broker/#', function() end)",
			`filter-never-fits 10.lua:2: the filter "$SYS/broker/#" never matches: $SYS is the broker's own, no client publishes there`},
		{"a filter too deep", "mqtt.on('deliver', 'a/b/c/d/e/f/g/h/i', function() end)",
			`filter-never-fits 10.lua:1: the filter "a/b/c/d/e/f/g/h/i" never matches: topics have at most 8 levels ([limits] topic_levels)`},
		{"a handler behind one that refuses all", "mqtt.on('publish', 'a/#', function() return mqtt.deny() end)\nmqtt.on('publish', 'a/+', function() end)",
			`handler-never-runs 10.lua:2: this handler never runs: the one of 10.lua:1 refuses everything that would come here`},
		{"behind return false", "mqtt.on('connect', function() return false end)\nmqtt.on('connect',\n function() end)",
			`handler-never-runs 10.lua:2: this handler never runs: the one of 10.lua:1 refuses everything that would come here`},
		{"a set that cannot be loaded", "mqtt.on('publish', 'a/#/b', function() end)", `load 10.lua:1: mqtt.on: the filter cannot be "a/#/b": `},
		{"a file that does not compile", "mqtt.on(", `load 10.lua:1: `},
	} {
		got := checked(t, map[string]string{"10.lua": c.source})
		if len(got) != 1 || !strings.HasPrefix(got[0], c.want) {
			t.Errorf("%s: found %q, want %q", c.name, got, c.want)
		}
	}
}

// What is right, if unusual, is let alone.
func TestCheckFindsNothing(t *testing.T) {
	for _, source := range []string{
		"shared = {}\nfunction helper() return shared end\nmqtt.on('publish', function() return helper().x end)",
		"local json = json\nlocal deny = mqtt.deny\nmqtt.on('publish', function(m) if m.topic == 'x' then return deny() end end)",
		"local function f(time) end\nfor type = 1, 2 do f(type) end",
		"mqtt.on('publish', function(m) m = { anything = 1 }; return m.anything == 1 end)",
		"mqtt.on('publish', function(m) for k, v in m.user_properties:each() do m.client.vars[k] = v end m.client.vars.whatever = 1 end)",
		"mqtt.on('publish', function(m) local l = m.level; return l[1] == 'a' and #l == 2 end)",
		// the one between may move a message to where the first does not refuse
		"mqtt.on('publish', 'a/#', function() return mqtt.deny() end)\nmqtt.on('publish', 'b', function(m) m.topic = 'a/1' end)\nmqtt.on('publish', 'a/1', function() end)",
		"mqtt.on('publish', 'a/+', function() return mqtt.deny() end)\nmqtt.on('publish', 'a/#', function() end)",
		"mqtt.on('publish', 'a', function(m) if m.qos == 1 then return mqtt.deny() end end)\nmqtt.on('publish', 'a', function() end)",
		"mqtt.on('subscribe', '$SYS/#', function() return mqtt.deny() end)\nmqtt.on('subscribe', 'a/b/c/d/e/f/g/h/i/j', function() end)",
		"mqtt.on('deliver', 'a/b/c/d/e/f/g/h/#', function() end)",
		"repeat local n = 1 until n == 1\nlocal t = {}\nfunction t.f() end function t:g() return self end\nwhile false do end do local _ = #t end",
		"#!/usr/bin/lua\nlocal x = -1 + 2 .. 'a'\nmqtt.on('connect', function(c) c.limits.queued = 5; c.reply.server_reference = x; return not c.tls or c.tls.subject == x end)",
	} {
		if got := checked(t, map[string]string{"10.lua": source}); len(got) != 0 {
			t.Errorf("%s\nfound %q", source, got)
		}
	}
}

// A set is looked at as one: modules, globals of other files, tests.
func TestCheckWholeSet(t *testing.T) {
	got := checked(t, map[string]string{
		"10.lua":        "local u = require('units')\nmqtt.on('publish', function() return u.f(shared) end)",
		"20.lua":        "shared = 1",
		"lib/units.lua": "local M = {}\nfunction M.f() return oops end\nreturn M",
		"a_test.lua":    "test('x', function() expect(try.publsh{}):passed() end)",
		"b_test.lua":    "test('x', function(",
	})
	want := []string{
		`unknown-function a_test.lua:1: there is no try.publsh (did you mean "publish"?)`,
		`load b_test.lua:1: `,
		`unknown-global lib/units.lua:2: there is no global "oops"`,
	}
	ok := slices.EqualFunc(got, want, strings.HasPrefix)
	if !ok {
		t.Errorf("found %q, want %q", got, want)
	}
	if _, err := Check(context.Background(), Options{Dir: filepath.Join(t.TempDir(), "none")}); err == nil {
		t.Error("a folder that is not there is checked")
	}
}

// FuzzLint holds that no file that compiles, however odd, breaks the linter,
// and that each finding is of one of its lines.
func FuzzLint(f *testing.F) {
	for _, seed := range []string{
		"mqtt.on('publish', 'a/#', {on_error = 'deny'}, function(m) m.topic = m.topc; mqtt.deny() end)",
		"local t = {1, x = 2, [3] = 4}; function t.a.b:c(...) return ... end; repeat local n until n; goto done ::done::",
		"for i = 1, 2 do for k, v in pairs({}) do x, y.z = -i, not #k .. v end end while a and b or c == d do break end",
		"local time = function() return time end\nlocal a, b = 1\na = mqtt.client\nreturn mqtt.drop, (f())",
	} {
		f.Add(seed)
	}
	t, err := newTrial(context.Background(), Options{}, &fileSet{}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(tt *testing.T, source string) {
		if _, err := sandbox.Compile("10.lua", []byte(source)); err != nil {
			return
		}
		l := newLinter(t.tester)
		l.look(script{"10.lua", []byte(source)})
		l.finish()
		for _, finding := range l.findings {
			if finding.Line < 1 || finding.Line > 1+strings.Count(source, "\n") || finding.File != "10.lua" {
				tt.Errorf("%+v of %q", finding, source)
			}
		}
		if len(l.scope) != 0 || len(l.frames) != 1 {
			tt.Errorf("%d locals and %d functions are left open by %q", len(l.scope), len(l.frames), source)
		}
	})
}
