package sandbox

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
	"pgregory.net/rapid"
)

// TestStrings: the results are those of Lua 5.1's lua (5.2 where noted).
func TestStrings(t *testing.T) {
	for source, want := range map[string]string{
		`print(("abc"):byte(), ("abc"):byte(-1), ("abc"):byte(1, -1))`:                                                 "97\t99\t97\t98\t99",
		`print(("abc"):byte(10), (""):byte() == nil)`:                                                                  "nil\ttrue",
		`print(string.char(104, 105), string.char())`:                                                                  "hi\t",
		`print(pcall(string.char, 256))`:                                                                               "false\ttest.lua:1: bad argument #1 to (anonymous) (invalid value)",
		`print(("hello"):find("l"), ("hello"):find("xyz"), ("hello"):find(""))`:                                        "3\tnil\t1\t0",
		`print(("hello"):find("", 10), ("hello"):find("l", -2), ("a.b"):find(".", 2, true))`:                           "6\t4\t2\t2",
		`print(("hello"):match("(h)(e)"), ("hello"):match("l+"), ("x"):match("y"))`:                                    "h\tll\tnil",
		`print(("hello world"):gsub("o", "0"))`:                                                                        "hell0 w0rld\t2",
		`print(("abc"):gsub("", "-"))`:                                                                                 "-a-b-c-\t4",
		`print(("hello"):gsub("l", { l = "L" }), (("hello"):gsub("%w", "%0%0", 2)))`:                                   "heLLo\thheello",
		`print(("hello"):gsub("(h)(e)", "%2%1"), (("abc"):gsub("b", "%%")))`:                                           "ehllo\ta%c",
		`print(("$x $y"):gsub("%$(%w+)", function(n) if n == "x" then return 1 end end))`:                              "1 $y\t2",
		`print(("abc"):gsub("^a", "x"), ("aaa"):gsub("^a", "x"))`:                                                      "xbc\txaa\t1",
		`print(pcall(string.gsub, "a", "a", "%2"))`:                                                                    "false\ttest.lua:1: invalid capture index",
		`print(pcall(string.gsub, "a", "a", function() return {} end))`:                                                "false\ttest.lua:1: invalid replacement value (a table)",
		`for k, v in ("a=1, b=2"):gmatch("(%w+)=(%w+)") do print(k, v) end`:                                            "a\t1\nb\t2",
		`for w in ("one two"):gmatch("%a+") do print(w) end`:                                                           "one\ntwo",
		`local n = 0 for p in ("abc"):gmatch("()") do n = n + p end print(n)`:                                          "10",
		`print(("x"):rep(3), ("x"):rep(0), ("x"):rep(-1), ("ab"):rep(2))`:                                              "xxx\t\t\tabab",
		`print(("abc"):reverse(), ("AbÄ"):lower() == "abÄ", ("abä"):upper() == "ABä")`:                                 "cba\ttrue\ttrue",
		`print(("hello"):sub(2), ("hello"):sub(-3, -2), ("hello"):sub(2, 100), ("hello"):sub(4, 2), ("hello"):sub(0))`: "ello\tll\tello\t\thello",
		`print((5):type())`:                       "!",
		`print(("x").len, #"abc", ("abc"):len())`: "function",
		`print(string.format("%d %5d|%-5d|%05d %+d % d", 3.7, 42, 42, 42, 42, 42))`:                                     "3    42|42   |00042 +42  42",
		`print(string.format("%x %X %#x %o %x %u", 255, 255, 255, 8, -1, 7))`:                                           "ff FF 0xff 10 ffffffffffffffff 7",
		`print(string.format("%f %.2f %e %g %g %g %.3g %10.3f|", 1.5, 1.005, 12345.678, 0.1, 1e20, 100000, 1234.5, 2))`: "1.500000 1.00 1.234568e+04 0.1 1e+20 100000 1.23e+03      2.000|",
		`print(string.format("%s %10s|%-10s|%.2s %s %s", "a", "b", "c", "def", nil, true))`:                             "a          b|c         |de nil true",
		`print(string.format("%q", 'a "b"\n\\c\0'))`:                                                                    "\"a \\\"b\\\"\\\n\\\\c\\000\"",
		`print(string.format("%c%c%%", 72, 105), string.format("%5.1f|%5s", 1/0, "ä"))`:                                 "Hi%\t  inf|   ä",
		`print(pcall(string.format, "%d", "x"))`:                                                                        "false\ttest.lua:1: bad argument #2 to (anonymous) (number expected, got string)",
		`print(pcall(string.format, "%d"))`:                                                                             "false\ttest.lua:1: bad argument #2 to (anonymous) (no value)",
		`print(pcall(string.format, "%y", 1))`:                                                                          "false\ttest.lua:1: invalid option '%y' to 'format'",
		`print(pcall(string.format, "%", 1))`:                                                                           "false\ttest.lua:1: invalid option '%' to 'format'",
		`print(("%d"):format("0x10"), ("%s"):format(setmetatable({}, { __tostring = function() return "T" end })))`:     "16\tT",
		`print(#tostring(12):rep(2), (12 .. ""):len())`:                                                                 "4\t2",
	} {
		got, err := eval(t, source)
		switch {
		case want == "!":
			if err == nil {
				t.Errorf("%s: no error", source)
			}
		case err != nil || got != want && !(want == "function" && strings.HasPrefix(got, "function")):
			t.Errorf("%s\ngot  %q, %v\nwant %q", source, got, err, want)
		}
	}
}

