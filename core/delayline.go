package core

import (
	"bytes"
	"container/heap"
	"sync"
	"time"
)

// delayLine holds packets back, bounded in bytes, and releases them when they
// are due: in that order, and those that are due together in the order in which
// they were held. One goroutine releases at a time.
type delayLine struct {
	// Immutable:
	limit   int
	release func(p []byte)

	mu sync.Mutex

	// Guarded by mu:
	held      heldPackets
	bytes     int
	serial    uint64
	timer     *time.Timer
	releasing bool
	closed    bool
}

// heldOverhead is what holding a packet costs beside its bytes.
const heldOverhead = 64

type heldPacket struct {
	bytes  []byte
	due    time.Time
	serial uint64
}

// hold keeps a copy of p for a time; false if there is no room.
func (d *delayLine) hold(p []byte, after time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.bytes+len(p)+heldOverhead > d.limit {
		return false
	}
	d.bytes += len(p) + heldOverhead
	d.serial++
	heap.Push(&d.held, heldPacket{bytes.Clone(p), time.Now().Add(after), d.serial})
	d.armLocked()
	return true
}

// armLocked sets the timer to the next packet; while some are being released,
// that is left for afterwards.
func (d *delayLine) armLocked() {
	if d.releasing {
		return
	}
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if len(d.held) > 0 {
		d.timer = time.AfterFunc(time.Until(d.held[0].due), d.run)
	}
}

// run releases what is due.
func (d *delayLine) run() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.releasing {
		return
	}
	d.releasing = true
	for len(d.held) > 0 && !d.held[0].due.After(time.Now()) {
		p := heap.Pop(&d.held).(heldPacket).bytes
		d.bytes -= len(p) + heldOverhead
		d.mu.Unlock()
		d.release(p)
		d.mu.Lock()
	}
	d.releasing = false
	d.armLocked()
}

// close forgets what is held.
func (d *delayLine) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed, d.held, d.bytes = true, nil, 0
	if d.timer != nil {
		d.timer.Stop()
	}
}

// heldPackets orders packets by when they are due (container/heap).
type heldPackets []heldPacket

func (h heldPackets) Len() int { return len(h) }
func (h heldPackets) Less(i, j int) bool {
	if !h[i].due.Equal(h[j].due) {
		return h[i].due.Before(h[j].due)
	}
	return h[i].serial < h[j].serial
}
func (h heldPackets) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *heldPackets) Push(x any)   { *h = append(*h, x.(heldPacket)) }
func (h *heldPackets) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = heldPacket{}
	*h = old[:len(old)-1]
	return x
}
