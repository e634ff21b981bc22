package lib

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// MaxPacked is the longest string that Pack makes, in bytes.
const MaxPacked = 8 << 20

// Pack writes args as format has it, by the rules of Lua 5.3's string.pack (reference manual
// section 6.4.2; see packFormat for the options). An argument is a string or a float64. Integers are
// whole float64 or strings of decimal digits ("-9223372036854775808" to "18446744073709551615"),
// floats are float64 or such strings.
//
// Stricter than Lua: a negative number does not go into an unsigned integer (Lua wraps it to 64
// bits), a number beyond float32 not into f, a number not into a string option, and every argument
// must be used. Native (=, the default) is a 64-bit little-endian machine everywhere. Errors name
// the argument, counted from 1. The work is proportional to the format and the result.
func Pack(format string, args ...any) (string, error) {
	p := packer{args: args}
	f := packFormat{format: format, maxAlign: 1}
	for {
		o, ok, err := f.next(len(p.out))
		if err != nil {
			return "", err
		}
		if !ok {
			break
		}
		if err := p.add(o); err != nil {
			return "", err
		}
	}
	if p.used < len(args) {
		return "", fmt.Errorf("bytes: the format takes %d values, %d were given", p.used, len(args))
	}
	return string(p.out), nil
}

type packer struct {
	args []any
	used int
	out  []byte
}

// add writes the next argument, or what an option without one writes.
func (p *packer) add(o option) error {
	if len(p.out)+o.pad+o.size > MaxPacked {
		return fmt.Errorf("bytes: %w", errTooLong)
	}
	p.zeros(o.pad)
	switch o.kind {
	case optPad:
		p.zeros(o.size)
		return nil
	case optAlign:
		return nil
	}
	if p.used == len(p.args) {
		return fmt.Errorf("bytes: value %d is missing for %q", p.used+1, o.letter)
	}
	arg := p.args[p.used]
	p.used++
	if err := p.value(o, arg); err != nil {
		return fmt.Errorf("bytes: value %d: %w", p.used, err)
	}
	return nil
}

func (p *packer) value(o option, arg any) error {
	switch o.kind {
	case optInt, optUint:
		n, negative, err := packedInteger(o, arg)
		if err != nil {
			return err
		}
		p.integer(n, negative, o)
		return nil
	case optFloat:
		return p.float(o, arg)
	}
	s, ok := arg.(string)
	if !ok {
		return fmt.Errorf("%q takes a string, not %s: write tostring(…)", o.letter, kindOf(arg))
	}
	return p.text(o, s)
}

func (p *packer) text(o option, s string) error {
	if o.kind != optChars && len(p.out)+o.size+len(s) >= MaxPacked { // a byte less, for the zero of z
		return errTooLong
	}
	switch o.kind {
	case optChars:
		if len(s) > o.size {
			return fmt.Errorf("a string of %d bytes is longer than c%d", len(s), o.size)
		}
		p.out = append(p.out, s...)
		p.zeros(o.size - len(s))
	case optString:
		if o.size < 8 && uint64(len(s))>>(8*o.size) != 0 {
			return fmt.Errorf("the length of a string of %d bytes does not fit into s%d", len(s), o.size)
		}
		p.integer(uint64(len(s)), false, o)
		p.out = append(p.out, s...)
	case optZero:
		if strings.IndexByte(s, 0) >= 0 {
			return errors.New("a string for z must not contain a zero byte")
		}
		p.out = append(append(p.out, s...), 0)
	}
	return nil
}

var errTooLong = fmt.Errorf("the result is longer than %d bytes", MaxPacked)

func (p *packer) zeros(n int) {
	p.out = append(p.out, make([]byte, n)...)
}

// integer writes the low bytes of n; beyond eight come zeros, or 0xff for a negative number.
func (p *packer) integer(n uint64, negative bool, o option) {
	var b [maxIntSize]byte
	for i := range o.size {
		c := byte(0)
		if negative {
			c = 0xff
		}
		if i < 8 {
			c = byte(n >> (8 * i))
		}
		b[o.place(i)] = c
	}
	p.out = append(p.out, b[:o.size]...)
}

