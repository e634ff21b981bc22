package sandbox

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// strFormat is string.format of Lua 5.1; %s takes any value, as in 5.2. Width and precision have two
// digits at most, so one conversion adds at most 99 bytes beyond its argument (%f of 1e308 about 400).
func strFormat(L *lua.LState) int {
	f := checkText(L, 1)
	out := make([]byte, 0, len(f)+32)
	arg, paid := 1, 0
	for {
		i := strings.IndexByte(f, '%')
		if i < 0 {
			break
		}
		out = appendText(L, out, f[:i])
		f = f[i+1:]
		if f != "" && f[0] == '%' {
			out, f = append(out, '%'), f[1:]
			continue
		}
		spec, verb, rest := splitSpec(L, f)
		f = rest
		arg++
		if arg > L.GetTop() {
			argError(L, arg, "no value")
		}
		out = formatOne(L, out, spec, verb, arg)
		paid = payGrowth(L, len(out), paid)
	}
	out = appendText(L, out, f)
	payGrowth(L, len(out), paid)
	L.Push(lua.LString(stringOf(out)))
	return 1
}

// splitSpec takes flags, width and precision, the verb, and what follows apart.
func splitSpec(L *lua.LState, f string) (spec string, verb byte, rest string) {
	i := 0
	for i < len(f) && strings.IndexByte("-+ #0", f[i]) >= 0 {
		i++
	}
	if i > 5 {
		L.RaiseError("invalid format (repeated flags)")
	}
	i = digits(f, i)
	if i < len(f) && f[i] == '.' {
		i = digits(f, i+1)
	}
	if i < len(f) && f[i] >= '0' && f[i] <= '9' {
		L.RaiseError("invalid format (width or precision too long)")
	}
	if i >= len(f) {
		L.RaiseError("%s", "invalid option '%' to 'format'")
	}
	return f[:i], f[i], f[i+1:]
}

// digits skips two digits at most.
func digits(f string, i int) int {
	for n := 0; n < 2 && i < len(f) && f[i] >= '0' && f[i] <= '9'; n++ {
		i++
	}
	return i
}

func formatOne(L *lua.LState, out []byte, spec string, verb byte, arg int) []byte {
	switch verb {
	case 'c':
		return fmt.Appendf(out, "%"+pad(spec)+"s", string([]byte{byte(checkInt(L, arg))}))
	case 'd', 'i':
		n := checkInteger(L, arg)
		if spec == "" {
			return strconv.AppendInt(out, n, 10)
		}
		return fmt.Appendf(out, "%"+spec+"d", n)
	case 'u':
		return fmt.Appendf(out, "%"+spec+"d", uint64(checkInteger(L, arg)))
	case 'o', 'x', 'X':
		return fmt.Appendf(out, "%"+spec+string(verb), uint64(checkInteger(L, arg)))
	case 'e', 'E', 'f', 'g', 'G':
		return appendFloat(out, spec, verb, checkFloat(L, arg))
	case 'q':
		return appendQuoted(L, out, checkText(L, arg))
	case 's':
		s := toText(L, L.Get(arg))
		if spec == "" {
			checkSize(L, len(out)+len(s))
			return appendText(L, out, s)
		}
		if _, prec, ok := strings.Cut(spec, "."); ok {
			n, _ := strconv.Atoi(prec)
			s = s[:min(n, len(s))]
		}
		return appendPadded(out, pad(spec), s)
	}
	L.RaiseError("invalid option '%%%s' to 'format'", string(rune(verb)))
	return nil
}

// pad is the part of a spec that means something for a string: '-' and the width.
func pad(spec string) string {
	spec, _, _ = strings.Cut(spec, ".")
	minus := strings.Contains(spec, "-")
	width := strings.TrimLeft(spec, "-+ #0")
	if minus {
		return "-" + width
	}
	return width
}

// appendPadded counts bytes; fmt would count runes.
func appendPadded(out []byte, pad, s string) []byte {
	width, _ := strconv.Atoi(strings.TrimPrefix(pad, "-"))
	fill := strings.Repeat(" ", max(width-len(s), 0))
	if strings.HasPrefix(pad, "-") {
		return append(append(out, s...), fill...)
	}
	return append(append(out, fill...), s...)
}

func checkFloat(L *lua.LState, n int) float64 {
	v, ok := toNumber(L.Get(n))
	if !ok {
		L.TypeError(n, lua.LTNumber)
	}
	return float64(v)
}

// checkInteger is argument n without its fraction. What C does with numbers beyond 64 bits is undefined.
func checkInteger(L *lua.LState, n int) int64 {
	f := checkFloat(L, n)
	if f != f || f >= math.MaxInt64 || f < math.MinInt64 {
		argError(L, n, "number has no integer representation")
	}
	return int64(f)
}

// appendFloat writes as C does: six digits unless told, inf and nan in lower case and never zero-padded.
func appendFloat(out []byte, spec string, verb byte, f float64) []byte {
	if math.IsInf(f, 0) || f != f {
		s := string(appendNumber(nil, lua.LNumber(f)))
		if strings.Contains(spec, "+") && s[0] != '-' {
			s = "+" + s
		}
		return appendPadded(out, pad(spec), s)
	}
	if !strings.Contains(spec, ".") {
		spec += ".6"
	}
	return fmt.Appendf(out, "%"+spec+string(verb), f)
}

func appendQuoted(L *lua.LState, out []byte, s string) []byte {
	CheckLength(L, 2*len(s))
	out = append(out, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\', '\n':
			out = append(out, '\\', c)
		case '\r':
			out = append(out, "\\r"...)
		case 0:
			out = append(out, "\\000"...)
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}
