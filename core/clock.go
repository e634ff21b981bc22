package core

import (
	"container/heap"
	"sync"
	"time"
)

// clock knows when sessions, or connections, have something to do: a will is
// due, a session ends; a client has been silent for too long. Those that are
// due are seen to by few goroutines, however many they are: a timer for each
// started 100 000 goroutines at once when as many sessions expired together,
// and took a tenth of the memory of an idle connection.
type clock struct {
	began time.Time // what is due is counted from here, so that nobody who sets the time of day wakes anything

	mu      sync.Mutex
	due     dueHeap // the next one first
	timer   *time.Timer
	next    int64 // when timer fires
	workers int
	stopped bool
}

// timed is what a clock wakes.
type timed interface {
	slot() *due
	onDue()
}

// due is when something is to be woken; guarded by the clock's mu.
type due struct {
	at    int64 // nanoseconds since the clock began
	place int   // in the heap, plus one; 0: it is not in it
}

func (d *due) slot() *due { return d }

// clockWorkers bounds what is seen to at once. A will's rules may wait: they
// hold up a place each.
const clockWorkers = 16

// newClock makes a clock whose time is never 0.
func newClock() clock { return clock{began: time.Now().Add(-1)} }

// now is the time by the clock.
func (c *clock) now() int64 { return int64(time.Since(c.began)) }

// set wakes x at a time, in place of when it was to be woken before.
func (c *clock) set(x timed, after time.Duration) {
	at := c.now() + int64(after)
	c.mu.Lock()
	defer c.mu.Unlock()
	d := x.slot()
	d.at = at
	if d.place > 0 {
		heap.Fix(&c.due, d.place-1)
	} else {
		heap.Push(&c.due, x)
	}
	c.armLocked()
}

// clear takes back that x is to be woken.
func (c *clock) clear(x timed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := x.slot(); d.place > 0 {
		heap.Remove(&c.due, d.place-1)
	}
}

// armLocked sets the timer to what is next, if nobody sees to that anyway.
func (c *clock) armLocked() {
	if len(c.due) == 0 || c.stopped {
		return
	}
	if c.workers == clockWorkers { // one of them will
		return
	}
	next := c.due[0].slot().at
	if c.timer != nil {
		if next >= c.next {
			return
		}
		c.timer.Stop()
	}
	c.timer, c.next = time.AfterFunc(time.Duration(next-c.now()), c.fire), next
}

// fire starts a worker.
func (c *clock) fire() {
	c.mu.Lock()
	c.timer = nil
	if c.stopped || c.workers == clockWorkers {
		c.mu.Unlock()
		return
	}
	c.workers++
	c.mu.Unlock()
	for x := c.take(); x != nil; x = c.take() {
		x.onDue()
	}
}

// take returns what is due; nothing ends the worker. While more is, another
// worker is started.
func (c *clock) take() timed {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped || len(c.due) == 0 || c.due[0].slot().at > c.now() {
		c.workers--
		c.armLocked()
		return nil
	}
	x := heap.Pop(&c.due).(timed)
	c.armLocked()
	return x
}

// stop ends the clock: nothing is due any more.
func (c *clock) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	if c.timer != nil {
		c.timer.Stop()
	}
}

// dueHeap orders what is timed by when it is due (container/heap).
type dueHeap []timed

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].slot().at < h[j].slot().at }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot().place, h[j].slot().place = i+1, j+1
}
func (h *dueHeap) Push(x any) {
	*h = append(*h, x.(timed))
	x.(timed).slot().place = len(*h)
}
func (h *dueHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	x.slot().place = 0
	return x
}
