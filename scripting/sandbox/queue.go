package sandbox

import (
	"container/heap"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// bargeFor is how long whoever comes first may take a world that has become free while others wait
	// for it; who has waited longer is handed it. As in sync.Mutex: handing over each short call would
	// cost a change of goroutines for each.
	bargeFor = time.Millisecond
	// spins is how often a world is tried before waiting for it, some 500 ns: most calls are over by then.
	spins = 200
	// leastTime is what a turn is taken to have cost at least: what is shorter is not measured.
	leastTime = 5 * time.Microsecond
	// maxDebts bounds what is remembered of who had turns while others waited.
	maxDebts = 16 << 10
)

// A queue is the lock of a world, and the queue for it, fair by who asks.
//
// Who holds the world longer waits longer: of those that wait the next is the one whose turns have
// taken the least time since the queue formed (start-time fair queueing; Goyal, Vin, Cheng, SIGCOMM
// 1996). So one that comes rarely waits for the call under way, whatever the others have queued. Waiters of
// one payer are served in order.
type queue struct {
	state  atomic.Uint32 // taken, awaited
	length atomic.Int32  // of waiting

	mu sync.Mutex

	// Guarded by mu:
	waiting waiters
	called  *waiter                  // woken, and not yet back
	now     time.Duration            // virtual: the start of the last turn given to a waiter
	debts   map[uint64]time.Duration // virtual: when a payer's next turn starts
	serial  uint64
}

// A Queue is such a lock for something else.
type Queue struct{ queue queue }

// TryEnter locks the queue if it is free.
func (q *Queue) TryEnter() bool { return q.queue.tryLock() }

// Enter locks the queue when it is the caller's turn. The error is ErrQueueFull or ErrQueueTime.
func (q *Queue) Enter(t Ticket) error { return q.queue.enter(t) }

// Awaited is how many wait.
func (q *Queue) Awaited() int { return int(q.queue.length.Load()) }

// Leave unlocks the queue, which a payer had for so long.
func (q *Queue) Leave(payer uint64, held time.Duration) {
	if q.Awaited() > 0 {
		q.queue.pay(payer, held)
	}
	q.queue.unlock()
}

const (
	taken   = 1
	awaited = 2
)

// A Ticket says who wants a world, and how long it waits.
type Ticket struct {
	Payer    uint64        // turns are dealt fairly among payers
	Patience time.Duration // 0: for ever
	Waiting  int           // so many may wait already; 0: any number
}

// The reasons for which a world is not entered.
var (
	ErrQueueFull = errors.New("too many events wait for the rules")
	ErrQueueTime = errors.New("the rules had no time for it")
)

// waiter is one that waits for its turn.
type waiter struct {
	payer   uint64
	start   time.Duration // virtual
	serial  uint64
	since   time.Time
	place   int
	granted bool
	wake    chan struct{}
}

// first is a start before all others: for calls under way, and for what is not an event.
const first = -1

func (q *queue) tryLock() bool { return q.state.CompareAndSwap(0, taken) || q.barge() }

// barge takes a world that has become free before who waits for it.
func (q *queue) barge() bool {
	s := q.state.Load()
	return s&taken == 0 && q.state.CompareAndSwap(s, s|taken)
}

// lock waits before all others.
func (q *queue) lock() {
	if !q.spin() {
		_ = q.wait(Ticket{}, first)
	}
}

// enter waits for a turn.
func (q *queue) enter(t Ticket) error {
	if q.spin() {
		return nil
	}
	return q.wait(t, 0)
}

func (q *queue) spin() bool {
	for range spins {
		if q.state.Load()&taken == 0 && q.tryLock() {
			return true
		}
	}
	return false
}

func (q *queue) wait(t Ticket, start time.Duration) error {
	w, err := q.join(t, start)
	if w == nil {
		return err
	}
	var late <-chan time.Time
	if t.Patience > 0 {
		timer := time.NewTimer(t.Patience)
		defer timer.Stop()
		late = timer.C
	}
	for {
		select {
		case <-w.wake:
			if q.retry(w) {
				return nil
			}
		case <-late:
			if q.giveUp(w) {
				return ErrQueueTime
			}
			return nil
		}
	}
}

