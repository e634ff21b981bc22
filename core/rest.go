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

// room is where what comes next may be read, behind what is there; nil if there is
// none worth a read. What was read there is added like all else.
func (q *rest) room() []byte {
	if q.pooled == nil {
		return nil
	}
	q.makeRoom(restFew)
	if free := q.buf[len(q.buf):cap(q.buf)]; len(free) >= restFew {
		return free
	}
	return nil
}

// makeRoom moves what is in a pooled buffer to its front, if that makes room for n
// bytes behind it.
func (q *rest) makeRoom(n int) {
	if cap(q.buf)-len(q.buf) < n && len(q.buf)+n <= restPooled {
		q.buf = q.pooled[:copy(q.pooled[:], q.buf)]
	}
}

// add appends p.
func (q *rest) add(p []byte) {
	if q.isBehind(p) {
		q.buf = q.buf[:len(q.buf)+len(p)]
		return
	}
	n := len(q.buf) + len(p)
	switch {
	case n > restPooled:
	case q.pooled != nil:
		q.makeRoom(len(p))
	case n > restFew && cap(q.buf) < n:
		q.pooled = restBuffers.Get().(*[restPooled]byte)
		q.buf = q.pooled[:copy(q.pooled[:], q.buf)]
	}
	q.buf = append(q.buf, p...)
	if n > restPooled {
		q.giveBack()
	}
}

// isBehind says that p was read into the room.
func (q *rest) isBehind(p []byte) bool {
	n := len(q.buf)
	return len(p) > 0 && cap(q.buf)-n >= len(p) && &q.buf[:n+1][n] == &p[0]
}

// drop takes the first n bytes away.
func (q *rest) drop(n int) {
	q.buf = q.buf[n:]
	if len(q.buf) == 0 {
		q.giveBack()
		q.buf = nil
	}
}

func (q *rest) giveBack() {
	if q.pooled != nil {
		restBuffers.Put(q.pooled)
		q.pooled = nil
	}
}
