package lib

import (
	"strings"
	"testing"
	"unsafe"

	lua "github.com/yuin/gopher-lua"
)

// sharesMemory says whether part lies within whole.
func sharesMemory(whole, part string) bool {
	w, p := uintptr(unsafe.Pointer(unsafe.StringData(whole))), uintptr(unsafe.Pointer(unsafe.StringData(part)))
	return p >= w && p < w+uintptr(len(whole))
}

// reading is an ordinary payload of 200 bytes; spelt has scalars whose spelling is remembered.
const (
	reading = `{"device":"gw-7/boiler","time":"2025-03-01T12:30:45Z","temperature":21.5,"humidity":48.25,"battery":3.71,"seq":182734,"ok":true,"alarm":null,"tags":["north","cellar"],"pos":{"lat":52.5163,"lon":13.37772}}`
	spelled = `{"device":"gw-7\/boiler","time":"2025-03-01T12:30:45Z","temperature":21.50,"humidity":48.0,"battery":3.71,"seq":342161316540874753,"ok":true,"alarm":null,"tags":["north","cellar"],"pos":{"lat":52.5163,"lon":13.37770}}`
)

// The number of allocations of an ordinary payload is pinned: most are the interpreter's tables.
func TestJSONAllocations(t *testing.T) {
	L := newJSONState(t)
	n := testing.AllocsPerRun(200, func() { decodeChangeEncode(t, L, reading) })
	if t.Logf("%v allocations", n); n > 80 {
		t.Errorf("%v allocations to decode, change and encode 200 bytes, want 80 at most", n)
	}
}

func decodeChangeEncode(t testing.TB, L *lua.LState, doc string) {
	v, err := Decode(L, doc, nil)
	if err != nil {
		t.Fatal(err)
	}
	v.(*lua.LTable).RawSetString("temperature", lua.LNumber(70.7))
	if _, err := Encode(L, v, nil); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkJSON(b *testing.B) {
	L := newJSONState(b)
	long := "[" + strings.Repeat(reading+",", 500) + reading + "]"
	run := func(name, doc string, work func(b *testing.B, v lua.LValue)) {
		v, err := Decode(L, doc, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				work(b, v)
			}
		})
	}
	decode := func(doc string) func(*testing.B, lua.LValue) {
		return func(b *testing.B, _ lua.LValue) {
			if _, err := Decode(L, doc, nil); err != nil {
				b.Fatal(err)
			}
		}
	}
	encode := func(b *testing.B, v lua.LValue) {
		if _, err := Encode(L, v, nil); err != nil {
			b.Fatal(err)
		}
	}
	run("decode", reading, decode(reading))
	run("encode", reading, encode)
	run("cycle", reading, func(b *testing.B, _ lua.LValue) { decodeChangeEncode(b, L, reading) })
	run("cycle spelled", spelled, func(b *testing.B, _ lua.LValue) { decodeChangeEncode(b, L, spelled) })
	run("decode 100 KB", long, decode(long))
	run("encode 100 KB", long, encode)
}
