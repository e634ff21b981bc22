package e2e

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"lunamq/core/packet"
)

// attack is the body of a handler that would take the processor, the memory or
// somebody else's event, with p the payload and seen a local of the file.
type attack struct{ name, body string }

var attacks = []attack{
	{"loop", `while true do end`},
	{"pcall in a loop", `while true do pcall(function() while true do end end) end`},
	{"nested pcall", `local function f() pcall(f) while true do end end f()`},
	{"xpcall handler loops", `xpcall(error, function() while true do end end)`},
	{"error in the error handler", `error(select(2, xpcall(function() error("first") end, function() error("second") end)))`},
	{"error with a looping __tostring", `error(setmetatable({}, { __tostring = function() while true do end end }))`},
	{"rep", `local s = ("x"):rep(1e9)`},
	{"rep of rep", `local s = "x" for i = 1, 100 do s = s:rep(10) end`},
	{"doubling", `local s = "x" while true do s = s .. s end`},
	{"find backtracks", `p:find("a*a*a*a*b")`},
	{"match backtracks", `p:match("(.*)b")`},
	{"gmatch backtracks", `for _ in p:gmatch("a*a*b") do end`},
	{"gsub grows", `local s = p for i = 1, 100 do s = s:gsub(".", "%0%0%0%0") end`},
	{"gsub callback loops", `p:gsub(".", function() while true do end end)`},
	{"format grows", `local s = p while true do s = string.format("%s%s%s%s", s, s, s, s) end`},
	{"concat grows", `local t = {} for i = 1, 1e9 do t[i] = p end local s = table.concat(t)`},
	{"far index", `for i = 1, 1e9 do seen[1e8 + i] = true end`},
	{"sort without order", `local t = {} for i = 1, 5000 do t[i] = i end while true do table.sort(t, function() return true end) end`},
	{"coroutine loops", `coroutine.wrap(function() while true do end end)()`},
	{"coroutines in coroutines", `local function f() coroutine.wrap(f)() end f()`},
	{"many coroutines", `for i = 1, 1e9 do seen[i] = coroutine.create(function() coroutine.yield() end) coroutine.resume(seen[i]) end`},
	{"deep recursion", `local function f(n) return 1 + f(n + 1) end f(1)`},
	{"recursive __index", `local t = setmetatable({}, { __index = function(t, k) return t[k + 1] end }) return t[1]`},
	{"deep json", `json.decode(("["):rep(100000))`},
	{"circular json", `local t = {} t.t = t json.encode(t)`},
	{"huge kv value", `kv.set("k", p:rep(5000))`},
	{"kv flood", `for i = 1, 1e9 do kv.set("k" .. i, p) end`},
	{"publish flood", `for i = 1, 1e9 do mqtt.publish{ topic = "flood", payload = p } end`},
	{"huge payload", `for i = 1, 1e9 do msg.payload = msg.payload .. msg.payload end`},
	{"huge topic", `msg.topic = ("x"):rep(70000)`},
	{"invalid topic", `msg.topic = "a/#"`},
	{"sealed global", `leaked = p`},
	{"poisoned string library", `string.rep = function() return "" end`},
	{"nonsense verdict", `return 42`},
	{"field that is not there", `return msg.playload`},
}

// attackLine is where the first attack stands in its file.
const attackLine = 3

// attackRules is the file of all attacks, one a line.
func attackRules() string {
	var b strings.Builder
	b.WriteString("local seen, kept = {}, nil\n")
	b.WriteString("mqtt.on('publish', 'attack/kept', function(msg) if kept then return kept.topic end kept = msg end)\n")
	for i, a := range attacks {
		fmt.Fprintf(&b, "mqtt.on('publish', 'attack/%d', function(msg) local p = msg.payload; %s end)\n", i, a.body)
	}
	return b.String()
}

// TestHostileRules runs rules that would hold or end the broker, on an
// attacker's topics: each is a script error that names its line, the event is
// refused, and a healthy pair goes on through a rule of the same world.
func TestHostileRules(t *testing.T) {
	p := start(t, setup{rules: map[string]string{
		"10-healthy.lua": `mqtt.on("publish", "healthy/#", function(msg) msg.payload = msg.payload .. "" end)`,
		"50-attacks.lua": attackRules(),
	}})
	healthy := startPair(p)
	attacker := connectSocket(t, p.addr("local"), packet.V5, "attacker")
	payload := bytes.Repeat([]byte("a"), 100<<10)
	for i, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			attacker.t = t
			if code := attacker.publish(fmt.Sprintf("attack/%d", i), payload); !code.IsError() {
				t.Errorf("acknowledged with %s", code)
			}
			p.waitFor(fmt.Sprintf(`by=50-attacks.lua:%d `, attackLine+i))
			healthy.goesOn(t)
		})
	}
	t.Run("event kept and touched later", func(t *testing.T) {
		attacker.t = t
		if code := attacker.publish("attack/kept", payload); code.IsError() {
			t.Errorf("an event that is kept is refused with %s", code)
		}
		if code := attacker.publish("attack/kept", payload); !code.IsError() {
			t.Errorf("an event that was kept can be touched: %s", code)
		}
		p.waitFor("by=50-attacks.lua:2 ")
	})
	healthy.end(t)
	checkMemory(t, p)
}

// checkMemory holds that the program never took what one of the attacks asked
// for.
func checkMemory(t *testing.T, p *program) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if err != nil || m == nil {
		t.Logf("the system does not tell how much memory the program took: %v", err)
		return
	}
	peak, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d MiB at most", peak>>10)
	const limit = 768 << 10
	if peak > limit && !raceDetector { // the detector multiplies it
		t.Errorf("the program took %d MiB", peak>>10)
	}
}
