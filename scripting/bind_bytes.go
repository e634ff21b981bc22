package scripting

import (
	lua "github.com/yuin/gopher-lua"

	"lunamq/scripting/lib"
	"lunamq/scripting/sandbox"
)

// bytesCalls are bytes.pack, unpack, hex, unhex, base64 and unbase64. What
// cannot be read is a script error.
var bytesCalls = map[string]lua.LGFunction{
	"pack":     bytesPack,
	"unpack":   bytesUnpack,
	"hex":      bytesText("bytes.hex", func(s string) (string, error) { return lib.Hex(s), nil }),
	"unhex":    bytesText("bytes.unhex", lib.Unhex),
	"base64":   bytesText("bytes.base64", func(s string) (string, error) { return lib.Base64(s), nil }),
	"unbase64": bytesText("bytes.unbase64", lib.Unbase64),
}

// bytesPerCode is what coding bytes costs: a byte takes some 1 to 3 ns.
const bytesPerCode = 8

// bytesText is a call that makes a text of a text.
func bytesText(call string, do func(string) (string, error)) lua.LGFunction {
	return func(L *lua.LState) int {
		argNone(L, 1, call)
		s := argBytes(L, 1, call, "the text")
		sandbox.CheckLength(L, 2*len(s)) // the longest result is that of hex
		sandbox.Charge(L, int64(len(s)/bytesPerCode))
		out, err := do(s)
		if err != nil {
			L.RaiseError("%s: %v", call, err)
		}
		sandbox.PushString(L, out)
		return 1
	}
}

// bytesPack is bytes.pack(format, …).
func bytesPack(L *lua.LState) int {
	const call = "bytes.pack"
	format := argBytes(L, 1, call, "the format")
	args, size := make([]any, 0, L.GetTop()-1), 0
	for n := 2; n <= L.GetTop(); n++ {
		switch x := L.Get(n).(type) {
		case lua.LString:
			size += len(x)
			args = append(args, string(x))
		case lua.LNumber:
			args = append(args, float64(x))
		default:
			L.RaiseError("%s: argument %d must be a string or a number, not %s", call, n, describe(x))
		}
	}
	sandbox.Charge(L, int64(len(format)+len(args)+size/bytesPerCode))
	out, err := lib.Pack(format, args...)
	if err != nil {
		L.RaiseError("%s: %v", call, err)
	}
	sandbox.PushString(L, out)
	return 1
}

// maxUnpacked bounds the results of one call, as those of unpack are.
const maxUnpacked = 8000

// bytesUnpack is bytes.unpack(format, s [, at]): the values, and behind them
// where the next one begins, counted from 1.
func bytesUnpack(L *lua.LState) int {
	const call = "bytes.unpack"
	argNone(L, 3, call)
	format, s := argBytes(L, 1, call, "the format"), argBytes(L, 2, call, "the text")
	at := 1.0
	if L.Get(3) != lua.LNil {
		var err error
		if at, err = toInteger(L.Get(3), 1, float64(len(s)+1)); err != nil {
			L.RaiseError("%s: the place %v", call, err)
		}
	}
	if len(format) > maxUnpacked {
		L.RaiseError("%s: the format has %d bytes, at most %d are taken", call, len(format), maxUnpacked)
	}
	sandbox.Charge(L, int64(len(format)))
	values, next, err := lib.Unpack(format, s, int(at)-1)
	if err != nil {
		L.RaiseError("%s: %v", call, err)
	}
	for _, v := range values {
		switch v := v.(type) {
		case string:
			sandbox.PushString(L, v)
		case float64:
			L.Push(lua.LNumber(v))
		}
	}
	L.Push(lua.LNumber(next + 1))
	return len(values) + 1
}
