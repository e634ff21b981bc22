package core

import "sync"

// rest keeps the bytes of an unfinished packet. It grows with what has come,
// never with what was announced: a few bytes are allocated, more are in a
// buffer of a pool, and what is too much for that is allocated again.
type rest struct {
	buf    []byte
	pooled *[restPooled]byte
}

// A rest takes a pooled buffer when it has at least an eighth of it.
const (
	restPooled = 128 << 10
	restFew    = restPooled / 8
)

var restBuffers = sync.Pool{New: func() any { return new([restPooled]byte) }}

// add appends p.
func (q *rest) add(p []byte) {
	n := len(q.buf) + len(p)
	if n > restFew && n <= restPooled && q.pooled == nil && cap(q.buf) < n {
		q.pooled = restBuffers.Get().(*[restPooled]byte)
		q.buf = q.pooled[:copy(q.pooled[:], q.buf)]
	}
	q.buf = append(q.buf, p...)
	if n > restPooled {
		q.giveBack()
	}
}

// drop takes the first n bytes away.
func (q *rest) drop(n int) {
	if n == len(q.buf) {
		q.giveBack()
		q.buf = nil
		return
	}
	q.buf = q.buf[:copy(q.buf, q.buf[n:])]
}

func (q *rest) giveBack() {
	if q.pooled != nil {
		restBuffers.Put(q.pooled)
		q.pooled = nil
	}
}
