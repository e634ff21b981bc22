package lib

import (
	"encoding/hex"
	"math"
	"reflect"
	"strings"
	"testing"
)

// packTests are what string.pack of lua.org's interpreter makes (5.4.4; its formats are those of
// 5.3), printed by that program. The one liberty: 2^64-1 is -1 there.
var packTests = []struct {
	format string
	args   []any
	want   string // in hexadecimal
}{
	{"b", []any{-1.0}, "ff"},
	{"b", []any{127.0}, "7f"},
	{"b", []any{-128.0}, "80"},
	{"B", []any{255.0}, "ff"},
	{"B", []any{0.0}, "00"},
	{"h", []any{-2.0}, "feff"},
	{"H", []any{65534.0}, "feff"},
	{">h", []any{258.0}, "0102"},
	{"<h", []any{258.0}, "0201"},
	{"i", []any{-3.0}, "fdffffff"},
	{"I", []any{4294967295.0}, "ffffffff"},
	{">i3", []any{-2.0}, "fffffe"},
	{"<i3", []any{8388607.0}, "ffff7f"},
	{">I3", []any{0x123456p0}, "123456"},
	{"i5", []any{-1.0}, "ffffffffff"},
	{"I7", []any{"72057594037927935"}, "ffffffffffffff"},
	{"l", []any{-1.0}, "ffffffffffffffff"},
	{">L", []any{1.0}, "0000000000000001"},
	{"j", []any{"-9223372036854775808"}, "0000000000000080"},
	{"j", []any{"9223372036854775807"}, "ffffffffffffff7f"},
	{"j", []any{"9007199254740993"}, "0100000000002000"},
	{"J", []any{"18446744073709551615"}, "ffffffffffffffff"},
	{"T", []any{16.0}, "1000000000000000"},
	{">i16", []any{-2.0}, "fffffffffffffffffffffffffffffffe"},
	{"<i16", []any{-2.0}, "feffffffffffffffffffffffffffffff"},
	{">I16", []any{"9223372036854775807"}, "00000000000000007fffffffffffffff"},
	{"<i9", []any{-1.0}, "ffffffffffffffffff"},
	{"I9", []any{255.0}, "ff0000000000000000"},
	{">f", []any{1.5}, "3fc00000"},
	{"<f", []any{-0.1}, "cdccccbd"},
	{">d", []any{3.14}, "40091eb851eb851f"},
	{"<n", []any{-1e300}, "9c7500883ce437fe"},
	{">f", []any{math.Inf(1)}, "7f800000"},
	{">d", []any{math.Inf(-1)}, "fff0000000000000"},
	{"d", []any{0x1p60}, "000000000000b043"},
	{"z", []any{"hello"}, "68656c6c6f00"},
	{"z", []any{""}, "00"},
	{"s1", []any{"ab"}, "026162"},
	{">s2", []any{"ab"}, "00026162"},
	{"s", []any{"x"}, "010000000000000078"},
	{">s16", []any{"x"}, "0000000000000000000000000000000178"},
	{"c5", []any{"ab"}, "6162000000"},
	{"c0", []any{""}, ""},
	{"c2", []any{"ab"}, "6162"},
	{"bxb", []any{1.0, 2.0}, "010002"},
	{"xxx", []any{}, "000000"},
	{"", []any{}, ""},
	{"  b  ", []any{7.0}, "07"},
	{"!bi", []any{1.0, 2.0}, "0100000002000000"},
	{"!4bi8", []any{1.0, 2.0}, "010000000200000000000000"},
	{"!bd", []any{1.0, 2.0}, "01000000000000000000000000000040"},
	{"! b h i l", []any{1.0, 2.0, 3.0, 4.0}, "01000200030000000400000000000000"},
	{"!2bI4I8", []any{1.0, 2.0, 3.0}, "0100020000000300000000000000"},
	{"!16bi16", []any{1.0, 2.0}, "0100000000000000000000000000000002000000000000000000000000000000"},
	{"!8bs4", []any{1.0, "abc"}, "0100000003000000616263"},
	{"!8bs4i", []any{1.0, "a", 2.0}, "01000000010000006100000002000000"},
	{"!bXi", []any{1.0}, "01000000"},
	{"!bXd", []any{1.0}, "0100000000000000"},
	{"!4bXdb", []any{1.0, 2.0}, "0100000002"},
	{"bXib", []any{1.0, 2.0}, "0102"},
	{"!4 i4 Xi8 b", []any{1.0, 2.0}, "0100000002"},
	{"!bXhz", []any{1.0, "a"}, "01006100"},
	{"!bXs4", []any{1.0}, "01000000"},
	{"!bXx b", []any{1.0, 2.0}, "0102"},
	{"!4bc3i", []any{1.0, "ab", 3.0}, "0161620003000000"},
	{"!bXi2 b Xi4", []any{1.0, 2.0}, "01000200"},
	{"bi3", []any{1.0, 2.0}, "01020000"},
	{">H<H=H", []any{1.0, 1.0, 1.0}, "000101000100"},
	{">I2 s2 z B", []any{513.0, "ab", "c", 255.0}, "0201000261626300ff"},
	{"!4>bfh", []any{1.0, 2.0, 3.0}, "01000000400000000003"},
	{"<!8i2 !2 i8", []any{1.0, 2.0}, "01000200000000000000"},
}

