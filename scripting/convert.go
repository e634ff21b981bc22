package scripting

import (
	"errors"
	"fmt"
	"math"
	"slices"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core/packet"
)

// newTable and newFunction make Lua values that belong to no state in particular.
func newTable() *lua.LTable { return &lua.LTable{Metatable: lua.LNil} }

func newFunction(f lua.LGFunction) *lua.LFunction {
	return &lua.LFunction{IsG: true, GFunction: f, Env: noEnv}
}

// noEnv is the environment of functions that use none; never written.
var noEnv = newTable()

func boolean(b bool) lua.LValue {
	if b {
		return lua.LTrue
	}
	return lua.LFalse
}

// small are the numbers 0 to 255 boxed once.
var small = func() (t [256]lua.LValue) {
	for i := range t {
		t[i] = lua.LNumber(i)
	}
	return t
}()

func number[N ~int | ~uint8 | ~uint16 | ~uint32 | ~float64](n N) lua.LValue {
	if f := float64(n); f >= 0 && f < 256 && f == math.Trunc(f) {
		return small[int(f)]
	}
	return lua.LNumber(n)
}

// describe names a value in an error text: its type, and what it is where that
// is short.
func describe(v lua.LValue) string {
	switch x := v.(type) {
	case lua.LString:
		return fmt.Sprintf("the string %q", clip(string(x)))
	case lua.LNumber:
		return "the number " + x.String()
	case lua.LBool:
		return x.String()
	}
	if v == lua.LNil {
		return "nil"
	}
	return "a " + v.Type().String()
}

// clip shortens text for error texts and names in logs.
func clip(s string) string { return clipTo(s, 64) }

// The to… functions turn what a rule assigned into Go. Their errors continue
// the name of what was assigned: "topic" + " " + "must be a string, not nil".

func toBytes(x lua.LValue) (string, error) {
	if s, ok := x.(lua.LString); ok {
		return string(s), nil
	}
	if _, ok := x.(lua.LNumber); ok {
		return "", fmt.Errorf("must be a string, not %s: write tostring(…)", describe(x))
	}
	return "", fmt.Errorf("must be a string, not %s", describe(x))
}

// toText is toBytes for a UTF-8 encoded string [MQTT-1.5.4-1], [MQTT-1.5.4-2].
func toText(x lua.LValue) (string, error) {
	s, err := toBytes(x)
	if err != nil {
		return "", err
	}
	return s, checkText(s)
}

func checkText(s string) error {
	switch {
	case len(s) > math.MaxUint16: // 1.5.4: a two byte length
		return fmt.Errorf("has %d bytes, at most 65535 go into an MQTT string", len(s))
	case !packet.ValidString(s):
		return errors.New("is not valid UTF-8 without U+0000")
	}
	return nil
}

// toBinary is toBytes for binary data with a two byte length (1.5.6).
func toBinary(x lua.LValue) (string, error) {
	s, err := toBytes(x)
	if err == nil && len(s) > math.MaxUint16 {
		err = fmt.Errorf("has %d bytes, at most 65535 go into MQTT binary data", len(s))
	}
	return s, err
}

func toBool(x lua.LValue) (bool, error) {
	if b, ok := x.(lua.LBool); ok {
		return bool(b), nil
	}
	return false, fmt.Errorf("must be true or false, not %s", describe(x))
}

// toInteger wants a whole number from low to high.
func toInteger(x lua.LValue, low, high float64) (float64, error) {
	n, ok := x.(lua.LNumber)
	if !ok {
		return 0, fmt.Errorf("must be a number, not %s", describe(x))
	}
	if f := float64(n); f >= low && f <= high && f == math.Trunc(f) {
		return f, nil
	}
	return 0, fmt.Errorf("must be a whole number from %.0f to %.0f, not %s", low, high, n.String())
}

// argument checks for library functions: their errors name the function and the
// place of the argument.

func argBytes(L *lua.LState, n int, call, name string) string {
	s, err := toBytes(L.Get(n))
	if err != nil {
		L.RaiseError("%s: %s %v", call, name, err)
	}
	return s
}

func argNumber(L *lua.LState, n int, call, name string) float64 {
	x, ok := L.Get(n).(lua.LNumber)
	if !ok {
		L.RaiseError("%s: %s must be a number, not %s", call, name, describe(L.Get(n)))
	}
	if f := float64(x); !math.IsNaN(f) && !math.IsInf(f, 0) {
		return f
	}
	L.RaiseError("%s: %s must be a finite number, not %s", call, name, x.String())
	return 0
}

// argNone refuses arguments after the n-th.
func argNone(L *lua.LState, n int, call string) {
	got := L.GetTop()
	switch {
	case got <= n:
	case n == 0:
		L.RaiseError("%s takes no arguments, it got %d", call, got)
	case n == 1:
		L.RaiseError("%s takes one argument, it got %d", call, got)
	default:
		L.RaiseError("%s takes at most %d arguments, it got %d", call, n, got)
	}
}

// stringKeys collects a table whose keys must all be among names.
func stringKeys(t *lua.LTable, names []string) (map[string]lua.LValue, error) {
	out := make(map[string]lua.LValue)
	var err error
	t.ForEach(func(k, v lua.LValue) {
		name, ok := k.(lua.LString)
		switch {
		case err != nil:
		case !ok:
			err = fmt.Errorf("has the key [%s]; the keys are names", describe(k))
		case !slices.Contains(names, string(name)):
			err = fmt.Errorf("has the unknown key %q%s", clip(string(name)), meant(string(name), names))
		default:
			out[string(name)] = v
		}
	})
	return out, err
}
