package sandbox

import (
	"fmt"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
	"pgregory.net/rapid"
)

func TestTables(t *testing.T) {
	for source, want := range map[string]string{
		`local t = { 1, 2, 3 } table.insert(t, 4) table.insert(t, 1, 0) table.insert(t, 3, 1.5) print(table.concat(t, " "))`:                    "0 1 1.5 2 3 4",
		`local t = { 1, 2, 3 } print(table.remove(t), table.remove(t, 1), #t, table.remove(t, 5), table.remove({}))`:                            "3\t1\t1\tnil",
		`print(table.concat({}), table.concat({ 1, 2.5, "x" }, ", "), table.concat({ 1, 2, 3 }, "-", 2), table.concat({ 1, 2, 3 }, "-", 2, 2))`: "\t1, 2.5, x\t2-3\t2",
		`print(pcall(table.concat, { 1, {}, 3 }))`:                                                                                                        "false\ttest.lua:1: invalid value (table) at index 2 in table for 'concat'",
		`print(table.maxn({ 1, 2, [10] = 1, [1e6] = 2, x = 3 }), table.getn({ 1, 2 }))`:                                                                   "1000000\t2",
		`local t = { 3, 1, 2 } table.sort(t) print(unpack(t)) table.sort(t, function(a, b) return a > b end) print(unpack(t))`:                            "1\t2\t3\n3\t2\t1",
		`local t = { "b", "a" } table.sort(t) print(t[1]) print(pcall(table.sort, { 1, nil, 3 }))`:                                                        "a\nfalse\ttest.lua:1: cannot sort a list with a hole (index 2 is nil)",
		`print(pcall(table.insert, { 1 }, 0, 5))`:                                                                                                         "false\ttest.lua:1: bad argument #2 to (anonymous) (position out of bounds)",
		`print(pcall(table.insert, { 1 }))`:                                                                                                               "false\ttest.lua:1: wrong number of arguments to 'insert'",
		`local t = {} table.insert(t, 3, "x") print(t[3], #t)`:                                                                                            "x\t3",
		`local t = { 1, 2, 3 } t[3] = nil t[2] = nil table.insert(t, 9) print(#t, t[2])`:                                                                  "2\t9",
		`print(pcall(table.insert, string, 1), pcall(table.sort, math), pcall(table.remove, _G))`:                                                         "false\tfalse\tfalse\ttest.lua:1: cannot change a read-only table",
		`local t = { 1, 2, 3, a = 1 } local n = 0 for k, v in pairs(t) do n = n + v end for i, v in ipairs(t) do n = n + i end print(n)`:                  "13",
		`local t = { n = 1 } t[1] = "a" t[-1] = "b" t[1.5] = "c" t[70000] = "d" local n = 0 for k, v in pairs(t) do n = n + 1 end print(n, t[70000], #t)`: "5\td\t1",
		`local t = {} for i = 1, 300 do t["k" .. i] = i end for k in pairs(t) do t[k] = nil end print(next(t))`:                                           "nil",
		`local t = { a = 1, b = 2 } for k, v in next, t do t[k] = v * 10 end print(t.a, t.b)`:                                                             "10\t20",
		`local t = { [1] = "a", [2] = "b", [65] = "c" } print(#t >= 2, t[65])`:                                                                            "true\tc",
	} {
		if got, err := eval(t, source); err != nil || got != want {
			t.Errorf("%s\ngot  %q, %v\nwant %q", source, got, err, want)
		}
	}
}

// TestListModel runs random operations on a list, here and in gopher-lua.
func TestListModel(t *testing.T) {
	w := newTestWorld(t, Limits{}, "")
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		b.WriteString("local t = {}\n")
		size := 0
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			v := rapid.IntRange(0, 99).Draw(t, "v")
			switch op := rapid.IntRange(0, 5).Draw(t, "op"); {
			case op == 0 && size > 0:
				fmt.Fprintf(&b, "table.remove(t, %d)\n", rapid.IntRange(1, size).Draw(t, "at"))
				size--
			case op == 1 && size > 0:
				b.WriteString("table.remove(t)\n")
				size--
			case op == 2:
				b.WriteString("table.sort(t, function(a, b) return a > b end)\n")
			case op == 3:
				b.WriteString("table.sort(t)\n")
			case op == 4:
				fmt.Fprintf(&b, "t[#t + 1] = %d\n", v)
				size++
			default:
				fmt.Fprintf(&b, "table.insert(t, %d, %d)\n", rapid.IntRange(1, size+1).Draw(t, "at"), v)
				size++
			}
		}
		b.WriteString("result = table.concat(t, ',') .. ' ' .. #t .. ' ' .. table.maxn(t) .. ' ' .. select('#', unpack(t))")
		L := lua.NewState()
		defer L.Close()
		if err := L.DoString(b.String()); err != nil {
			t.Fatal(err)
		}
		c, err := Compile("list.lua", []byte(b.String()))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Run(c); err != nil {
			t.Fatal(err)
		}
		if got, want := w.Global("result").String(), L.GetGlobal("result").String(); got != want {
			t.Fatalf("%s\ngot  %s\nwant %s", b.String(), got, want)
		}
	})
}

// TestRemovedKeysAreForgotten: a rule that keeps something per client and removes it must not grow.
func TestRemovedKeysAreForgotten(t *testing.T) {
	w := newTestWorld(t, Limits{Budget: 1 << 40, Deadline: 1 << 40}, `
		seen = { first = true }
		function handler() for i = 1, 100000 do seen["client" .. i] = i seen["client" .. i] = nil end end`)
	if _, err := w.Call(fn(t, w, "handler"), CallOptions{}, 0); err != nil {
		t.Fatal(err)
	}
	seen := w.Global("seen").(*lua.LTable)
	if n := len(layout(seen).keys); n > 200 {
		t.Errorf("the table has 1 key and a list of %d", n)
	}
	if k, v := follow(nil, layout(seen), lua.LNil); k != lua.LString("first") || v != lua.LTrue {
		t.Errorf("its first entry is %v = %v", k, v)
	}
}