func TestPack(t *testing.T) {
	for _, tt := range packTests {
		got, err := Pack(tt.format, tt.args...)
		if hex.EncodeToString([]byte(got)) != tt.want || err != nil {
			t.Errorf("Pack(%q, %v) = %x, %v; want %s", tt.format, tt.args, got, err, tt.want)
		}
	}
}

// What Unpack reads is what was packed, but for filled and rounded values.
func TestUnpack(t *testing.T) {
	differs := map[string][]any{
		"c5":     {"ab\x00\x00\x00"},
		"!4bc3i": {1.0, "ab\x00", 3.0},
		"<f":     {float64(float32(-0.1))},
	}
	for _, tt := range packTests {
		data, _ := hex.DecodeString(tt.want)
		want := differs[tt.format]
		if want == nil {
			want = tt.args
		}
		got, next, err := Unpack(tt.format, string(data), 0)
		same := len(got) == 0 && len(want) == 0 || reflect.DeepEqual(got, want)
		if !same || next != len(data) || err != nil {
			t.Errorf("Unpack(%q, %s) = %#v, %d, %v; want %#v", tt.format, tt.want, got, next, err, want)
		}
	}
}

// Unpack at an offset aligns from the beginning of the string, as Lua does, and says where it
// ended; a value may end anywhere before the string does.
func TestUnpackOffset(t *testing.T) {
	tests := []struct {
		format, s string
		at        int
		want      []any
		next      int
	}{
		{"B", "abc", 1, []any{98.0}, 2},
		{"!4 i4", "\xff\x00\x00\x00\x01\x00\x00\x00rest", 1, []any{1.0}, 8},
		{"", "abc", 3, nil, 3},
		{"zB", "..a\x00b", 2, []any{"a", 98.0}, 5},
		{">I8", "\x00\x20\x00\x00\x00\x00\x00\x00", 0, []any{9007199254740992.0}, 8},
		{">I8", "\x00\x20\x00\x00\x00\x00\x00\x01", 0, []any{"9007199254740993"}, 8},
		{">i8", "\xff\xe0\x00\x00\x00\x00\x00\x00", 0, []any{-9007199254740992.0}, 8},
		{">i8", "\xff\xdf\xff\xff\xff\xff\xff\xff", 0, []any{"-9007199254740993"}, 8},
		{">I9", "\x00\xff\xff\xff\xff\xff\xff\xff\xff", 0, []any{"18446744073709551615"}, 9},
	}
	for _, tt := range tests {
		got, next, err := Unpack(tt.format, tt.s, tt.at)
		if !reflect.DeepEqual(got, tt.want) || next != tt.next || err != nil {
			t.Errorf("Unpack(%q, %q, %d) = %#v, %d, %v; want %#v, %d", tt.format, tt.s, tt.at, got, next, err, tt.want, tt.next)
		}
	}
}

