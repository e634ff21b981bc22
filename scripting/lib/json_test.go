package lib

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	lua "github.com/yuin/gopher-lua"
)

// TestMain sets what the engine sets: from there on numeric keys are not kept in an array.
func TestMain(m *testing.M) {
	lua.MaxArrayIndex = 1 << 16
	os.Exit(m.Run())
}

// newJSONState returns a state with json bound as thinly as can be, and none of the rest.
func newJSONState(t testing.TB) *lua.LState {
	L := lua.NewState()
	t.Cleanup(L.Close)
	raise := func(L *lua.LState, err error) int { L.RaiseError("%s", err.Error()); return 0 }
	lib := L.NewTable()
	lib.RawSetString("null", Null)
	L.SetFuncs(lib, map[string]lua.LGFunction{
		"decode": func(L *lua.LState) int {
			v, err := Decode(L, L.CheckString(1), nil)
			if err != nil {
				return raise(L, err)
			}
			L.Push(v)
			return 1
		},
		"encode": func(L *lua.LState) int {
			s, err := Encode(L, L.CheckAny(1), nil)
			if err != nil {
				return raise(L, err)
			}
			L.Push(lua.LString(s))
			return 1
		},
		"array": func(L *lua.LState) int {
			if err := MarkArray(L.CheckTable(1)); err != nil {
				return raise(L, err)
			}
			L.Push(L.Get(1))
			return 1
		},
	})
	L.SetGlobal("json", lib)
	return L
}

// runLua runs a chunk that returns one value.
func runLua(t testing.TB, L *lua.LState, code string) (lua.LValue, error) {
	t.Helper()
	L.SetTop(0)
	if err := L.DoString(code); err != nil {
		return nil, err
	}
	return L.Get(-1), nil
}

