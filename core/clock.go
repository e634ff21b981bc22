package core

import (
	"container/heap"
	"sync"
	"time"
)

// clock knows when the sessions without a connection have something to do: a
// will is due, or the session ends. Those that are due are seen to by few
// goroutines, however many they are: a timer for each started 100 000
// goroutines at once when as many sessions expired together.
type clock struct {
	mu      sync.Mutex
	due     dueHeap // the next one first
	timer   *time.Timer
	next    time.Time // when timer fires
	workers int
	stopped bool
}

// clockWorkers bounds the sessions that are seen to at once. A will's rules may
// wait: they hold up a place each.
const clockWorkers = 16

// set wakes s at a time; clear takes that back. The caller holds s.mu.
func (c *clock) set(s *session, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.dueAt > 0 {
		s.due = at
		heap.Fix(&c.due, s.dueAt-1)
	} else {
		s.due = at
		heap.Push(&c.due, s)
	}
	c.armLocked()
}

func (c *clock) clear(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.dueAt > 0 {
		heap.Remove(&c.due, s.dueAt-1)
	}
}

// armLocked sets the timer to the next session, if nobody sees to that anyway.
func (c *clock) armLocked() {
	if len(c.due) == 0 || c.stopped {
		return
	}
	if c.workers == clockWorkers { // one of them will
		return
	}
	next := c.due[0].due
	if c.timer != nil {
		if !next.Before(c.next) {
			return
		}
		c.timer.Stop()
	}
	c.timer, c.next = time.AfterFunc(time.Until(next), c.fire), next
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
	for s := c.take(); s != nil; s = c.take() {
		s.onDue()
	}
}

// take returns a session that is due; none ends the worker. While more are,
// another worker is started.
func (c *clock) take() *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped || len(c.due) == 0 || time.Until(c.due[0].due) > 0 {
		c.workers--
		c.armLocked()
		return nil
	}
	s := heap.Pop(&c.due).(*session)
	c.armLocked()
	return s
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

// dueHeap orders sessions by when they are due (container/heap). A session's
// dueAt is its place plus one; 0: it is not in it.
type dueHeap []*session

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].dueAt, h[j].dueAt = i+1, j+1
}
func (h *dueHeap) Push(x any) {
	s := x.(*session)
	s.dueAt = len(*h) + 1
	*h = append(*h, s)
}
func (h *dueHeap) Pop() any {
	old := *h
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	s.dueAt = 0
	return s
}
