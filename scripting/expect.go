package scripting

import (
	"fmt"
	"math"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/core/packet"
	"lunamq/scripting/sandbox"
)

// expectation is expect(x), in the hands of a test.
type expectation struct {
	t   *trial
	got lua.LValue
}

// unmet is the first expectation of a test that was not met.
type unmet struct{ at, text string }

// expecting is one call of one method.
type expecting struct {
	*expectation
	L    *lua.LState
	c    *call
	name string
}

// expectations are the methods of expect(x). Each returns it again, so that
// expectations of one value may follow each other.
var expectations = expectationMethods(map[string]func(*expecting){
	"equals":       (*expecting).equals,
	"differs":      (*expecting).differs,
	"is_nil":       (*expecting).isNil,
	"exists":       (*expecting).exists,
	"is_near":      (*expecting).isNear,
	"matches":      (*expecting).matches,
	"contains":     (*expecting).contains,
	"fails":        (*expecting).fails,
	"passed":       func(x *expecting) { x.none(); x.verdict(core.Pass) },
	"allowed":      func(x *expecting) { x.none(); x.verdict(core.Allow) },
	"dropped":      func(x *expecting) { x.none(); x.verdict(core.Drop) },
	"denied":       func(x *expecting) { x.refused(core.Deny) },
	"disconnected": func(x *expecting) { x.refused(core.Disconnect) },
})

func expectationMethods(methods map[string]func(*expecting)) map[string]lua.LGFunction {
	out := make(map[string]lua.LGFunction, len(methods))
	for name, check := range methods {
		out[name] = func(L *lua.LState) int {
			ud, ok := L.Get(1).(*lua.LUserData)
			if ok {
				if e, ok := ud.Value.(*expectation); ok {
					check(&expecting{e, L, inTest(L, "expect"), name})
					L.Push(ud)
					return 1
				}
			}
			L.RaiseError("%s: call it with a colon, expect(x):%s(…)", name, name)
			return 0
		}
	}
	return out
}

// none refuses arguments.
func (x *expecting) none() { argNone(x.L, 1, "expect(x):"+x.name) }

// argument is argument n of the method, which must be there.
func (x *expecting) argument(n, most int) lua.LValue {
	argNone(x.L, most+1, "expect(x):"+x.name)
	if x.L.GetTop() < n+1 {
		x.L.RaiseError("expect(x):%s: argument %d is missing", x.name, n)
	}
	return x.L.Get(n + 1)
}

// fail ends the test. What comes first stays, also if the test catches it.
func (x *expecting) fail(format string, args ...any) {
	text := clipTo(fmt.Sprintf(format, args...), maxUnmet)
	if x.t.unmet == nil {
		x.t.unmet = &unmet{at: place(x.L), text: text}
	}
	x.L.RaiseError("%s", text)
}

// maxUnmet bounds the text of an unmet expectation, in bytes.
const maxUnmet = 16 << 10

// value is what is expected to be something, objects as tables.
func (x *expecting) value() lua.LValue { return view(x.c, x.got) }

func (x *expecting) equals() {
	want, got := view(x.c, x.argument(1, 1)), x.value()
	sandbox.Charge(x.L, compareCost(want)+compareCost(got))
	if !equal(want, got, 0) {
		x.fail("%s", difference(want, got))
	}
}

func (x *expecting) differs() {
	other, got := view(x.c, x.argument(1, 1)), x.value()
	sandbox.Charge(x.L, compareCost(other)+compareCost(got))
	if equal(other, got, 0) {
		x.fail("expected something other than %s", clipTo(literal(other), maxShown))
	}
}

// compareCost is what comparing a value costs, in instructions.
func compareCost(x lua.LValue) int64 {
	switch x := x.(type) {
	case lua.LString:
		return int64(len(x)) / 64
	case *lua.LTable:
		n := int64(0)
		x.ForEach(func(lua.LValue, lua.LValue) { n++ })
		return n
	}
	return 1
}

func (x *expecting) isNil() {
	x.none()
	if x.got != lua.LNil {
		x.fail("expected nil, got %s", clipTo(literal(x.value()), maxShown))
	}
}

func (x *expecting) exists() {
	x.none()
	if x.got == lua.LNil {
		x.fail("expected something, got nil")
	}
}

// isNear is is_near(y [, within]): numbers that differ by at most within, 1e-9
// unless told otherwise.
func (x *expecting) isNear() {
	want, ok := x.argument(1, 2).(lua.LNumber)
	within := lua.LNumber(1e-9)
	if x.L.GetTop() > 2 {
		var number bool
		within, number = x.L.Get(3).(lua.LNumber)
		ok = ok && number
	}
	if !ok {
		x.L.RaiseError("expect(x):is_near: want a number and how far from it")
	}
	got, ok := x.got.(lua.LNumber)
	if !ok || !(math.Abs(float64(got-want)) <= float64(within)) {
		x.fail("expected %s, give or take %s, got %s", want, within, clipTo(literal(x.value()), maxShown))
	}
}

