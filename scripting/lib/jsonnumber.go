package lib

import (
	"errors"
	"math"
	"strconv"

	lua "github.com/yuin/gopher-lua"
)

// pow10 holds the powers that a mantissa of 15 digits can be divided by exactly.
var pow10 = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// exactDigits is how many decimal digits every float64 keeps (DBL_DIG): a decimal of no more
// digits is the shortest one for its float64.
const exactDigits = 15

// number reads a number by the grammar of RFC 8259 section 6.
func (d *decoder) number() (lua.LValue, string, error) {
	start := d.pos
	negative := d.data[start] == '-'
	if negative {
		d.pos++
	}
	whole, n, err := d.digits(0)
	if err != nil {
		return nil, "", err
	}
	if n > 1 && d.data[d.pos-n] == '0' {
		return nil, "", d.fail(d.pos-n, "a number with a leading zero")
	}
	mantissa, fraction := whole, 0
	isInteger := true
	if d.at('.') {
		d.pos++
		isInteger = false
		if mantissa, fraction, err = d.digits(whole); err != nil {
			return nil, "", err
		}
	}
	hasExponent := d.at('e') || d.at('E')
	if hasExponent {
		if err := d.exponent(); err != nil {
			return nil, "", err
		}
	}
	raw := d.data[start:d.pos]
	switch {
	case hasExponent || !isInteger && n+fraction > exactDigits:
		return d.float(start, raw)
	case isInteger:
		return d.integer(raw, mantissa, n, negative)
	}
	return d.decimal(raw, mantissa, fraction, negative)
}

func (d *decoder) at(c byte) bool { return d.pos < len(d.data) && d.data[d.pos] == c }

// digits reads one digit or more and appends them to the decimal m, which may overflow: callers
// look at the count first.
func (d *decoder) digits(m uint64) (uint64, int, error) {
	start := d.pos
	for d.pos < len(d.data) && d.data[d.pos]-'0' <= 9 {
		m = m*10 + uint64(d.data[d.pos]-'0')
		d.pos++
	}
	if d.pos == start {
		return 0, 0, d.unexpected("a digit")
	}
	return m, d.pos - start, nil
}

func (d *decoder) exponent() error {
	d.pos++
	if d.at('+') || d.at('-') {
		d.pos++
	}
	_, _, err := d.digits(0)
	return err
}

func (d *decoder) integer(raw string, m uint64, digits int, negative bool) (lua.LValue, string, error) {
	if digits > 16 || m > maxSafeInteger {
		raw = d.keep(raw)
		return lua.LString(raw), raw, nil
	}
	if !negative {
		return lua.LNumber(m), "", nil
	}
	if m == 0 {
		return lua.LNumber(math.Copysign(0, -1)), d.keep(raw), nil
	}
	return -lua.LNumber(m), "", nil
}

// decimal is a number of at most exactDigits digits without an exponent: both m and the power are
// exact, so the quotient is the nearest float64.
func (d *decoder) decimal(raw string, m uint64, fraction int, negative bool) (lua.LValue, string, error) {
	f := float64(m) / pow10[fraction]
	// Encode writes the same digits unless they end in 0 or it would use an exponent.
	asWritten := raw[len(raw)-1] != '0' && f >= minPlain
	if negative {
		f = -f
	}
	if asWritten {
		return lua.LNumber(f), "", nil
	}
	return lua.LNumber(f), d.keep(raw), nil
}

func (d *decoder) float(start int, raw string) (lua.LValue, string, error) {
	f, err := strconv.ParseFloat(raw, 64)
	if errors.Is(err, strconv.ErrRange) {
		return nil, "", d.fail(start, "a number beyond the range of float64")
	}
	if err != nil {
		return nil, "", d.fail(start, "a malformed number")
	}
	return lua.LNumber(f), d.keep(raw), nil
}
