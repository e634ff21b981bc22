package sandbox

import (
	"testing"

	lua "github.com/yuin/gopher-lua"
)

// TestKeeps: the functions that cannot keep their first argument are found, and
// no other is taken for one.
func TestKeeps(t *testing.T) {
	for body, want := range map[string]bool{
		`function(m) end`:                                                         false,
		`function(m) return end`:                                                  false,
		`function(m) return true end`:                                             false,
		`function(m) m.topic = "x/" .. m.topic end`:                               false,
		`function(m) if m.qos > 1 then m.qos = 1 end end`:                         false,
		`function(m) if m then return m.topic end end`:                            false,
		`function(m) local t = m.topic kept = t end`:                              false,
		`function(m) for i = 1, m.qos do m.qos = i end end`:                       true, // gopher-lua reads m.qos through a copy of m
		`function(m) m.a, m.b = m.b, m.a end`:                                     true, // through a local
		`function(m) print(m.topic, #m.payload) end`:                              false,
		`function(m) m.level[1] = m.level[2] end`:                                 false,
		`function(m, n) n.x = n end`:                                              false,
		`function(m) return function() return 1 end end`:                          false,
		`function(m) m = nil end`:                                                 false,
		`function(m) return m end`:                                                true,
		`function(m) return 1, m end`:                                             true,
		`function(m) local x = m end`:                                             true,
		`function(m) kept = m end`:                                                true,
		`function(m) print(m) end`:                                                true,
		`function(m) print(1, 2, m) end`:                                          true,
		`function(m) return print(m) end`:                                         true,
		`function(m) return (print(m)) end`:                                       true,
		`function(m) m() end`:                                                     true,
		`function(m) m:get() end`:                                                 true,
		`function(m) m.p:get(m) end`:                                              true,
		`function(m) return function() return m end end`:                          true,
		`function(m) return function() m = 1 end end`:                             true,
		`function(m) local f = function() return function() return m end end end`: true,
		`function(m) kept = { m } end`:                                            true,
		`function(m) kept = { x = m } end`:                                        true,
		`function(m) kept = { [m] = 1 } end`:                                      true,
		`function(m) list[1] = m end`:                                             true,
		`function(m) list[m] = 1 end`:                                             true,
		`function(m) local x = list[m] end`:                                       true,
		`function(m) list[#list + 1] = m end`:                                     true,
		`function(m) m[1] = m end`:                                                true,
		`function(m) local x = list + m end`:                                      true,
		`function(m) local x = m - list end`:                                      true,
		`function(m) local x = -m end`:                                            true,
		`function(m) local x = m .. "" end`:                                       true,
		`function(m) local x = "" .. m end`:                                       true,
		`function(m) return m < list end`:                                         true,
		`function(m) return m == list end`:                                        true,
		`function(m) local x = m or 1 end`:                                        true,
		`function(m) local x = 1 and m end`:                                       true,
		`function(m) for k, v in pairs(m) do end end`:                             true,
		`function(m) for k in m do end end`:                                       true,
		`function(...) kept = ... end`:                                            true,
		`function(m, ...) local x, y = ..., 1 end`:                                false,
		`print`: true,
	} {
		w := NewWorld(Limits{})
		if err := w.Run(mustCompile(t, "keeps.lua", "kept, list, handler = nil, {}, "+body)); err != nil {
			t.Fatal(err)
		}
		if got := Keeps(w.Global("handler").(*lua.LFunction)); got != want {
			t.Errorf("%s: %v", body, got)
		}
	}
}
