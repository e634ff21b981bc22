package disk

import (
	"encoding/binary"
	"errors"
	"math"
)

// Fields are written one behind the other: numbers as varints, texts and bytes
// behind their length, truths as bits of one number.

func appendText[T string | []byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// bits packs truths into a number, the first in the lowest bit.
func bits(flags ...bool) (n uint64) {
	for i, f := range flags {
		if f {
			n |= 1 << i
		}
	}
	return n
}

// errFields: the fields of a record do not make sense.
var errFields = errors.New("the fields are not as they are written")

// reader reads fields. After the first error all reads give zero; err tells it.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail() {
	r.err, r.rest = errFields, nil
}

func (r *reader) uint() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) int() int64 {
	n, size := binary.Varint(r.rest)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// upTo reads a number that is at most most.
func (r *reader) upTo(most uint64) uint64 {
	n := r.uint()
	if n > most {
		r.fail()
		return 0
	}
	return n
}

func (r *reader) byte() byte { return byte(r.upTo(math.MaxUint8)) }

// float reads a number that floatBits wrote.
func (r *reader) float() float64 { return math.Float64frombits(r.uint()) }

// lent reads bytes, valid as long as the record is.
func (r *reader) lent() []byte {
	n := r.uint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) text() string { return string(r.lent()) }

// bytes reads bytes of their own; none are nil.
func (r *reader) bytes() []byte {
	b := r.lent()
	if len(b) == 0 {
		return nil
	}
	return append(make([]byte, 0, len(b)), b...)
}

// count reads how many things follow that have size bytes each at least.
func (r *reader) count(size int) int {
	n := r.uint()
	if n > uint64(len(r.rest)/size) {
		r.fail()
		return 0
	}
	return int(n)
}

// flags reads what bits wrote.
func (r *reader) flags(into ...*bool) {
	n := r.upTo(1<<len(into) - 1)
	for i, f := range into {
		*f = n&(1<<i) != 0
	}
}

// end returns what was wrong, a rest included.
func (r *reader) end() error {
	if r.err == nil && len(r.rest) > 0 {
		r.fail()
	}
	return r.err
}
