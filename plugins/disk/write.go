package disk

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"lunamq/core"
)

// metaNext is the name under which the store keeps up to where it has given
// away numbers of sessions.
const metaNext = "next"

// writer encodes operations into one pebble batch. It belongs to the commit
// goroutine.
type writer struct {
	index *index
	batch *pebble.Batch
	key   []byte
	value []byte
}

// set seals what is in w.value under w.key, and puts it into the batch.
func (w *writer) set() error {
	sealRecord(w.key, w.value)
	return w.batch.Set(w.key, w.value, nil)
}

func (w *writer) delete() error { return w.batch.Delete(w.key, nil) }

// begin begins the fields of a record.
func (w *writer) begin() []byte { return beginRecord(w.value[:0]) }

func (w *writer) write(op *core.Op) error {
	switch op.Kind {
	case core.PutRetained:
		m := op.Queued
		w.key = retainedKey(w.key[:0], m.Message.Topic)
		w.value = appendMessage(w.begin(), &m, m.Message.Payload)
		return w.set()
	case core.DeleteRetained:
		w.key = retainedKey(w.key[:0], op.Topic)
		return w.delete()
	case core.PutValue:
		w.key = valueKey(w.key[:0], op.Bucket, op.Key)
		w.value = appendValue(w.begin(), op)
		return w.set()
	case core.DeleteValue:
		w.key = valueKey(w.key[:0], op.Bucket, op.Key)
		return w.delete()
	case core.PutSession:
		return w.putSession(op)
	case putImport:
		return w.putImport(op)
	}
	e, ok := w.index.get(op.Session)
	if !ok || !e.isOf(op) { // it has ended meanwhile, and all of it
		return nil
	}
	return w.writePart(op, e)
}

// putSession gives a session its number, if it has none yet.
func (w *writer) putSession(op *core.Op) error {
	x := w.index
	e, ok := x.get(op.Session)
	if ok && !e.isOf(op) {
		if err := w.deleteSession(op.Session, e); err != nil {
			return err
		}
		ok = false
	}
	if !ok {
		if x.next >= x.reserved {
			x.reserved = x.next + reserveIDs
			w.key = append(w.key[:0], metaKey(metaNext)...)
			w.value = binary.AppendUvarint(w.begin(), x.reserved)
			if err := w.set(); err != nil {
				return err
			}
		}
		e = sessionEntry{id: x.next}
		x.next++
	}
	if !ok || e.life != op.Life {
		e.life = op.Life
		x.put(op.Session, e)
	}
	w.key = sessionKey(w.key[:0], e.id)
	w.value = appendSession(w.begin(), op.Session, op.Client)
	return w.set()
}

func (w *writer) deleteSession(name string, e sessionEntry) error {
	w.index.remove(name)
	return w.batch.DeleteRange(sessionKey(nil, e.id), sessionKey(nil, e.id+1), nil)
}

// writePart writes what belongs to a session.
func (w *writer) writePart(op *core.Op, e sessionEntry) error {
	switch op.Kind {
	case core.DeleteSession:
		return w.deleteSession(op.Session, e)
	case core.PutSubscription:
		w.key = subscriptionKey(w.key[:0], e.id, op.Subscription.Requested)
		w.value = appendSubscription(w.begin(), op.Subscription)
		return w.set()
	case core.DeleteSubscription:
		w.key = subscriptionKey(w.key[:0], e.id, op.Subscription.Requested)
		return w.delete()
	case core.PutMessage:
		return w.putMessage(op, e)
	case core.PutInflight, core.PutReleased:
		w.key = seqKey(w.key[:0], e.id, statePart, op.Seq)
		w.value = appendState(w.begin(), op.Kind, op.ID)
		return w.set()
	case core.DeleteMessage:
		return w.deleteMessage(op, e)
	case core.PutReceived:
		w.key = receivedKey(w.key[:0], e.id, op.ID)
		w.value = w.begin()
		return w.set()
	case core.DeleteReceived:
		w.key = receivedKey(w.key[:0], e.id, op.ID)
		return w.delete()
	}
	return nil
}

func (w *writer) putMessage(op *core.Op, e sessionEntry) error {
	m := op.Queued
	payload := m.Message.Payload
	if len(payload) > inlinePayload {
		if !e.apart {
			e.apart = true
			w.index.put(op.Session, e)
		}
		w.key = seqKey(w.key[:0], e.id, payloadPart, op.Seq)
		w.value = append(w.begin(), payload...)
		if err := w.set(); err != nil {
			return err
		}
		payload = nil
	}
	w.key = seqKey(w.key[:0], e.id, messagePart, op.Seq)
	w.value = appendMessage(w.begin(), &m, payload)
	return w.set()
}

func (w *writer) deleteMessage(op *core.Op, e sessionEntry) error {
	parts := []byte{messagePart, statePart, payloadPart}
	if !e.apart {
		parts = parts[:2]
	}
	for _, part := range parts {
		w.key = seqKey(w.key[:0], e.id, part, op.Seq)
		if err := w.delete(); err != nil {
			return err
		}
	}
	return nil
}

// sizeOf is about what an operation takes in memory while it waits.
func sizeOf(op *core.Op) int64 {
	n := int64(256 + len(op.Value))
	if m := op.Queued.Message; m != nil {
		n += int64(m.Weight())
	}
	if c := op.Client; c != nil && c.Will != nil {
		n += int64(c.Will.Message.Weight())
	}
	return n
}

// grows says whether a batch carries what takes room for long: messages and
// values. Others are small, and most of them make room.
func grows(b *core.Batch) bool {
	for i := range b.Ops {
		switch b.Ops[i].Kind {
		case core.PutMessage, core.PutRetained, core.PutValue:
			return true
		}
	}
	return false
}
