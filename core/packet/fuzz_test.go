package packet

import "testing"

func FuzzParseHeader(f *testing.F) {
	for _, c := range wireCases(f) {
		f.Add(c.bytes[:min(len(c.bytes), 6)])
	}
	f.Fuzz(func(t *testing.T, buf []byte) {
		h, ok, err := ParseHeader(buf)
		if ok && err != nil {
			t.Fatal("a header and an error")
		}
		if _, okV31, errV31 := ParseHeaderV31(buf); ok && !okV31 || err == nil && errV31 != nil {
			t.Fatal("3.1 refuses what 3.1.1 accepts")
		}
		if !ok {
			return
		}
		if h.HeaderLen < 2 || h.HeaderLen > 5 || h.HeaderLen > len(buf) || h.Size != h.HeaderLen+h.Length || h.Length > MaxLength {
			t.Fatalf("% x: %+v", buf, h)
		}
		if again := AppendFixedHeader(nil, h.Type, h.Flags, h.Length); string(again) != string(buf[:h.HeaderLen]) {
			t.Fatalf("% x encodes to % x", buf[:h.HeaderLen], again)
		}
		for n := range h.HeaderLen { // no error before the end of what is none
			if _, ok, err := ParseHeader(buf[:n]); ok || err != nil {
				t.Fatalf("% x: %v, %v after %d bytes", buf, ok, err, n)
			}
		}
	})
}

// FuzzDecode: any bytes, in every version and from either side, are refused or
// survive their own encoding.
func FuzzDecode(f *testing.F) {
	for _, c := range wireCases(f) {
		f.Add(byte(c.version), byte(c.sender), c.bytes)
	}
	f.Fuzz(func(t *testing.T, version, sender byte, buf []byte) {
		v, s := V31+Version(version)%3, Sender(sender&1)
		p, _, err := decodeOne(v, s, buf)
		if err != nil || p == nil {
			return
		}
		checkAgain(t, v, s, p)
	})
}
