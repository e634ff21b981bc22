package packet

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// wireCase is one case of testdata/wire. A case is a paragraph:
//
//	[MQTT-3.14.2-1] what it shows        with the number of the specification
//	server 5                             who sends, in which version
//	> E0 01 89                           the bytes, as hex or "text"; again for more
//	= DISCONNECT server_busy             what it decodes to,
//	! malformed_packet                   or the reason code it is refused with,
//	...                                  or that more bytes are needed
//
// Lines that begin with # are comments.
type wireCase struct {
	file, name string
	sender     Sender
	version    Version
	bytes      []byte
	want       string // the last line
}

var versionsByName = map[string]Version{"3.1": V31, "3.1.1": V311, "5": V5}

// wireCases reads all cases.
func wireCases(tb testing.TB) (cases []wireCase) {
	tb.Helper()
	files, err := filepath.Glob("testdata/wire/*.txt")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no wire cases: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		for paragraph := range strings.SplitSeq(string(text), "\n\n") {
			if c, ok := parseWireCase(tb, paragraph); ok {
				c.file = strings.TrimSuffix(filepath.Base(file), ".txt")
				cases = append(cases, c)
			}
		}
	}
	return cases
}

func parseWireCase(tb testing.TB, paragraph string) (c wireCase, ok bool) {
	for line := range strings.Lines(paragraph) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case c.name == "":
			c.name = line
		case strings.HasPrefix(line, "client "), strings.HasPrefix(line, "server "):
			who, version, _ := strings.Cut(line, " ")
			if who == "server" {
				c.sender = FromServer
			}
			if c.version = versionsByName[version]; c.version == 0 {
				tb.Fatalf("%s: unknown version %q", c.name, version)
			}
		case strings.HasPrefix(line, ">"):
			c.bytes = append(c.bytes, parseBytes(tb, line[1:])...)
		case line[0] == '=' || line[0] == '!' || line == "...":
			c.want = line
		default:
			tb.Fatalf("%s: what is %q?", c.name, line)
		}
	}
	if c.name != "" && (c.version == 0 || c.want == "") {
		tb.Fatalf("%s: not complete", c.name)
	}
	return c, c.name != ""
}

// parseBytes reads hex digits and quoted ASCII text.
func parseBytes(tb testing.TB, line string) (out []byte) {
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			out = append(out, part...)
			continue
		}
		b, err := hex.DecodeString(strings.ReplaceAll(part, " ", ""))
		if err != nil {
			tb.Fatalf("%q: %v", line, err)
		}
		out = append(out, b...)
	}
	return out
}

// outcome is what decoding comes to, in the words of the cases.
func outcome(tb testing.TB, c wireCase) string {
	p, _, err := decodeOne(c.version, c.sender, c.bytes)
	var e *Error
	switch {
	case errors.As(err, &e):
		if e.Text == "" {
			tb.Error("the error has no text")
		}
		return "! " + e.Code.String()
	case err != nil:
		tb.Fatalf("%T is not an *Error", err)
	case p == nil:
		return "..."
	}
	return "= " + render(p)
}

func TestWire(t *testing.T) {
	cases := wireCases(t)
	names := make(map[string]bool)
	for _, c := range cases {
		if names[c.file+c.name] {
			t.Errorf("%s: %s: twice", c.file, c.name)
		}
		names[c.file+c.name] = true
		t.Run(c.file+"/"+c.name, func(t *testing.T) {
			if got := outcome(t, c); got != c.want {
				t.Errorf("% x\n got %s\nwant %s", c.bytes, got, c.want)
			}
		})
	}
	t.Logf("%d cases", len(cases))
}

// validCases are the cases that decode.
func validCases(tb testing.TB) (valid []wireCase) {
	for _, c := range wireCases(tb) {
		if strings.HasPrefix(c.want, "=") {
			valid = append(valid, c)
		}
	}
	return valid
}

// TestWireAgain: what was decoded encodes to something that decodes to the same,
// and has the size that Size says.
func TestWireAgain(t *testing.T) {
	for _, c := range validCases(t) {
		p, size, err := decodeOne(c.version, c.sender, c.bytes)
		if err != nil || size != len(c.bytes) {
			t.Errorf("%s: %d of %d bytes read, %v", c.name, size, len(c.bytes), err)
			continue
		}
		checkAgain(t, c.version, c.sender, p)
	}
}

// checkAgain encodes p and decodes it again.
func checkAgain(tb testing.TB, v Version, s Sender, p anyPacket) {
	tb.Helper()
	const before = "bytes before"
	out := p.Append([]byte(before), v)
	if string(out[:len(before)]) != before {
		tb.Errorf("%s: Append wrote over what was there", render(p))
	}
	out = out[len(before):]
	if p.Size(v) != len(out) {
		tb.Errorf("%s: Size %d, %d bytes appended", render(p), p.Size(v), len(out))
	}
	again, size, err := decodeOne(v, s, out)
	if err != nil || again == nil || size != len(out) {
		tb.Fatalf("%s: encoded to % x: %d bytes read, %v", render(p), out, size, err)
	}
	if render(again) != render(p) {
		tb.Errorf("% x\n first %s\nsecond %s", out, render(p), render(again))
	}
}

// TestWireCut: a packet cut anywhere asks for more, and one whose header tells
// the shorter length is refused or is another packet; nothing panics.
func TestWireCut(t *testing.T) {
	for _, c := range validCases(t) {
		h, _, err := ParseHeaderV31(c.bytes)
		if err != nil {
			t.Fatal(err)
		}
		for n := range c.bytes {
			if p, _, err := decodeOne(c.version, c.sender, c.bytes[:n]); p != nil || err != nil {
				t.Errorf("%s: cut to %d bytes: %v, %v, want more", c.name, n, p, err)
			}
		}
		for n := range h.Length {
			short := AppendFixedHeader(nil, h.Type, h.Flags, n)
			short = append(short, c.bytes[h.HeaderLen:h.HeaderLen+n]...)
			checkStable(t, c, short)
		}
	}
}

// TestWireFlip: each bit of each packet flipped.
func TestWireFlip(t *testing.T) {
	for _, c := range validCases(t) {
		for i := range c.bytes {
			for mask := 1; mask < 256; mask <<= 1 {
				checkFlip(t, c, i, byte(mask))
			}
			checkFlip(t, c, i, 0xFF)
		}
	}
}

func checkFlip(t *testing.T, c wireCase, i int, mask byte) {
	flipped := append([]byte(nil), c.bytes...)
	flipped[i] ^= mask
	checkStable(t, c, flipped)
}

// checkStable decodes buf; what decodes must survive its own encoding.
func checkStable(t *testing.T, c wireCase, buf []byte) {
	t.Helper()
	p, _, err := decodeOne(c.version, c.sender, buf)
	if err != nil || p == nil {
		return
	}
	checkAgain(t, c.version, c.sender, p)
}
