package core

// queued is a message that waits for its turn with one receiver.
type queued struct {
	msg    *Message // kept, immutable
	sub    *subscription
	ids    []uint32 // subscription identifiers of all that matched
	seq    uint64   // order of arrival in the session; the store's name for it
	qos    byte
	retain bool // the flag it is sent with
	stored bool
	held   *held // the batch that stores it; nil: none
}

// queue is a ring of queued messages that grows on demand. The zero value is
// empty and holds no memory.
type queue struct {
	ring  []queued
	head  int32
	n     int32
	bytes int
}

func (q *queue) len() int { return int(q.n) }

func (q *queue) push(x queued) {
	if q.len() == len(q.ring) {
		q.grow()
	}
	*q.at(q.len()) = x
	q.n++
	q.bytes += x.msg.Weight()
}

// first returns the message that pop takes.
func (q *queue) first() *queued { return &q.ring[q.head] }

// at returns the i-th message.
func (q *queue) at(i int) *queued { return &q.ring[(int(q.head)+i)%len(q.ring)] }

// pushFront gives back what popped last.
func (q *queue) pushFront(x queued) {
	if q.len() == len(q.ring) {
		q.grow()
	}
	q.head = int32((int(q.head) - 1 + len(q.ring)) % len(q.ring))
	q.ring[q.head] = x
	q.n++
	q.bytes += x.msg.Weight()
}

func (q *queue) grow() {
	next := make([]queued, max(4, 2*len(q.ring)))
	for i := range q.len() {
		next[i] = *q.at(i)
	}
	q.ring, q.head = next, 0
}

func (q *queue) pop() (queued, bool) {
	if q.n == 0 {
		return queued{}, false
	}
	x := q.ring[q.head]
	q.ring[q.head] = queued{}
	q.head = int32((int(q.head) + 1) % len(q.ring))
	q.n--
	q.bytes -= x.msg.Weight()
	if q.n == 0 && len(q.ring) > 64 {
		q.ring, q.head = nil, 0
	}
	return x, true
}

// popBack takes the last message of a queue that has one.
func (q *queue) popBack() queued {
	last := q.at(q.len() - 1)
	x := *last
	*last = queued{}
	q.n--
	q.bytes -= x.msg.Weight()
	return x
}

// take removes and returns all for which want holds, in order.
func (q *queue) take(want func(*queued) bool) (taken []queued) {
	for range q.n {
		x, _ := q.pop()
		if want(&x) {
			taken = append(taken, x)
		} else {
			q.push(x)
		}
	}
	return taken
}