// Integers go in as float64 and as digits; as many as Lua takes and no more.
func TestPackIntegerBounds(t *testing.T) {
	fits := []struct {
		format string
		arg    any
	}{
		{"b", "-128"}, {"B", "255"}, {"i7", "-36028797018963968"}, {"i7", "36028797018963967"}, {"I7", "72057594037927935"},
		{"j", -0x1p63}, {"J", 0x1p63}, {"i9", "-9223372036854775808"}, {"I9", "18446744073709551615"}, {"b", "-0"}, {"b", math.Copysign(0, -1)}, {"b", "007"}, {"i16", "-1"},
		{"J", "-0"}, {"d", "18446744073709551616"},
	}
	for _, tt := range fits {
		if s, err := Pack(tt.format, tt.arg); err != nil || len(s) == 0 {
			t.Errorf("Pack(%q, %v) = %x, %v", tt.format, tt.arg, s, err)
		}
	}
	tests := []struct {
		format string
		arg    any
		want   string
	}{
		{"b", 128.0, "128 does not fit into b"}, {"b", -129.0, "does not fit"}, {"B", 256.0, "does not fit"}, {"B", -1.0, "does not fit"}, {"J", -1.0, "does not fit into J"}, {"I16", "-1", "does not fit"},
		{"i3", 8388608.0, "does not fit into i3"}, {"I3", 0x1p24, "does not fit"}, {"i7", "36028797018963968", "does not fit"}, {"i7", "-36028797018963969", "does not fit"},
		{"j", 0x1p63, "does not fit"}, {"j", "9223372036854775808", "does not fit into j"}, {"i16", "9223372036854775808", "does not fit"}, {"j", "-9223372036854775809", "64 bits"}, {"J", "18446744073709551616", "64 bits"}, {"J", 0x1p64, "64 bits"}, {"j", -0x1.0000000000001p63, "64 bits"},
		{"i", 1.5, "1.5 is not an integer"}, {"i", math.NaN(), "NaN is not an integer"}, {"i", math.Inf(1), "not an integer"}, {"i", "1.0", "decimal digits"}, {"i", "0x10", "decimal digits"}, {"i", " 1", "decimal digits"}, {"i", "+1", "decimal digits"}, {"i", "", "decimal digits"}, {"i", "-", "decimal digits"}, {"i", "--1", "decimal digits"}, {"i", strings.Repeat("9", 5000), "64 bits"},
		{"i", nil, "takes an integer, not nil"}, {"i", true, "not a bool"},
		{"d", "1.5", "takes a number, not a string"}, {"d", nil, "not nil"}, {"f", 1e39, "beyond the range of f"}, {"d", strings.Repeat("9", 400), "takes a number"},
		{"z", 1.0, "takes a string, not a number"}, {"s", nil, "not nil"}, {"z", "a\x00", "zero byte"}, {"c1", "ab", "longer than c1"}, {"s1", strings.Repeat("x", 256), "does not fit into s1"}, {"s2", strings.Repeat("x", 65536), "does not fit into s2"},
	}
	for _, tt := range tests {
		_, err := Pack(tt.format, tt.arg)
		wantError(t, err, "bytes: value 1: ", tt.want)
	}
}

func wantError(t *testing.T, err error, prefix, want string) {
	t.Helper()
	if err == nil || !strings.HasPrefix(err.Error(), prefix) || !strings.Contains(err.Error(), want) || len(err.Error()) > 300 {
		t.Errorf("error %v; want one that begins with %q and has %q", err, prefix, want)
	}
}

