package sandbox

import (
	"errors"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

// TestCompileErrors: what is wrong with a file is said with its line.
func TestCompileErrors(t *testing.T) {
	for _, c := range []struct{ name, source, want string }{
		{"syntax", "local x = 1\nlocal y = = 2", "f.lua:2: syntax error near '='"},
		{"end of file", "if true then\n\n", "f.lua:1: syntax error near the end of the file"},
		{"string", "local x = 'abc", "f.lua:1: unterminated string near the end of the file"},
		{"break", "\nbreak", "f.lua:2: no loop to break"},
		{"goto", "goto nowhere", "f.lua:1: no visible label 'nowhere' for <goto> at line 1"},
		{"varargs", "function f() return ... end", "f.lua:1: cannot use '...' outside a vararg function"},
		{"deep parentheses", "return " + strings.Repeat("{", 5000) + strings.Repeat("}", 5000), "f.lua:1: too many local variables and arguments at once"},
		{"deep negation", "return " + strings.Repeat("- ", 100000) + "1", "f.lua:1: nested too deeply (1000 levels at most)"},
		{"deep calls", "return " + strings.Repeat("f(", 300) + strings.Repeat(")", 300), "f.lua:1: too many local variables and arguments at once"},
		{"deep blocks", strings.Repeat("do ", 100000) + strings.Repeat("end ", 100000), "f.lua:1: nested too deeply (1000 levels at most)"},
		{"long sum", "return 1" + strings.Repeat("+x", 100000), "f.lua:1: nested too deeply (1000 levels at most)"},
		{"long concat", "return 1" + strings.Repeat(" ..x", 20000), "f.lua:1: too many '..' in one expression (10000 at most)"},
		{"arguments", "\nf(" + strings.Repeat("1,", 300) + "1)", "f.lua:2: too many local variables and arguments at once"},
		{"locals", strings.Repeat("local x = 1\n", 250), "f.lua:191: too many local variables and arguments at once"},
		{"targets", "\nt[k]" + strings.Repeat(",t[k]", 79) + " = f()", "f.lua:2: too many local variables and arguments at once"},
		{"locals without values", "\nlocal a" + strings.Repeat(",a", 250), "f.lua:2: too many local variables and arguments at once"},
		{"functions", strings.Repeat("function f() end ", 3000), "f.lua:1: too many functions in one file (2000 at most)"},
		{"constants", "return {" + strings.Repeat("1,", 24000) + "}, {" + strings.Repeat("1,", 24000) + "}", "f.lua:1: too many constants in one function (32768 at most)"},
		{"items", "local x return {" + strings.Repeat("x,", 26000) + "}", "f.lua:1: too many items in a table constructor (25000 at most)"},
		{"constant target", "\n(\"x\").y = 1", "f.lua:2: cannot assign a field of a constant"},
		{"size", strings.Repeat(" ", maxSource+1), "f.lua:1: file of 1048577 bytes is too long (1048576 at most)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Compile("f.lua", []byte(c.source))
			var e *Error
			if !errors.As(err, &e) || e.Kind != Syntax || err.Error() != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// TestDeepParentheses: they leave no trace in the tree and need none in the stack.
func TestDeepParentheses(t *testing.T) {
	got, err := eval(t, "print("+strings.Repeat("(", 100000)+"7"+strings.Repeat(")", 100000)+")")
	if err != nil || got != "7" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestLongConcat(t *testing.T) {
	got, err := eval(t, "local x = 'a' print(#(x"+strings.Repeat(" .. x", 499)+"))")
	if err != nil || got != "500" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestRuntimeErrors: messages, lines and tracebacks as a person can act on them.
func TestRuntimeErrors(t *testing.T) {
	const head = "local up\nlocal t = {}\nfunction f(arg1)\n"
	for body, want := range map[string]string{
		`return "x" .. arg1`:      "test.lua:4: attempt to concatenate a nil value (local 'arg1')",
		`return "x" .. up .. "y"`: "test.lua:4: attempt to concatenate a nil value (upvalue 'up')",
		"\nreturn 1 .. t.field":   "test.lua:5: attempt to concatenate a nil value (field 'field')",
		`return missing .. "x"`:   "test.lua:4: attempt to concatenate a nil value (global 'missing')",
		`return "x" .. {}`:        "test.lua:4: attempt to concatenate a table value",
		`return t.a.b`:            "test.lua:4: attempt to index a non-table object(nil) with key 'b'",
		`t.a[arg1] = 1`:           "test.lua:4: attempt to index a non-table object(nil) with key 'nil'",
		`t[nil] = 1`:              "test.lua:4: table index is nil",
		`t[0/0] = 1`:              "test.lua:4: table index is NaN",
		`local k t[k] = 1`:        "test.lua:4: table index is nil",
		`t[k] = 1`:                "test.lua:4: table index is nil",
		`missing()`:               "test.lua:4: attempt to call a non-function object",
		`error("boom")`:           "test.lua:4: boom",
		`error("boom", 0)`:        "test.lua:4: boom",
		`error({ code = 1 })`:     "test.lua:4: (error object is a table value)",
		`error()`:                 "test.lua:4: nil",
		`return ("x"):rep("y")`:   "test.lua:4: bad argument #2 to rep (number expected, got string)",
		`coroutine.wrap(function() error("in") end)()`: "test.lua:4: in",
	} {
		w := newTestWorld(t, Limits{}, head+body+"\nend")
		_, err := w.Call(fn(t, w, "f"), CallOptions{}, 1)
		e := asError(t, err)
		if e.Error() != want || e.Kind != Runtime {
			t.Errorf("%s\ngot  %v (%v)\nwant %s", body, e, e.Kind, want)
		}
		if !strings.HasPrefix(e.Traceback, "stack traceback:\n") || strings.Contains(e.Traceback, "(concat)") || !strings.Contains(e.Traceback, "test.lua:") {
			t.Errorf("%s: traceback\n%s", body, e.Traceback)
		}
	}
}

// TestChunkIsShared: worlds that run the same chunk keep their own locals.
func TestChunkIsShared(t *testing.T) {
	c := mustCompile(t, "test.lua", `local n = 0 function f() n = n + 1 return n end`)
	for range 2 {
		w := NewWorld(Limits{})
		w.Lock()
		if err := w.Run(c); err != nil {
			t.Fatal(err)
		}
		if res, err := w.Call(fn(t, w, "f"), CallOptions{}, 1); err != nil || res[0] != lua.LNumber(1) {
			t.Errorf("got %v, %v", res, err)
		}
		w.Unlock()
	}
}

// FuzzCompile: whatever the source, there is a chunk or an *Error, and a chunk ends.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{
		"x = 1 .. 2", "local t = {} t[1], t[x] = f(), g()", "function a.b.c:d(...) return ... end",
		"for i = 1, 10 do goto e ::e:: end", "repeat local x until x", "return {[1]=2, f(), ...}", "local function f() f = 1 end", "#!x\nreturn 1", "((((", "a.b[c].d[e] = -2^3",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		c, err := Compile("f.lua", []byte(source))
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Line < 1 || e.File != "f.lua" {
				t.Fatalf("error without a place: %v", err)
			}
			return
		}
		w := NewWorld(Limits{Budget: 5000})
		w.Lock()
		defer w.Unlock()
		if err := w.Run(c); err != nil {
			asError(t, err)
		}
		w.Seal()
		if w.Used() > 5000 {
			t.Fatalf("used %d instructions of 5000", w.Used())
		}
	})
}