func (p *packer) float(o option, arg any) error {
	f, ok := arg.(float64)
	if s, isString := arg.(string); isString && isInteger(s) {
		var err error
		f, err = strconv.ParseFloat(s, 64)
		ok = err == nil
	}
	if !ok {
		return fmt.Errorf("%q takes a number, not %s", o.letter, kindOf(arg))
	}
	if o.size == 8 {
		p.integer(math.Float64bits(f), false, o)
		return nil
	}
	if g := float32(f); math.IsInf(float64(g), 0) && !math.IsInf(f, 0) {
		return fmt.Errorf("%v is beyond the range of f", f)
	}
	p.integer(uint64(math.Float32bits(float32(f))), false, o)
	return nil
}

// packedInteger is arg as the 64 bits that go into o, and whether it is below 0.
func packedInteger(o option, arg any) (n uint64, negative bool, err error) {
	switch x := arg.(type) {
	case float64:
		n, negative, err = wholeNumber(x)
	case string:
		n, negative, err = decimalInteger(x)
	default:
		err = fmt.Errorf("%q takes an integer, not %s", o.letter, kindOf(arg))
	}
	if err != nil {
		return 0, false, err
	}
	if !o.holds(n, negative) {
		return 0, false, fmt.Errorf("%v does not fit into %s", arg, o.name())
	}
	return n, negative, nil
}

// holds says whether an integer, the 64 bits of its two's complement, fits into o.
func (o option) holds(n uint64, negative bool) bool {
	bits := 8 * min(o.size, 8)
	switch {
	case o.kind == optUint && negative:
		return false
	case o.kind == optUint:
		return bits == 64 || n>>bits == 0
	case negative:
		return int64(n) < 0 && int64(n)>>(bits-1) == -1
	}
	return n>>(bits-1) == 0
}

func wholeNumber(f float64) (n uint64, negative bool, err error) {
	switch {
	case f != math.Trunc(f) || math.IsInf(f, 0): // NaN differs from itself
		return 0, false, fmt.Errorf("%v is not an integer", f)
	case f < -1<<63 || f >= 1<<64:
		return 0, false, fmt.Errorf("%v does not fit into 64 bits", f)
	case f < 0:
		return uint64(int64(f)), true, nil
	}
	return uint64(f), false, nil
}

func decimalInteger(s string) (n uint64, negative bool, err error) {
	if !isInteger(s) {
		return 0, false, fmt.Errorf("%q is not an integer in decimal digits", clip(s, maxKeyShown))
	}
	if s[0] == '-' {
		i, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, false, fmt.Errorf("%s does not fit into 64 bits", clip(s, maxKeyShown))
		}
		return uint64(i), i < 0, nil
	}
	if n, err = strconv.ParseUint(s, 10, 64); err != nil {
		return 0, false, fmt.Errorf("%s does not fit into 64 bits", clip(s, maxKeyShown))
	}
	return n, false, nil
}

func isInteger(s string) bool { return isDigits(strings.TrimPrefix(s, "-")) }

func kindOf(arg any) string {
	switch arg.(type) {
	case nil:
		return "nil"
	case string:
		return "a string"
	case float64:
		return "a number"
	}
	return fmt.Sprintf("a %T", arg)
}

// Unpack reads values from s, beginning at the offset at (from 0), as format has it: the inverse
// of Pack. It returns strings and float64 values and the offset after the last one read. Integers
// beyond ±2^53 are strings of decimal digits, as with json. Alignment counts from the beginning of
// s. There are fewer values than format has bytes; strings share the memory of s.
//
// Errors: data that is too short, a z without its zero byte, an integer of more than 8 bytes that
// does not fit into 64 bits.
func Unpack(format, s string, at int) (values []any, next int, err error) {
	if at < 0 || at > len(s) {
		return nil, 0, fmt.Errorf("bytes: the offset %d is outside a string of %d bytes", at, len(s))
	}
	u := unpacker{s: s, at: at}
	f := packFormat{format: format, maxAlign: 1}
	for {
		o, ok, err := f.next(u.at)
		if err != nil {
			return nil, 0, err
		}
		if !ok {
			return u.values, u.at, nil
		}
		if err := u.read(o); err != nil {
			return nil, 0, fmt.Errorf("bytes: value %d at offset %d: %w", len(u.values)+1, u.at, err)
		}
	}
}

type unpacker struct {
	s      string
	at     int
	values []any
}

func (u *unpacker) read(o option) error {
	if o.pad+o.size > len(u.s)-u.at {
		return fmt.Errorf("%s takes %d bytes, %d are left", o.name(), o.pad+o.size, len(u.s)-u.at)
	}
	u.at += o.pad
	data := u.s[u.at : u.at+o.size]
	var v any
	switch o.kind {
	case optInt, optUint:
		n, err := o.integer(data)
		if err != nil {
			return err
		}
		v = o.number(n)
	case optFloat:
		v = o.float(data)
	case optChars:
		v = data
	case optString, optZero:
		s, err := u.text(o, data)
		if err != nil {
			return err
		}
		v = s
	}
	u.at += o.size
	if v != nil {
		u.values = append(u.values, v)
	}
	return nil
}

