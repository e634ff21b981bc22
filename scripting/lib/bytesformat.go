package lib

import (
	"fmt"
	"math"
)

const (
	// maxFormat is the longest format of Pack and Unpack, in bytes, and so the most values.
	maxFormat = 1024
	// maxIntSize is MAXINTSIZE of Lua 5.3's lstrlib.c.
	maxIntSize = 16
	// nativeAlign is MAXALIGN of lstrlib.c on 64-bit machines.
	nativeAlign = 8
)

// packFormat reads a format of Lua 5.3's string.pack, option by option (reference manual section
// 6.4.2). Sizes are those of a 64-bit machine:
//
//	< > =       little, big, native (little) endian from here on
//	![n]        align to n bytes at most, 8 without n; without it nothing is aligned
//	b B  h H    signed and unsigned integers of 1 and 2 bytes
//	i[n] I[n]   of n bytes, 1 to 16, 4 without n
//	l L  j J T  of 8 bytes; T is unsigned
//	f  d n      floats of 4 and 8 bytes
//	s[n]        a string after its length in n bytes, 8 without n
//	z           a string that a zero byte ends
//	cn          a string of n bytes, filled with zeros
//	x           a zero byte
//	Xop         aligns as the option op would, and nothing else
//	a space     nothing
type packFormat struct {
	format    string
	pos       int
	bigEndian bool
	maxAlign  int
}

type optionKind uint8

const (
	optNone   optionKind = iota // sets something, or a space
	optInt                      // b h i l j
	optUint                     // B H I L J T
	optFloat                    // f d n
	optChars                    // c
	optString                   // s
	optZero                     // z
	optPad                      // x
	optAlign                    // X
)

// option is one item of a format.
type option struct {
	kind      optionKind
	letter    string
	size      int // bytes of the item, of its length for s
	pad       int // bytes before it that align it
	bigEndian bool
}

// name is the option with its size where a format can say one.
func (o option) name() string {
	switch o.letter {
	case "i", "I", "s", "c":
		return fmt.Sprint(o.letter, o.size)
	}
	return o.letter
}

// place is where the byte of value 256^i is among the size bytes of an integer.
func (o option) place(i int) int {
	if o.bigEndian {
		return o.size - 1 - i
	}
	return i
}

// next returns the next option that reads or writes something, aligned for an item at offset;
// false at the end of the format.
func (f *packFormat) next(offset int) (option, bool, error) {
	if len(f.format) > maxFormat {
		return option{}, false, fmt.Errorf("bytes: a format of %d bytes, at most %d are read", len(f.format), maxFormat)
	}
	for f.pos < len(f.format) {
		o, err := f.option()
		if err != nil {
			return option{}, false, err
		}
		if o.kind == optNone {
			continue
		}
		o.bigEndian = f.bigEndian
		if o.pad, err = f.padding(o, offset); err != nil {
			return option{}, false, err
		}
		return o, true, nil
	}
	return option{}, false, nil
}

// option reads one option and does what it sets.
func (f *packFormat) option() (o option, err error) {
	c := f.format[f.pos]
	o.letter = f.format[f.pos : f.pos+1]
	f.pos++
	switch c {
	case 'b', 'B':
		o.size = 1
	case 'h', 'H':
		o.size = 2
	case 'i', 'I':
		o.size, err = f.limited(4)
	case 'l', 'L', 'j', 'J', 'T':
		o.size = 8
	case 'f':
		o.kind, o.size = optFloat, 4
	case 'd', 'n':
		o.kind, o.size = optFloat, 8
	case 's':
		o.kind = optString
		o.size, err = f.limited(8)
	case 'c':
		o.kind = optChars
		o.size, err = f.charCount()
	case 'z':
		o.kind = optZero
	case 'x':
		o.kind, o.size = optPad, 1
	case 'X':
		o.kind = optAlign
	case '<', '=':
		f.bigEndian = false
	case '>':
		f.bigEndian = true
	case '!':
		f.maxAlign, err = f.limited(nativeAlign)
	case ' ':
	default:
		err = fmt.Errorf("bytes: no format option %q at offset %d", o.letter, f.pos-1)
	}
	if o.kind == optNone && o.size > 0 {
		o.kind = optUint
		if c >= 'a' {
			o.kind = optInt
		}
	}
	return o, err
}

// limited reads the optional size of an integer.
func (f *packFormat) limited(otherwise int) (int, error) {
	n, ok := f.digits()
	if !ok {
		return otherwise, nil
	}
	if n < 1 || n > maxIntSize {
		return 0, fmt.Errorf("bytes: a size at offset %d of the format is outside 1 to %d", f.pos, maxIntSize)
	}
	return n, nil
}

func (f *packFormat) charCount() (int, error) {
	n, ok := f.digits()
	if !ok {
		return 0, fmt.Errorf("bytes: c at offset %d of the format lacks its size", f.pos-1)
	}
	if n > MaxPacked {
		return 0, fmt.Errorf("bytes: c at offset %d of the format is longer than %d bytes", f.pos, MaxPacked)
	}
	return n, nil
}

// digits reads a number; math.MaxInt32 stands for all that are larger.
func (f *packFormat) digits() (n int, ok bool) {
	for f.pos < len(f.format) && f.format[f.pos]-'0' <= 9 {
		n = min(n*10+int(f.format[f.pos]-'0'), math.MaxInt32)
		ok = true
		f.pos++
	}
	return n, ok
}

// padding returns how many bytes align o at offset. An item is aligned to its size, or to the
// limit of ! if that is smaller; strings of c and z never are.
func (f *packFormat) padding(o option, offset int) (int, error) {
	align := o.size
	if o.kind == optAlign {
		at := f.pos - 1
		if f.pos == len(f.format) {
			return 0, fmt.Errorf("bytes: X at offset %d of the format lacks its option", at)
		}
		of, err := f.option()
		if err != nil {
			return 0, err
		}
		if of.kind == optChars || of.size == 0 {
			return 0, fmt.Errorf("bytes: X at offset %d of the format cannot align to %q", at, of.letter)
		}
		align = of.size
	}
	if o.kind == optChars {
		return 0, nil
	}
	align = min(align, f.maxAlign)
	if align <= 1 {
		return 0, nil
	}
	if align&(align-1) != 0 {
		return 0, fmt.Errorf("bytes: %q asks for an alignment to %d, not a power of 2", o.letter, align)
	}
	return -offset & (align - 1), nil
}