// matches is matches(pattern), a Lua pattern as in string.find.
func (x *expecting) matches() {
	pattern := argBytes(x.L, 2, "expect(x):matches", "the pattern")
	x.argument(1, 1)
	got, ok := x.got.(lua.LString)
	if !ok || !x.finds(string(got), pattern) {
		x.fail("expected something that matches %s, got %s", quote(pattern), clipTo(literal(x.value()), maxShown))
	}
}

// finds is string.find of the test's own world, with its bounds.
func (x *expecting) finds(s, pattern string) bool {
	x.L.Push(x.t.tester.Lib("string", "find"))
	x.L.Push(lua.LString(s))
	x.L.Push(lua.LString(pattern))
	x.L.Call(2, 1)
	found := x.L.Get(-1) != lua.LNil
	x.L.Pop(1)
	return found
}

// contains is contains(y): a text in a text, or an item of a list.
func (x *expecting) contains() {
	want := view(x.c, x.argument(1, 1))
	switch got := x.value().(type) {
	case lua.LString:
		s, ok := want.(lua.LString)
		if !ok {
			x.L.RaiseError("expect(x):contains: x is a string, so want a string, not %s", describe(want))
		}
		sandbox.Charge(x.L, int64(len(got))/64)
		if strings.Contains(string(got), string(s)) {
			return
		}
	case *lua.LTable:
		sandbox.Charge(x.L, compareCost(got))
		for i := 1; i <= listLen(got); i++ {
			if equal(want, view(x.c, got.RawGetInt(i)), 0) {
				return
			}
		}
	}
	x.fail("expected something that contains %s, got %s", clipTo(literal(want), maxShown), clipTo(literal(x.value()), maxShown))
}

// result is the event that was tried.
func (x *expecting) result() *result {
	if ud, ok := x.got.(*lua.LUserData); ok {
		if r, ok := ud.Value.(*ref[result]); ok {
			return r.v
		}
	}
	x.L.RaiseError("expect(x):%s: x must be what try.… returned, not %s", x.name, describe(x.got))
	return nil
}

// verdict wants a verdict, of handlers that did not fail.
func (x *expecting) verdict(want core.Verdict) *result {
	r := x.result()
	if len(r.failures) > 0 {
		x.fail("expected %s, but a rule failed:\n%s", want, r.asked()[0])
	}
	if r.decision.Verdict != want {
		x.fail("expected %s, got %s", want, decided(r.decision))
	}
	return r
}

// refused is denied([reason]) and disconnected([reason]).
func (x *expecting) refused(want core.Verdict) {
	argNone(x.L, 2, "expect(x):"+x.name)
	reason, err := toReason(x.L.Get(2), packet.Success)
	if err != nil {
		x.L.RaiseError("expect(x):%s: %v", x.name, err)
	}
	r := x.verdict(want)
	if x.L.Get(2) != lua.LNil && reasonOf(r.decision) != reason {
		x.fail("expected %s with %s, got %s", want, reason, decided(r.decision))
	}
}

// decided is a decision in words: deny (not_authorized, "text") by 10.lua:3.
func decided(d core.Decision) string {
	out := d.Verdict.String()
	var more []string
	if d.Verdict == core.Deny || d.Verdict == core.Disconnect {
		more = append(more, reasonOf(d).String())
	}
	if d.Text != "" {
		more = append(more, quote(d.Text))
	}
	if len(more) > 0 {
		out += " (" + strings.Join(more, ", ") + ")"
	}
	if d.By != "" {
		out += " by " + d.By
	}
	return out
}

// fails is fails([text]): a function that raises an error, or an event in
// which a handler failed. text is a part of the error, or a Lua pattern.
func (x *expecting) fails() {
	argNone(x.L, 2, "expect(x):fails")
	said := ""
	if fn, ok := x.got.(*lua.LFunction); ok {
		said = x.errorOf(fn)
	} else {
		r := x.result()
		if len(r.failures) == 0 {
			x.fail("expected a rule to fail, none did: %s", decided(r.decision))
		}
		said = r.asked()[0].headline()
	}
	if x.L.Get(2) == lua.LNil {
		return
	}
	want := argBytes(x.L, 2, "expect(x):fails", "the text")
	if !strings.Contains(said, want) && !x.finds(said, want) {
		x.fail("expected an error with %s, got: %s", quote(want), said)
	}
}

// errorOf is the error that a function raises.
func (x *expecting) errorOf(fn *lua.LFunction) string {
	x.L.Push(x.t.tester.Global("pcall"))
	x.L.Push(fn)
	x.L.Call(1, 2)
	ok, said := x.L.Get(-2), x.L.Get(-1)
	x.L.Pop(2)
	if ok == lua.LTrue {
		x.fail("expected an error, there was none")
	}
	return said.String()
}