// text reads a string and moves on, but for the bytes of its length.
func (u *unpacker) text(o option, length string) (string, error) {
	rest := u.s[u.at+o.size:]
	if o.kind == optZero {
		n := strings.IndexByte(rest, 0)
		if n < 0 {
			return "", errors.New("no zero byte ends the string of z")
		}
		u.at += n + 1
		return rest[:n], nil
	}
	n, err := o.integer(length)
	if err != nil {
		return "", err
	}
	if n > uint64(len(rest)) {
		return "", fmt.Errorf("%s has a length of %d bytes, %d are left", o.name(), n, len(rest))
	}
	u.at += int(n)
	return rest[:n], nil
}

// integer returns the 64 bits of the integer in data, with its sign extended.
func (o option) integer(data string) (uint64, error) {
	var n uint64
	for i := range min(o.size, 8) {
		n |= uint64(data[o.place(i)]) << (8 * i)
	}
	if o.kind == optInt && o.size < 8 {
		shift := 64 - 8*o.size
		n = uint64(int64(n<<shift) >> shift)
	}
	rest := byte(0)
	if o.kind == optInt && int64(n) < 0 {
		rest = 0xff
	}
	for i := 8; i < o.size; i++ {
		if data[o.place(i)] != rest {
			return 0, fmt.Errorf("the %d-byte integer does not fit into 64 bits", o.size)
		}
	}
	return n, nil
}

// number is the 64 bits of an integer as a script gets them.
func (o option) number(n uint64) any {
	if o.kind == optUint {
		if n <= maxSafeInteger {
			return float64(n)
		}
		return strconv.FormatUint(n, 10)
	}
	if i := int64(n); i < -maxSafeInteger || i > maxSafeInteger {
		return strconv.FormatInt(i, 10)
	}
	return float64(int64(n))
}

func (o option) float(data string) float64 {
	n, _ := o.integer(data) // cannot fail: at most 8 bytes
	if o.size == 8 {
		return math.Float64frombits(n)
	}
	return float64(math.Float32frombits(uint32(n)))
}

// Hex returns the bytes of s as lower-case hexadecimal digits.
func Hex(s string) string { return hex.EncodeToString([]byte(s)) }

// Unhex is the inverse of Hex and takes both cases. An odd number of digits and every other byte,
// white space too, are errors.
func Unhex(s string) (string, error) {
	b, err := hex.DecodeString(s)
	var bad hex.InvalidByteError
	switch {
	case errors.As(err, &bad):
		return "", fmt.Errorf("bytes: %q is not a hexadecimal digit", string(rune(bad)))
	case err != nil:
		return "", fmt.Errorf("bytes: %d hexadecimal digits are an odd number", len(s))
	}
	return string(b), nil
}

// Base64 returns s in the standard alphabet with padding (RFC 4648 section 4).
func Base64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// Unbase64 reads both alphabets of RFC 4648, the standard (+/) and the URL-safe (-_), not mixed.
// Padding may be missing as a whole unless + or / show the standard alphabet (sections 3.2 and 5).
// Everything else is an error: line breaks (section 3.3), wrong padding, bits that are not zero
// after the last byte (section 3.5).
func Unbase64(s string) (string, error) {
	standard, urlSafe := strings.ContainsAny(s, "+/"), strings.ContainsAny(s, "-_")
	switch {
	case standard && urlSafe:
		return "", errors.New("bytes: base64 mixes the standard and the URL-safe alphabet")
	case strings.ContainsAny(s, "\r\n"): // encoding/base64 skips them
		return "", errors.New("bytes: base64 has a line break")
	}
	encoding := base64.StdEncoding
	if urlSafe {
		encoding = base64.URLEncoding
	}
	if !standard && !strings.HasSuffix(s, "=") {
		encoding = encoding.WithPadding(base64.NoPadding)
	}
	b, err := encoding.Strict().DecodeString(s)
	if at := base64.CorruptInputError(0); errors.As(err, &at) {
		return "", fmt.Errorf("bytes: malformed base64 at offset %d of %d", int64(at), len(s))
	}
	return string(b), nil
}
