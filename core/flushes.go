package core

import "sync"

// flushes is the outboxes that were appended to and are flushed once, when a
// round is done: of one read (goroutine driver), or of all connections that
// were ready (poller). Another loop may flush them, when their own is held up.
type flushes struct {
	mu    sync.Mutex
	list  []*outbox
	spare []*outbox // the memory of an earlier list
}

// add is called with the outbox's lock held.
func (f *flushes) add(o *outbox) {
	f.mu.Lock()
	f.list = append(f.list, o)
	f.mu.Unlock()
}

// len is how many outboxes wait.
func (f *flushes) len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.list)
}

// flush flushes each outbox once. What is appended to one meanwhile goes with it.
func (f *flushes) flush() {
	f.mu.Lock()
	list := f.list
	if len(list) == 0 {
		f.mu.Unlock()
		return
	}
	f.list, f.spare = f.spare, nil
	f.mu.Unlock()
	for i, o := range list {
		o.flush()
		list[i] = nil
	}
	f.mu.Lock()
	if f.spare == nil && cap(list) <= maxKeptFlushes {
		f.spare = list[:0]
	}
	f.mu.Unlock()
}

// maxKeptFlushes bounds what an idle round keeps (32 KiB).
const maxKeptFlushes = 4096