// What is decoded and encoded again, without a change.
func TestJSONRoundTrip(t *testing.T) {
	same := []string{
		`{}`, `[]`, `[[],{}]`, `{"a":[],"b":{}}`, `[null,true,false]`, `{"a":null}`, `""`, `"text"`,
		`{"z":1,"a":2,"m":3,"0":4,"":5}`,
		`{"price":1.10,"big":342161316540874753,"e":1e3,"E":1E+3,"neg":-0,"zero":0.0,"one":1.0,"tiny":0.0000001,"t2":1e-400}`,
		`[1.10,2,3.0,-12345678901234567890123,9007199254740992,9007199254740993,-9007199254740992,-9007199254740993]`,
		`{"s":"\u00e9\/\n","k\u0065y":1,"plain":"é","\ud83d\ude00":"\uD83D\uDE00"}`,
		`{"pi":3.14159265358979323846264338327950288,"x":0.1,"y":123456789.012345,"w":0.000001,"v":0.000009999999999}`,
		`[[1.0,[2.0,{"a":[3.0]}]],4.0]`,
		`[1,[1.50,1],{"a":1.50},1.50]`,
		`{"a":1.50,"b":{"a":2.50,"b":"\/"},"c":3.50}`,
	}
	L := newJSONState(t)
	for _, doc := range same {
		v, err := Decode(L, doc, nil)
		if err != nil {
			t.Errorf("Decode(%s): %v", doc, err)
			continue
		}
		if got, err := Encode(L, v, nil); got != doc || err != nil {
			t.Errorf("%s became %s, %v", doc, got, err)
		}
	}
	v, err := Decode(L, " \t\r\n{ \"a\" : [ 1.0 , 2 ] , \"b\" : null } \n", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := Encode(L, v, nil); got != `{"a":[1.0,2],"b":null}` {
		t.Errorf("white space: %s", got)
	}
}

// Decoded tables as scripts use and change them.
func TestJSONInLua(t *testing.T) {
	const doc = `local d = json.decode('{"z":1.10,"big":342161316540874753,"s":"\\/","l":[1.0,2.0,3.0],"n":null}') `
	const whole = `{"z":1.10,"big":342161316540874753,"s":"\/","l":[1.0,2.0,3.0],"n":null}`
	edit := func(old, new string) string { return strings.Replace(whole, old, new, 1) }
	tests := []struct{ name, code, want string }{
		{"unchanged", doc + `return json.encode(d)`, whole},
		{"same value written", doc + `d.z = d.z d.s = "/" return json.encode(d)`, whole},
		{"number changed", doc + `d.z = 2 return json.encode(d)`, edit("1.10", "2")},
		{"big replaced", doc + `d.big = "7" return json.encode(d)`, edit("342161316540874753", `"7"`)},
		{"string changed", doc + `d.s = "a/b" return json.encode(d)`, edit(`\/`, "a/b")},
		{"first removed", doc + `d.z = nil return json.encode(d)`, edit(`"z":1.10,`, "")},
		{"middle removed", doc + `d.big = nil return json.encode(d)`, edit(`"big":342161316540874753,`, "")},
		{"removed and set again", doc + `d.big = nil d.big = "342161316540874753" return json.encode(d)`, whole},
		{"added", doc + `d.a = 0.5 return json.encode(d)`, edit(`null}`, `null,"a":0.5}`)},
		{"item changed", doc + `d.l[2] = 5 return json.encode(d)`, edit("2.0", "5")},
		{"item appended", doc + `table.insert(d.l, 4) return json.encode(d.l)`, `[1.0,2.0,3.0,4]`},
		{"item removed", doc + `table.remove(d.l, 1) return json.encode(d.l)`, `[2,3]`},
		{"list emptied", doc + `d.l[1] = nil d.l[2] = nil d.l[3] = nil return json.encode(d.l)`, `[]`},
		{"child moved", doc + `return json.encode({x = d.l})`, `{"x":[1.0,2.0,3.0]}`},
		{"big in a new table", doc + `return json.encode({x = d.big})`, `{"x":"342161316540874753"}`},
		{"types", doc + `return type(d.big) .. type(d.z) .. type(d.l) .. type(d.n) .. tostring(d.n)`, "stringnumbertableuserdatajson.null"},
		{"null", doc + `return tostring(d.n == json.null) .. tostring(d.z == json.null)`, "truefalse"},
		{"order of pairs", doc + `local s = "" for k in pairs(d) do s = s .. k .. " " end return s`, "z big s l n "},
		{"length", doc + `local n = 0 for _ in ipairs(d.l) do n = n + 1 end return n .. #d.l .. tostring(next({}) == nil)`, "33true"},
		{"not equal to another", doc + `return tostring(d == json.decode('{}')) .. tostring(d == d)`, "falsetrue"},
		{"setmetatable replaces", doc + `setmetatable(d, {__index = function() return "m" end}) return d.none .. json.encode(d)`, "m" + strings.NewReplacer("1.10", "1.1", "342161316540874753", `"342161316540874753"`, `\/`, "/").Replace(whole)},
		{"getmetatable is opaque", doc + `return type(getmetatable(d)) .. type(getmetatable(d.l)) .. tostring(getmetatable(json.decode('{"a":1}')))`, "userdatauserdatanil"},
		{"rawset and rawget", doc + `rawset(d, "z", 3) return rawget(d, "z") .. json.encode(d.l)`, "3[1.0,2.0,3.0]"},
		{"last of doubles", `return json.encode(json.decode('{"a":1.0,"b":2.0,"a":3.0}'))`, `{"a":3.0,"b":2.0}`},
		{"last of doubles, spelt once", `return json.encode(json.decode('{"a":1.0,"b":2.0,"a":7}'))`, `{"a":7,"b":2.0}`},
		{"empty table", `return json.encode({})`, `{}`},
		{"empty marked", `return json.encode({json.array({}), {}})`, `[[],{}]`},
		{"marked twice", `return json.encode(json.array(json.array({1})))`, `[1]`},
		{"decoded object marked", `return json.encode(json.array(json.decode('{}')))`, `[]`},
		{"decoded list marked", `return json.encode(json.array(json.decode('[1.0]')))`, `[1.0]`},
		{"trailing nil", `return json.encode({1, 2, nil})`, `[1,2]`},
		{"control characters", `return json.encode("\0\1\31\127\"\\/\b\n")`, "\"\\u0000\\u0001\\u001f\x7f\\\"\\\\/\\b\\n\""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := runLua(t, newJSONState(t), tt.code)
			if err != nil || got.String() != tt.want {
				t.Errorf("got  %v, %v\nwant %s", got, err, tt.want)
			}
		})
	}
}

