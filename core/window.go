package core

import (
	"cmp"
	"slices"
	"sync"
)

// flightState is what the broker waits for from the receiver.
type flightState uint8

const (
	flightFree flightState = iota
	flightPuback
	flightPubrec
	flightPubcomp
)

// flight is a QoS 1 or 2 message that was sent and not acknowledged yet.
type flight struct {
	queued
	state flightState
	order uint64 // of sending [MQTT-4.6.0-1]
	sent  bool   // on this connection; an unsent one waits to be sent again, or for the store
	fresh bool   // it was never sent
	lost  bool   // the store could not keep its identifier
	whole bool   // the message is stored with its identifier
}

// window holds what is in flight to one receiver. A packet identifier is its
// slot's number plus one, so finding one is an index and nothing is allocated
// once the window has its size.
type window struct {
	slots  []flight
	free   []uint16 // identifiers of free slots
	used   int      // slots in use
	sent   int      // of these, sent on this connection
	order  uint64
	resend []uint16 // identifiers to send, in order: of what is sent again, and of what waits for the store
}

// noWindow is that of the sessions that nothing was in flight to; it is not
// written to.
var noWindow window

// ownWindowLocked returns the session's window, made if there is none.
func (s *session) ownWindowLocked() *window {
	if s.window == &noWindow {
		s.window = new(window)
	}
	return s.window
}

// put takes a message in and returns its packet identifier.
func (w *window) put(q queued) uint16 {
	var id uint16
	if n := len(w.free); n > 0 {
		id, w.free = w.free[n-1], w.free[:n-1]
	} else {
		w.grow()
		id = uint16(len(w.slots))
	}
	w.order++
	w.used++
	w.sent++
	state := flightPuback
	if q.qos == 2 {
		state = flightPubrec
	}
	w.slots[id-1] = flight{queued: q, state: state, order: w.order, sent: true}
	return id
}

// putBack is put for a message that is sent later, as the last of those that
// are to be resent.
func (w *window) putBack(q queued) uint16 {
	id := w.put(q)
	f := &w.slots[id-1]
	f.sent, f.fresh = false, true
	w.sent--
	w.resend = append(w.resend, id)
	return id
}

// get returns what is in flight under id, nil if nothing is.
func (w *window) get(id uint16) *flight {
	if id == 0 || int(id) > len(w.slots) || w.slots[id-1].state == flightFree {
		return nil
	}
	return &w.slots[id-1]
}

// settle frees id.
func (w *window) settle(id uint16) {
	f := &w.slots[id-1]
	if f.sent {
		w.sent--
	} else if i := slices.Index(w.resend, id); i >= 0 {
		w.resend = slices.Delete(w.resend, i, i+1)
	}
	*f = flight{}
	w.free = append(w.free, id)
	w.used--
	if w.used == 0 && cap(w.slots) > fewSlots {
		w.shrink()
	}
}

// An idle session keeps few slots. A busy one has more from a pool: allocating
// them anew at each burst took a third of the time of a QoS 1 message.
const (
	fewSlots  = 8
	manySlots = 128
)

var slotPool = sync.Pool{New: func() any { return new([manySlots]flight) }}

// grow adds a slot.
func (w *window) grow() {
	if len(w.slots) == fewSlots && cap(w.slots) == fewSlots {
		many := slotPool.Get().(*[manySlots]flight)[:fewSlots]
		copy(many, w.slots)
		w.slots = many
	}
	if w.slots == nil {
		w.slots = make([]flight, 0, fewSlots)
	}
	w.slots = append(w.slots, flight{})
}

// shrink gives the slots of an empty window back.
func (w *window) shrink() {
	if cap(w.slots) == manySlots {
		clear(w.slots)
		slotPool.Put((*[manySlots]flight)(w.slots[:manySlots]))
	}
	*w = window{order: w.order}
}

// confirm notes that the receiver has spoken of id on this connection: it need
// not be sent again, if that had yet to be done.
func (w *window) confirm(id uint16) {
	f := &w.slots[id-1]
	if f.sent {
		return
	}
	f.sent = true
	w.sent++
	if i := slices.Index(w.resend, id); i >= 0 {
		w.resend = slices.Delete(w.resend, i, i+1)
	}
}

// restart marks everything as to be resent on a new connection.
func (w *window) restart() {
	if w.used == 0 {
		return
	}
	w.sent = 0
	w.resend = w.resend[:0]
	for i := range w.slots {
		if w.slots[i].state != flightFree {
			w.slots[i].sent = false
			w.resend = append(w.resend, uint16(i+1))
		}
	}
	slices.SortFunc(w.resend, func(a, b uint16) int {
		return cmp.Compare(w.slots[a-1].order, w.slots[b-1].order)
	})
}

// inOrder returns what is in flight in the order of sending.
func (w *window) inOrder() []flight {
	out := make([]flight, 0, w.used)
	for _, f := range w.slots {
		if f.state != flightFree {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b flight) int { return cmp.Compare(a.order, b.order) })
	return out
}

// flights are the changes of a round that say under which identifiers messages
// of a session are in flight, with a durable store. They are committed before
// the session's lock is given back, so that the store hears of the messages in the
// order in which they leave: after a crash none overtakes one before it.
type flights struct {
	batch Batch
	held  *held   // messages that wait for them
	kept  []*held // those that need not wait any more
}

// flewLocked notes that a message is in flight.
func (s *session) flewLocked(r *round, seq uint64, id uint16) {
	op := Op{Kind: PutInflight, Session: s.name, Life: s.life, Seq: seq, ID: id}
	if s.b.durable {
		r.flights.batch.add(op)
		return
	}
	r.batch.add(op)
}

// commitFlightsLocked commits what left since the lock was taken.
func (s *session) commitFlightsLocked(r *round) {
	fs := &r.flights
	if fs.batch.empty() {
		return
	}
	k, batch := &unanswered{changes: changes{held: fs.held}, b: s.b}, fs.batch
	fs.batch, fs.held = Batch{}, nil
	if s.b.store.Commit(&batch, k) && k.held != nil {
		fs.kept = append(fs.kept, k.held)
	}
}

// release lets go what is kept. The caller holds no lock.
func (fs *flights) release(r *round) {
	for len(fs.kept) > 0 {
		h := fs.kept[0]
		fs.kept = fs.kept[1:]
		h.release(r, nil)
	}
	fs.kept = nil
}