func TestFormatErrorsOfPack(t *testing.T) {
	tests := []struct{ format, want string }{
		{"q", `no format option "q" at offset 0`}, {"i17", "outside 1 to 16"}, {"i0", "outside 1 to 16"}, {"!17", "outside 1 to 16"}, {"s17", "outside 1 to 16"}, {"i99999999999999999999999", "outside 1 to 16"},
		{"c", "lacks its size"}, {"c99999999999", "longer than"}, {"X", "X at offset 0 of the format lacks its option"}, {"Xz", "cannot align"}, {"Xc1", "cannot align"}, {"X ", "cannot align"}, {"XX", "cannot align"}, {"X<", "cannot align"}, {"  Xi17", "outside"},
		{"!3i4", "alignment to 3"}, {"!16i12", "alignment to 12"}, {"!i3", "alignment to 3"}, {"5", "no format option"}, {"\xff", "no format option"}, {"!xXi3", "alignment to 3"},
		{strings.Repeat("x", maxFormat+1), "a format of 1025 bytes"},
	}
	for _, tt := range tests {
		_, err := Pack(tt.format, 1.0)
		wantError(t, err, "bytes: ", tt.want)
		if _, _, err = Unpack(tt.format, strings.Repeat("\x00", 64), 0); tt.format[0] != 'c' {
			wantError(t, err, "bytes: ", tt.want)
		}
	}
}

func TestPackCounts(t *testing.T) {
	_, err := Pack("bb", 1.0)
	wantError(t, err, "bytes: ", `value 2 is missing for "b"`)
	_, err = Pack("b", 1.0, 2.0)
	wantError(t, err, "bytes: ", "takes 1 values, 2 were given")
}

func TestPackIsBounded(t *testing.T) {
	half := strings.Repeat("x", MaxPacked/2)
	for _, tt := range []struct {
		format string
		args   []any
	}{
		{"zz", []any{half, half}}, {"ss", []any{half, half}}, {"c8388608c1", []any{"", ""}}, {"c8388608x", []any{""}}, {"c8388608i", []any{"", 1.0}},
	} {
		_, err := Pack(tt.format, tt.args...)
		wantError(t, err, "bytes: ", "the result is longer than 8388608 bytes")
	}
	if s, err := Pack("c8388608", ""); len(s) != MaxPacked || err != nil {
		t.Errorf("%d bytes, %v", len(s), err)
	}
	if v, _, err := Unpack(strings.Repeat("x", maxFormat), strings.Repeat("x", maxFormat), 0); len(v) != 0 || err != nil {
		t.Errorf("%d values, %v", len(v), err)
	}
}

func TestUnpackErrors(t *testing.T) {
	tests := []struct {
		format, s string
		at        int
		want      string
	}{
		{"b", "", 0, "value 1 at offset 0: b takes 1 bytes, 0 are left"},
		{"bi", "\x01\x02\x03\x04", 0, "value 2 at offset 1: i4 takes 4 bytes, 3 are left"},
		{"!bi", "\x01\x02\x03\x04\x05", 0, "i4 takes 7 bytes, 4 are left"},
		{"c3", "ab", 0, "c3 takes 3 bytes"},
		{"z", "ab", 0, "no zero byte"},
		{"s1", "\x03ab", 0, "s1 has a length of 3 bytes, 2 are left"},
		{"s", "\xff\xff\xff\xff\xff\xff\xff\xffab", 0, "has a length of 18446744073709551615"},
		{"s9", "\x00\x00\x00\x00\x00\x00\x00\x00\x01ab", 0, "9-byte integer does not fit"},
		{"I9", "\x00\x00\x00\x00\x00\x00\x00\x00\x01", 0, "does not fit into 64 bits"},
		{"i9", "\x00\x00\x00\x00\x00\x00\x00\x80\x00", 0, "does not fit into 64 bits"},
		{"i9", "\x00\x00\x00\x00\x00\x00\x00\x00\xff", 0, "does not fit into 64 bits"},
		{"b", "abc", 4, "offset 4 is outside"}, {"b", "abc", -1, "offset -1 is outside"},
		{"c2147483647", "ab", 0, "longer than"},
	}
	for _, tt := range tests {
		_, _, err := Unpack(tt.format, tt.s, tt.at)
		wantError(t, err, "bytes: ", tt.want)
	}
}