// Marks are shared by all worlds: no script may change them.
func TestJSONMarksAreSealed(t *testing.T) {
	for _, code := range []string{
		`setmetatable(json.null, {})`,
		`setmetatable(getmetatable(json.decode('[]')), {})`,
		`setmetatable(getmetatable(json.decode('[1.0]')), {})`,
		`json.null.x = 1`,
		`getmetatable(json.decode('[]')).x = 1`,
		`setmetatable({}, getmetatable(json.decode('[]')))`,
		`json.array(setmetatable({}, {}))`,
		`getmetatable(json.null).__index = {}`,
	} {
		L := newJSONState(t)
		if _, err := runLua(t, L, code); err == nil {
			t.Errorf("%s has no error", code)
		}
		if got, err := runLua(t, L, `return tostring(json.null) .. json.encode(json.decode('[]'))`); err != nil || got.String() != "json.null[]" {
			t.Errorf("after %s: %v, %v", code, got, err)
		}
	}
}

// Null and the marks are the same values in every world; worlds run at once.
func TestJSONInManyWorlds(t *testing.T) {
	var wg sync.WaitGroup
	for range 4 {
		L := newJSONState(t)
		wg.Go(func() {
			err := L.DoString(`
				for i = 1, 200 do
					local d = json.decode('{"l":[],"n":null,"f":1.50}')
					assert(d.n == json.null and tostring(d.n) == "json.null")
					assert(getmetatable(d.n) == "json.null")
					assert(json.encode(d) == '{"l":[],"n":null,"f":1.50}')
				end`)
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestJSONNumbers(t *testing.T) {
	tests := []struct {
		f    float64
		want string
	}{
		{0, "0"}, {math.Copysign(0, -1), "0"}, {1, "1"}, {-1, "-1"}, {1 << 53, "9007199254740992"}, {-(1 << 53), "-9007199254740992"},
		{1<<53 + 2, "9007199254740994"}, {1e20, "100000000000000000000"}, {1e21, "1e+21"}, {0.1, "0.1"}, {100, "100"}, {1.1, "1.1"},
		{1e-6, "0.000001"}, {1e-7, "1e-07"}, {-1.5e300, "-1.5e+300"}, {5e-324, "5e-324"}, {100.0 / 3, "33.333333333333336"},
	}
	for _, tt := range tests {
		got, err := Encode(nil, lua.LNumber(tt.f), nil)
		if got != tt.want || err != nil {
			t.Errorf("Encode(%v) = %s, %v; want %s", tt.f, got, err, tt.want)
		}
		var back float64
		if err := json.Unmarshal([]byte(got), &back); err != nil || back != tt.f {
			t.Errorf("%s reads back as %v, %v", got, back, err)
		}
	}
}

func TestJSONDecodeValues(t *testing.T) {
	L := newJSONState(t)
	tests := map[string]lua.LValue{
		"0": lua.LNumber(0), "-1": lua.LNumber(-1), "1.5": lua.LNumber(1.5), "-0.25e2": lua.LNumber(-25), "1e400000e"[:5]: nil,
		"9007199254740992": lua.LNumber(1 << 53), "9007199254740993": lua.LString("9007199254740993"), "-9007199254740993": lua.LString("-9007199254740993"),
		"99999999999999999999": lua.LString("99999999999999999999"), "18446744073709551617": lua.LString("18446744073709551617"),
		"123456789.012345": lua.LNumber(123456789.012345), "0.30000000000000004": lua.LNumber(0.30000000000000004), "0.1": lua.LNumber(0.1),
		"1e-400": lua.LNumber(0), "1.7976931348623157e308": lua.LNumber(math.MaxFloat64),
		"null": Null, "true": lua.LTrue, "false": lua.LFalse,
		`"\"\\\/\b\f\n\r\tA"`: lua.LString("\"\\/\b\f\n\r\tA"), `"\u0000\u00E9\u20ac\uD834\uDD1E"`: lua.LString("\x00é€𝄞"), "\"\x7f\u2028\"": lua.LString("\x7f\u2028"),
	}
	for doc, want := range tests {
		got, err := Decode(L, doc, nil)
		if want == nil {
			if err == nil {
				t.Errorf("Decode(%s) = %v", doc, got)
			}
			continue
		}
		if got != want || err != nil {
			t.Errorf("Decode(%s) = %v, %v; want %v", doc, got, err, want)
		}
	}
}

func TestJSONDecodeErrors(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) }
	tests := []struct{ doc, want string }{
		{"", "the document ends where a value should be at offset 0"},
		{" ", "at offset 1"},
		{"{", "the document ends where a member name should be at offset 1"},
		{"[", "a value should be at offset 1"},
		{"[1", "',' or ']' should be at offset 2"},
		{"[1,]", "']' where a value should be at offset 3"},
		{"[,1]", "',' where a value should be at offset 1"},
		{"[1 2]", "'2' where ',' or ']' should be at offset 3"},
		{`{"a":1,}`, "'}' where a member name should be at offset 7"},
		{`{"a" 1}`, "'1' where ':' should be at offset 5"},
		{`{"a":}`, "'}' where a value should be at offset 5"},
		{`{"a":1 "b"`, "',' or '}' should be at offset 7"},
		{`{a:1}`, "'a' where a member name should be at offset 1"},
		{`{1:1}`, "member name should be at offset 1"},
		{"1 2", "'2' where the end should be at offset 2"},
		{"nul", "'n' where a value should be at offset 0"},
		{"nullx", "'x' where the end should be at offset 4"},
		{"True", "at offset 0"}, {"NaN", "at offset 0"}, {"Infinity", "at offset 0"}, {"'a'", "at offset 0"}, {"/**/1", "at offset 0"},
		{"+1", "at offset 0"}, {".5", "at offset 0"}, {"\v1", "at offset 0"}, {"\ufeff1", "at offset 0"}, {"\u00a01", "at offset 0"},
		{"01", "a number with a leading zero at offset 0"}, {"-01", "leading zero at offset 1"}, {"00", "leading zero at offset 0"},
		{"-", "a digit should be at offset 1"}, {"--1", "a digit should be at offset 1"}, {"1.", "a digit should be at offset 2"},
		{"1.e1", "a digit should be at offset 2"}, {"1e", "a digit should be at offset 2"}, {"1e+", "a digit should be at offset 3"},
		{"0x1", "'x' where the end should be at offset 1"}, {"[1e400]", "beyond the range of float64 at offset 1"}, {"-1e999999999999", "range"},
		{`"abc`, "at offset 4"}, {`"abc\`, "at offset 5"}, {`"\x41"`, "an unknown escape at offset 1"}, {`"\U0041"`, "an unknown escape at offset 1"},
		{`"a\u12"`, `four hexadecimal digits at offset 2`}, {`"\u12g4"`, `four hexadecimal digits at offset 1`}, {`"\u-123"`, `four hexadecimal`},
		{`"\ud800"`, "a lone surrogate at offset 1"}, {`"\udc00"`, "a lone surrogate at offset 1"}, {`"\ud800\u0041"`, "a lone surrogate at offset 1"},
		{`"\ud800\ud800"`, "a lone surrogate at offset 1"}, {`"\udc00\ud800"`, "a lone surrogate at offset 1"}, {`"\ud800\u12"`, "four hexadecimal digits at offset 7"},
		{"\"a\nb\"", "the control character 0x0a in a string at offset 2"}, {"\"\x00\"", "the control character 0x00 in a string at offset 1"},
		{"\"\xff\"", "invalid UTF-8 at offset 1"}, {"\"ab\xc0\x80\"", "invalid UTF-8 at offset 3"}, {"\"\xed\xa0\x80\"", "invalid UTF-8 at offset 1"},
		{"[\"\ufffd\",\xfe]", "invalid UTF-8 at offset 7"},
		{deep(MaxJSONDepth + 1), "nested deeper than 128 levels at offset 128"},
		{deep(100_000), "nested deeper than 128 levels at offset 128"},
		{strings.Repeat(`{"a":`, 100_000), "nested deeper than 128 levels at offset 640"},
		{"[" + strings.Repeat("0,", MaxJSONItems) + "0]", "a list of more than 65535 items at offset 131071"},
		{"{" + strings.Repeat(`"":0,`, MaxJSONItems) + `"":0}`, "an object of more than 65535 members"},
		{strings.Repeat(" ", MaxJSONText) + "1", "a document of 16777217 bytes"},
	}
	L := newJSONState(t)
	for _, tt := range tests {
		got, err := Decode(L, tt.doc, nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "json: ") {
			t.Errorf("Decode(%.40q) = %v, %v; want an error with %q", tt.doc, got, err, tt.want)
		}
	}
}

func TestJSONLimitsAreReached(t *testing.T) {
	L := newJSONState(t)
	for _, doc := range []string{
		strings.Repeat("[", MaxJSONDepth) + strings.Repeat("]", MaxJSONDepth),
		"[" + strings.Repeat("0,", MaxJSONItems-1) + "0]",
		`"` + strings.Repeat("a", MaxJSONText-2) + `"`,
	} {
		v, err := Decode(L, doc, nil)
		if err != nil {
			t.Errorf("Decode(%.20q…): %v", doc, err)
			continue
		}
		if got, err := Encode(L, v, nil); got != doc || err != nil {
			t.Errorf("%.20q… became %.20q…, %v", doc, got, err)
		}
	}
}

func TestJSONEncodeErrors(t *testing.T) {
	tests := []struct{ code, want string }{
		{`return json.encode(nil)`, "json: nil (json.null writes null)"},
		{`return json.encode(print)`, "json: a function cannot be written"},
		{`return json.encode({a = {1, 2, {b = print}}})`, "json: a function cannot be written at .a[3].b"},
		{`return json.encode({["a b"] = {[""] = {["1x"] = {x1 = 0/0}}}})`, `json: NaN is not a JSON number at ["a b"][""]["1x"].x1`},
		{`return json.encode({1/0})`, "json: +Inf is not a JSON number at [1]"},
		{`return json.encode({-1/0})`, "json: -Inf is not a JSON number at [1]"},
		{`return json.encode({a = coroutine.create(print)})`, "json: a thread cannot be written at .a"},
		{`return json.encode({a = getmetatable(json.decode('[]'))})`, "json: a userdata cannot be written at .a"},
		{`return json.encode({a = "\255"})`, "json: a string that is not UTF-8 (byte 0) at .a"},
		{`return json.encode("ab\237\160\128")`, "json: a string that is not UTF-8 (byte 2)"},
		{`return json.encode({["\255"] = 1})`, "json: a string that is not UTF-8 (byte 0) at"},
		{`return json.encode({1, 2, nil, 4})`, "json: a list with a gap (json.null writes null) at [3]"},
		{`local t = {1} t[5] = 5 return json.encode(t)`, "a gap (json.null writes null) at [2]"},
		{`return json.encode({x = {1, 2, a = 3}})`, `json: a list that also has the key "a" at .x`},
		{`return json.encode({1, [2.5] = 1})`, `json: a list that also has the key 2.5`},
		{`return json.encode({[0] = 1})`, `json: a table with the key 0 is neither a list nor an object`},
		{`return json.encode({[-1] = 1})`, `the key -1 is neither`},
		{`return json.encode({[true] = 1})`, `the key true is neither`},
		{`return json.encode({a = 1, [100000] = 1})`, `the key 100000 is neither`},
		{`return json.encode(json.array({a = 1}))`, `json: a list that also has the key "a"`},
		{`local d = json.decode('[1.0]') d.x = 1 return json.encode(d)`, `json: a list that also has the key "x"`},
		{`local t = {} t.a = t return json.encode(t)`, "json: nested deeper than 128 levels (a table that contains itself?) at .a.a.a"},
		{`local t = {} for i = 1, 65535 do t[i] = 0 end t[65536] = 0 return json.encode(t)`, "json: a list of more than 65535 items"},
		{`local t = {} for i = 1, 65536 do t["k" .. i] = 0 end return json.encode(t)`, "json: an object of more than 65535 members"},
		{`local s = string.rep("x", 2^23) return json.encode({s, s, s})`, "json: the text is longer than 16777216 bytes at [2]"},
		{`return json.encode(string.rep("\1", 2^22))`, "json: the text is longer than 16777216 bytes"},
		{`local t = {} for i = 1, 100 do t = {t, t} end return json.encode(t)`, "json: the text is longer than 16777216 bytes at [1]"},
	}
	for _, tt := range tests {
		got, err := runLua(t, newJSONState(t), tt.code)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s\ngives %.80v, %v\nwant an error with %s", tt.code, got, err, tt.want)
		}
		if err != nil && strings.Count(err.Error(), "[1]") > 50 {
			t.Errorf("%s: the path is not clipped", tt.code)
		}
	}
	var e *EncodeError
	if _, err := Encode(nil, lua.LNumber(math.NaN()), nil); !errors.As(err, &e) || e.Path != "" || e.Reason == "" {
		t.Errorf("%#v is no *EncodeError", err)
	}
}

// charge grows with the work, comes while it is done, and may end it.
func TestJSONCharge(t *testing.T) {
	L := newJSONState(t)
	cost := func(doc string) (decode, encode int) {
		v, err := Decode(L, doc, func(n int) { decode += n })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Encode(L, v, func(n int) { encode += n }); err != nil {
			t.Fatal(err)
		}
		return decode, encode
	}
	list := func(n int) string { return "[" + strings.Repeat("1,", n) + "1]" }
	for _, docs := range [][2]string{
		{list(1000), list(10_000)},
		{`"` + strings.Repeat("a", 10_000) + `"`, `"` + strings.Repeat("a", 100_000) + `"`},
		{"[" + strings.Repeat("{},", 1000) + "0]", "[" + strings.Repeat("{},", 10_000) + "0]"},
	} {
		d1, e1 := cost(docs[0])
		d10, e10 := cost(docs[1])
		if d1 < 500 || e1 < 500 || d10 < 9*d1 || d10 > 11*d1 || e10 < 9*e1 || e10 > 11*e1 {
			t.Errorf("%.10s…: %d and %d, ten times as much %d and %d", docs[0], d1, e1, d10, e10)
		}
	}
	spent := 0
	stop := func(n int) {
		if spent += n; spent > 1000 {
			panic("stopped")
		}
	}
	halt := func(work func()) {
		t.Helper()
		defer func() {
			if recover() != "stopped" || spent > 1000+10*costBatch {
				t.Errorf("not stopped in time: %d", spent)
			}
		}()
		spent = 0
		work()
	}
	many := "[" + strings.Repeat("[],", 10_000) + "0]"
	halt(func() { _, _ = Decode(L, many[:len(many)/10], stop) })
	v, err := Decode(L, many, nil)
	if err != nil {
		t.Fatal(err)
	}
	halt(func() { _, _ = Encode(L, v, stop) })
	if d, e := cost(`{"a":[1.0]}`); d == 0 || e == 0 {
		t.Error("a small document costs nothing")
	}
}

// A field kept from a large document does not keep the document.
func TestJSONCopiesFromLargeDocuments(t *testing.T) {
	L := newJSONState(t)
	for _, n := range []int{10, shareBelow} {
		doc := `{"k":"value","pad":"` + strings.Repeat("x", n) + `"}`
		v, err := Decode(L, doc, nil)
		if err != nil {
			t.Fatal(err)
		}
		field := string(v.(*lua.LTable).RawGetString("k").(lua.LString))
		inDoc := sharesMemory(doc, field)
		if want := len(doc) <= shareBelow; inDoc != want {
			t.Errorf("of a document of %d bytes the field is shared: %v", len(doc), inDoc)
		}
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1.10,null,"\u00e9"],"a":2}`, `[1e3,-0,342161316540874753,0.0000001]`, `"\ud83d\ude00"`, `[[[{}]]]`, "\xff", `{"a":1.0,"b":2.0,"a":1}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		L := lua.NewState(lua.Options{SkipOpenLibs: true, RegistrySize: 256, CallStackSize: 8})
		defer L.Close()
		v, err := Decode(L, doc, nil)
		var std any
		d := json.NewDecoder(strings.NewReader(doc))
		d.UseNumber()
		if err != nil {
			if !strings.HasPrefix(err.Error(), "json: ") || !utf8.ValidString(err.Error()) {
				t.Errorf("error %q", err)
			}
			return
		}
		if !json.Valid([]byte(doc)) {
			t.Fatalf("%q was accepted", doc)
		}
		if err := d.Decode(&std); err != nil {
			t.Fatal(err)
		}
		if err := sameAsStd(v, std); err != nil {
			t.Fatalf("%q: %v", doc, err)
		}
		text, err := Encode(L, v, nil)
		if err != nil {
			t.Fatalf("%q cannot be written: %v", doc, err)
		}
		again, err := Decode(L, text, nil)
		if err != nil {
			t.Fatalf("%q became %q: %v", doc, text, err)
		}
		if err := sameAsStd(again, std); err != nil && isContainer(v) {
			t.Fatalf("%q became %q: %v", doc, text, err)
		}
		if twice, err := Encode(L, again, nil); err != nil || isContainer(v) && twice != text {
			t.Fatalf("%q became %q, then %q, %v", doc, text, twice, err)
		}
	})
}

func isContainer(v lua.LValue) bool { return v.Type() == lua.LTTable }

// sameAsStd compares with what encoding/json read.
func sameAsStd(v lua.LValue, std any) error {
	differs := fmt.Errorf("%v is not %v", v, std)
	switch s := std.(type) {
	case nil:
		if v == Null {
			return nil
		}
	case bool:
		if v == lua.LBool(s) {
			return nil
		}
	case string:
		if v == lua.LString(s) {
			return nil
		}
	case json.Number:
		f, err := s.Float64()
		if v == lua.LNumber(f) && err == nil || v == lua.LString(s) {
			return nil
		}
	case []any:
		t, ok := v.(*lua.LTable)
		if !ok || !IsArray(t) || t.Len() != len(s) {
			return differs
		}
		for i, item := range s {
			if err := sameAsStd(t.RawGetInt(i+1), item); err != nil {
				return err
			}
		}
		return nil
	case map[string]any:
		t, ok := v.(*lua.LTable)
		if !ok || IsArray(t) {
			return differs
		}
		n := 0
		t.ForEach(func(lua.LValue, lua.LValue) { n++ })
		if n != len(s) {
			return differs
		}
		for k, member := range s {
			if err := sameAsStd(t.RawGetString(k), member); err != nil {
				return err
			}
		}
		return nil
	}
	return differs
}