// join makes a waiter; none if the world has become free, and is the caller's now.
func (q *queue) join(t Ticket, start time.Duration) (*waiter, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.Waiting > 0 && len(q.waiting) >= t.Waiting {
		return nil, ErrQueueFull
	}
	for {
		s := q.state.Load()
		if s&taken == 0 {
			if q.state.CompareAndSwap(s, s|taken) {
				return nil, nil
			}
			continue
		}
		if s&awaited != 0 || q.state.CompareAndSwap(s, s|awaited) {
			break
		}
	}
	q.serial++
	w := &waiter{payer: t.Payer, start: start, serial: q.serial, since: time.Now(), wake: make(chan struct{}, 1)}
	if start != first {
		w.start = max(q.now, q.debts[t.Payer])
	}
	heap.Push(&q.waiting, w)
	q.length.Store(int32(len(q.waiting)))
	return w, nil
}

// pay charges a payer for the turn that is about to end. It is called while others wait.
func (q *queue) pay(payer uint64, d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return
	}
	if q.debts == nil || len(q.debts) >= maxDebts {
		q.forgive()
	}
	q.debts[payer] = max(q.now, q.debts[payer]) + max(d, leastTime)
}

// forgive drops what no longer delays anybody, and if that is not enough all of it.
func (q *queue) forgive() {
	for payer, start := range q.debts {
		if start <= q.now {
			delete(q.debts, payer)
		}
	}
	if q.debts == nil || len(q.debts) > maxDebts/2 {
		q.debts = make(map[uint64]time.Duration)
	}
}

func (q *queue) unlock() {
	if !q.state.CompareAndSwap(taken, 0) {
		q.pass()
	}
}

// pass gives the world to who has waited long, or wakes who is next to try for it.
func (q *queue) pass() {
	q.mu.Lock()
	defer q.mu.Unlock()
	w := q.next()
	switch {
	case w == nil:
		q.state.Store(0)
	case time.Since(w.since) >= bargeFor:
		q.admit(w)
		w.granted = true
		q.state.Store(taken | q.mark())
		w.call()
	default:
		q.state.Store(awaited)
		q.callNext(w)
	}
}

// next is who of those that wait has the next turn. What its payer has run up since it came counts.
func (q *queue) next() *waiter {
	for len(q.waiting) > 0 {
		w := q.waiting[0]
		if d := q.debts[w.payer]; w.start != first && d > w.start {
			w.start = d
			heap.Fix(&q.waiting, 0)
			continue
		}
		return w
	}
	return nil
}

// callNext wakes w, unless another one is on its way.
func (q *queue) callNext(w *waiter) {
	if q.called == nil {
		q.called = w
		w.call()
	}
}

func (w *waiter) call() {
	select {
	case w.wake <- struct{}{}:
	default: // it has been called before
	}
}

// retry says whether a waiter that was woken has the world now.
func (q *queue) retry(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.called == w {
		q.called = nil
	}
	if w.granted {
		return true
	}
	for {
		s := q.state.Load()
		if s&taken != 0 {
			return false // its holder will pass it on
		}
		if q.state.CompareAndSwap(s, s|taken) {
			break
		}
	}
	q.admit(w)
	q.state.Store(taken | q.mark())
	return true
}

// giveUp ends a waiting; false if its turn has come meanwhile.
func (q *queue) giveUp(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.called == w {
		q.called = nil
	}
	if w.granted {
		return false
	}
	q.remove(w)
	for {
		s := q.state.Load()
		if len(q.waiting) > 0 {
			if s&taken == 0 {
				q.callNext(q.next()) // the call may have been for w
			}
			return true
		}
		if q.state.CompareAndSwap(s, s&^awaited) {
			return true
		}
	}
}

// admit takes out w, whose turn has come.
func (q *queue) admit(w *waiter) {
	q.now = max(q.now, w.start)
	q.remove(w)
}

func (q *queue) remove(w *waiter) {
	heap.Remove(&q.waiting, w.place)
	q.length.Store(int32(len(q.waiting)))
	if len(q.waiting) == 0 { // nobody has been kept waiting: all begin anew
		clear(q.debts)
	}
}

// mark is the bit of state that says whether others wait.
func (q *queue) mark() uint32 {
	if len(q.waiting) > 0 {
		return awaited
	}
	return 0
}

// waiters is a heap by start, then by order of coming.
type waiters []*waiter

func (h waiters) Len() int { return len(h) }
func (h waiters) Less(i, j int) bool {
	if h[i].start != h[j].start {
		return h[i].start < h[j].start
	}
	return h[i].serial < h[j].serial
}
func (h waiters) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}
func (h *waiters) Push(x any) {
	w := x.(*waiter)
	w.place = len(*h)
	*h = append(*h, w)
}
func (h *waiters) Pop() any {
	old := *h
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return w
}
