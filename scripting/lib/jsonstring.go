package lib

import (
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// plainByte says which bytes stand for themselves within a string: all but '"', '\' and the
// control characters (RFC 8259 section 7).
var plainByte = func() (plain [256]bool) {
	for c := range plain {
		plain[c] = c >= 0x20 && c != '"' && c != '\\'
	}
	return plain
}()

// text reads a string; pos is at its opening quote. raw is its spelling if it has escapes.
func (d *decoder) text() (s, raw string, err error) {
	start := d.pos + 1
	i := start
	for i < len(d.data) && plainByte[d.data[i]] {
		i++
	}
	d.pos = i
	if d.at('"') {
		d.pos++
		return d.keep(d.data[start:i]), "", nil
	}
	d.scratch = append(d.scratch[:0], d.data[start:i]...)
	if err := d.escaped(); err != nil {
		return "", "", err
	}
	return string(d.scratch), d.keep(d.data[start-1 : d.pos]), nil
}

// escaped reads the rest of a string from its first escape on into scratch.
func (d *decoder) escaped() error {
	for d.pos < len(d.data) {
		switch c := d.data[d.pos]; {
		case c == '"':
			d.pos++
			return nil
		case c == '\\':
			if err := d.escape(); err != nil {
				return err
			}
		case c < 0x20:
			return d.fail(d.pos, fmt.Sprintf("the control character %#02x in a string", c))
		default:
			i := d.pos
			for d.pos < len(d.data) && plainByte[d.data[d.pos]] {
				d.pos++
			}
			d.scratch = append(d.scratch, d.data[i:d.pos]...)
		}
	}
	return d.unexpected(`'"'`)
}

// shortEscapes are the letters after a backslash that stand for one byte.
var shortEscapes = [256]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

func (d *decoder) escape() error {
	at := d.pos
	if d.pos++; d.pos >= len(d.data) {
		return d.unexpected("an escape")
	}
	c := d.data[d.pos]
	d.pos++
	if c != 'u' {
		if shortEscapes[c] == 0 {
			return d.fail(at, "an unknown escape")
		}
		d.scratch = append(d.scratch, shortEscapes[c])
		return nil
	}
	r, err := d.hex4(at)
	if err != nil {
		return err
	}
	if utf16.IsSurrogate(r) {
		if r, err = d.lowSurrogate(at, r); err != nil {
			return err
		}
	}
	d.scratch = utf8.AppendRune(d.scratch, r)
	return nil
}

func (d *decoder) hex4(at int) (rune, error) {
	if len(d.data)-d.pos < 4 {
		return 0, d.fail(at, `\u without four hexadecimal digits`)
	}
	var r rune
	for _, c := range []byte(d.data[d.pos : d.pos+4]) {
		switch {
		case c-'0' <= 9:
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, d.fail(at, `\u without four hexadecimal digits`)
		}
	}
	d.pos += 4
	return r, nil
}

// lowSurrogate reads the second half of a pair whose first half is high.
func (d *decoder) lowSurrogate(at int, high rune) (rune, error) {
	if !strings.HasPrefix(d.data[d.pos:], `\u`) {
		return 0, d.fail(at, "a lone surrogate")
	}
	second := d.pos
	d.pos += 2
	low, err := d.hex4(second)
	if err != nil {
		return 0, err
	}
	r := utf16.DecodeRune(high, low)
	if r == utf8.RuneError {
		return 0, d.fail(at, "a lone surrogate")
	}
	return r, nil
}