// RFC 4648 section 10.
func TestBase64(t *testing.T) {
	for s, want := range map[string]string{"": "", "f": "Zg==", "fo": "Zm8=", "foo": "Zm9v", "foob": "Zm9vYg==", "fooba": "Zm9vYmE=", "foobar": "Zm9vYmFy", "\xfb\xff": "+/8="} {
		if got := Base64(s); got != want {
			t.Errorf("Base64(%q) = %q, want %q", s, got, want)
		}
		if got, err := Unbase64(want); got != s || err != nil {
			t.Errorf("Unbase64(%q) = %q, %v; want %q", want, got, err, s)
		}
	}
	for s, want := range map[string]string{"Zg": "f", "Zm8": "fo", "-_8": "\xfb\xff", "-_8=": "\xfb\xff", "Zm9vYmE": "fooba"} {
		if got, err := Unbase64(s); got != want || err != nil {
			t.Errorf("Unbase64(%q) = %q, %v; want %q", s, got, err, want)
		}
	}
}

func TestUnbase64IsStrict(t *testing.T) {
	for s, want := range map[string]string{
		"+/8": "malformed", "+_8=": "mixes", "Zm9v\n": "line break", "Zm\r\n9v": "line break", "Zg=": "malformed", "Zg===": "malformed", "Z": "malformed", "Z===": "malformed", "=": "malformed",
		"Zh==": "malformed", "Zh": "malformed", "Zm9=": "malformed", "Zg==Zg==": "malformed", " Zg==": "malformed", "Zm9v!": "malformed base64 at offset 4 of 5", "Zg==\x00": "malformed",
	} {
		got, err := Unbase64(s)
		if err == nil {
			t.Errorf("Unbase64(%q) = %q", s, got)
			continue
		}
		wantError(t, err, "bytes: ", want)
	}
}

func TestHex(t *testing.T) {
	if got := Hex("\x00foobar\xff"); got != "00666f6f626172ff" { // RFC 4648 section 10, in lower case
		t.Error(got)
	}
	for s, want := range map[string]string{"": "", "00666F6f626172fF": "\x00foobar\xff"} {
		if got, err := Unhex(s); got != want || err != nil {
			t.Errorf("Unhex(%q) = %q, %v", s, got, err)
		}
	}
	for s, want := range map[string]string{"0": "odd", "0g": `"g" is not`, "0x10": `"x" is not`, "00 0": `" " is not`, "é0": "is not", "000": "odd"} {
		_, err := Unhex(s)
		wantError(t, err, "bytes: ", want)
	}
}

// What Unpack reads, Pack writes again, byte for byte but for what stands in alignment.
func FuzzUnpack(f *testing.F) {
	for _, tt := range packTests {
		data, _ := hex.DecodeString(tt.want)
		f.Add(tt.format, string(data))
	}
	f.Add("!8bXi8 s4 z c3", "\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00hiz\x00abc")
	f.Fuzz(func(t *testing.T, format, s string) {
		values, next, err := Unpack(format, s, 0)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "bytes: ") {
				t.Errorf("error %q", err)
			}
			return
		}
		packed, err := Pack(format, values...)
		if err != nil || len(packed) != next {
			t.Fatalf("Unpack(%q, %q) = %#v, %d; packed %q, %v", format, s, values, next, packed, err)
		}
		again, _, err := Unpack(format, packed, 0)
		if err != nil || len(again) != len(values) {
			t.Fatalf("Unpack(%q, %q) = %#v, %v", format, packed, again, err)
		}
		for i := range values {
			a, isNumber := values[i].(float64)
			b, _ := again[i].(float64)
			if isNumber && math.Float64bits(a) != math.Float64bits(b) && !math.IsNaN(a) || !isNumber && values[i] != again[i] {
				t.Fatalf("%q: value %d is %#v, then %#v", format, i, values[i], again[i])
			}
		}
	})
}

func FuzzUnbase64(f *testing.F) {
	for _, s := range []string{"Zm9vYg==", "-_8", "+/8=", "Zm9v\nYg", "Zh", "deadBEEF"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if b, err := Unbase64(s); err == nil {
			standard := strings.NewReplacer("-", "+", "_", "/").Replace(s)
			if strings.TrimRight(Base64(b), "=") != strings.TrimRight(standard, "=") {
				t.Errorf("Unbase64(%q) = %q", s, b)
			}
		}
		if b, err := Unhex(s); err == nil && Hex(b) != strings.ToLower(s) {
			t.Errorf("Unhex(%q) = %q", s, b)
		}
	})
}