// TestStringOracle compares with gopher-lua's library where that one is right.
func TestStringOracle(t *testing.T) {
	L := lua.NewState()
	defer L.Close()
	w := newTestWorld(t, Limits{}, "")
	check := func(t *rapid.T, expr string) {
		source := "return " + expr
		if err := L.DoString("function f() return tostring((" + expr + ")) end"); err != nil {
			t.Fatal(err)
		}
		if err := L.CallByParam(lua.P{Fn: L.GetGlobal("f"), NRet: 1, Protect: true}); err != nil {
			t.Fatal(source, err)
		}
		want := L.Get(-1).String()
		L.SetTop(0)
		if err := w.Run(mustCompile(&testing.T{}, "f.lua", "function f() return tostring(("+expr+")) end")); err != nil {
			t.Fatal(source, err)
		}
		res, err := w.Call(fn(&testing.T{}, w, "f"), CallOptions{}, 1)
		if err != nil || res[0].String() != want {
			t.Fatalf("%s = %v, %v, want %s", expr, res, err, want)
		}
	}
	text := rapid.StringOfN(rapid.SampledFrom([]rune("abcAB 12%,")), 0, 10, -1)
	index := rapid.IntRange(-12, 12)
	rapid.Check(t, func(t *rapid.T) {
		s, u := text.Draw(t, "s"), text.Draw(t, "u")
		i, j := index.Draw(t, "i"), index.Draw(t, "j")
		plain := strings.ReplaceAll(u, "%", "%%")
		check(t, fmt.Sprintf("(%q):upper() .. (%q):lower() .. (%q):reverse() .. #%q", s, s, u, u))
		check(t, fmt.Sprintf("(%q):rep(%d)", s, i))
		check(t, fmt.Sprintf("(%q):find(%q, %d, true) == nil", s, "a"+u, max(1, min(j, len(s)))))
		check(t, fmt.Sprintf("(%q):gsub(%q, %q)", s, "a", plain))
		check(t, fmt.Sprintf("(%q):gsub('%%w', { a = 'x', b = false })", s))
		check(t, fmt.Sprintf("(%q):gsub('(%%a)(%%d)', '%%2%%1')", s))
		check(t, fmt.Sprintf("table.concat({ %q, %q, %d }, %q)", s, u, i, u))
		check(t, fmt.Sprintf("('%%d %%x %%s'):format(%d, %d, %q)", i, max(i, 0), s))
		if i != 0 {
			check(t, fmt.Sprintf("(%q):sub(%d)", s, i))
		}
		if i > 0 && j > 0 {
			check(t, fmt.Sprintf("(%q):sub(%d, %d)", s, i, j))
		}
	})
}

// TestCutCopies: a short piece must not keep a long string in memory.
func TestCutCopies(t *testing.T) {
	long := strings.Repeat("x", 1000)
	if n := testing.AllocsPerRun(10, func() { cut(nil, long, 0, 4) }); n < 2 {
		t.Errorf("a piece of 4 bytes of 1000 took %v allocations, want a copy and its header", n)
	}
	if n := testing.AllocsPerRun(10, func() { cut(nil, long, 0, 900) }); n > 1 {
		t.Errorf("a piece of 900 bytes of 1000 took %v allocations, want only its header", n)
	}
}

// TestLongStrings: what is copied in pieces is what is copied at once, at the borders of a piece.
func TestLongStrings(t *testing.T) {
	w := newTestWorld(t, Limits{Budget: 100_000_000}, `
		function concat(a, b) return a .. b .. a end
		function rep(a, b) return a:rep(3) end
		function list(a, b) return table.concat({ a, b, a }, b) end
		function format(a, b) return ("%s<%s>%s"):format(b, a, a) end
		function gsub(a, b) return (("1212"):gsub(".", { ["1"] = a, ["2"] = b })) end
		function reverse(a, b) return a:reverse() end
		function upper(a, b) return a:upper() end
		mt = { __concat = function(a, b) return "meta" end }
		function meta(a, b) return setmetatable({}, mt) .. (a .. b) end`)
	for _, n := range []int{0, 1, pieceSize/2 - 1, pieceSize / 2, pieceSize - 1, pieceSize, pieceSize + 1, 3*pieceSize + 5} {
		a, b := strings.Repeat("abcdefg", n/7+1)[:n], strings.Repeat("-", n/3)
		back := []byte(a)
		slices.Reverse(back)
		for name, want := range map[string]string{
			"concat": a + b + a, "rep": a + a + a, "list": a + b + b + b + a, "format": b + "<" + a + ">" + a,
			"gsub": a + b + a + b, "reverse": string(back), "upper": strings.ToUpper(a), "meta": "meta",
		} {
			res, err := w.Call(fn(t, w, name), CallOptions{}, 1, lua.LString(a), lua.LString(b))
			if err != nil || string(res[0].(lua.LString)) != want {
				t.Errorf("%s of %d bytes: %v", name, n, err)
			}
		}
	}
}

// TestBuiltBytesArePaid: each byte that is built is paid once, however it is built.
func TestBuiltBytesArePaid(t *testing.T) {
	const n = 1 << 20
	for name, body := range map[string]string{
		"concat": `return s .. ""`, "rep": `return s:rep(1)`, "list": `return table.concat({ s, "" })`, "reverse": `return s:reverse()`,
		"format": `return ("%s%s%d%s"):format("", s, 1, "")`, "gsub": `return (s:gsub("^x", "y"))`,
	} {
		w := newTestWorld(t, Limits{}, "function build(s) "+body+" end")
		if _, err := w.Call(fn(t, w, "build"), CallOptions{}, 1, lua.LString(strings.Repeat("x", n))); err != nil {
			t.Fatal(name, err)
		}
		if got, want := w.Used(), int64(n/builtPerInstruction); got < want || got > 2*want {
			t.Errorf("%s: charged %d instructions, want %d to %d", name, got, want, 2*want)
		}
	}
}
