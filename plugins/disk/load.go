package disk

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"lunamq/core"
)

// Load implements core.Store.
func (s *Store) Load(fn func(core.Op) error) error {
	s.mu.Lock()
	d, sums := s.database, s.backlogs
	s.backlogs = nil
	s.mu.Unlock()
	l := &loader{reader: d, fn: fn, backlogs: sums}
	return caught(l.load)
}

// All hands out everything, messages that wait included, as it is at one moment;
// progress, which may be nil, is told now and then how much that was.
func (s *Store) All(fn func(core.Op) error, progress func(records int64)) error {
	return all(s.databaseNow(), fn, progress)
}

// loader hands out what is in a database. The records were checked when it was
// opened.
type loader struct {
	reader   pebble.Reader
	fn       func(core.Op) error
	all      bool     // messages that wait, too
	backlogs backlogs // else these, in their place
	progress func(int64)
	records  int64

	// of the session that is being read:
	id       uint64
	name     string
	states   []core.Op
	received []core.Op
}

func (l *loader) load() error {
	it, err := l.reader.NewIter(nil)
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; {
		l.count()
		p, known := parseKey(it.Key())
		if known && p.space == sessionSpace && p.part >= messagePart {
			if err := l.messages(p.id); err != nil {
				return err
			}
			ok = it.SeekGE(sessionKey(nil, p.id+1))
			continue
		}
		if err := l.record(it, p, known); err != nil {
			return err
		}
		ok = it.Next()
	}
	if err := l.endSession(); err != nil {
		return err
	}
	return it.Error()
}

func (l *loader) record(it *pebble.Iterator, p place, known bool) error {
	value, err := it.ValueAndErr()
	if err != nil {
		return err
	}
	fields, err := openRecord(it.Key(), value)
	if err != nil || !known {
		return fmt.Errorf("%w: %v: %v", errCorrupt, p, err)
	}
	r := &reader{rest: fields}
	switch {
	case p.space == metaSpace:
		return nil
	case p.space != sessionSpace || p.part == 0:
		if err := l.endSession(); err != nil {
			return err
		}
	case p.id != l.id:
		return fmt.Errorf("%w: %v: %w", errCorrupt, p, errNoSession)
	}
	op := l.op(p, r)
	if err := r.end(); err != nil {
		return fmt.Errorf("%w: %v: %w", errCorrupt, p, err)
	}
	switch op.Kind {
	case core.PutInflight, core.PutReleased:
		l.states = append(l.states, op)
		return nil
	case core.PutReceived:
		l.received = append(l.received, op)
		return nil
	}
	return l.fn(op)
}

// op makes the operation of a record that is no message of a session.
func (l *loader) op(p place, r *reader) (op core.Op) {
	op.Session = l.name
	switch {
	case p.space == retainedSpace:
		op = core.Op{Kind: core.PutRetained}
		op.Queued, _ = readMessage(r)
	case p.space == valueSpace:
		op = core.Op{Kind: core.PutValue, Bucket: p.text, Key: p.key}
		op.Value, op.ExpiresAt = readValue(r)
	case p.part == subscriptionPart:
		op.Kind, op.Subscription = core.PutSubscription, readSubscription(r, p.text)
	case p.part == statePart:
		op.Kind, op.ID = readState(r)
		op.Seq = p.seq
	case p.part == receivedPart:
		op.Kind, op.ID = core.PutReceived, uint16(p.seq)
	default:
		l.id = p.id
		l.name, op.Client = readSession(r)
		op.Kind, op.Session = core.PutSession, l.name
	}
	return op
}

// messages hands out those of a session: all, or those in flight alone, each
// with its state behind it.
func (l *loader) messages(id uint64) error {
	if id != l.id {
		return fmt.Errorf("%w: session %d: %w", errCorrupt, id, errNoSession)
	}
	states := l.states
	l.states = nil
	if l.all {
		return l.everything(states)
	}
	get := getFrom(l.reader)
	for _, state := range states {
		key := seqKey(nil, id, messagePart, state.Seq)
		value, err := get(key)
		if err != nil {
			return err
		}
		if value == nil { // its end was stored, its beginning never was
			continue
		}
		if err := l.message(get, key, value, &state); err != nil {
			return err
		}
	}
	return nil
}

// message hands out one, and its state if it is in flight.
func (l *loader) message(get func([]byte) ([]byte, error), key, value []byte, state *core.Op) error {
	op, err := readQueued(get, key, value, l.name)
	if err != nil {
		return err
	}
	if err := l.fn(op); err != nil || state == nil {
		return err
	}
	return l.fn(*state)
}

// everything hands out all messages of the session.
func (l *loader) everything(inflight []core.Op) error {
	it, err := l.reader.NewIter(&pebble.IterOptions{LowerBound: partKey(nil, l.id, messagePart), UpperBound: partKey(nil, l.id, messagePart+1)})
	if err != nil {
		return err
	}
	defer it.Close()
	get := getFrom(l.reader)
	for ok := it.First(); ok; ok = it.Next() {
		l.count()
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		p, _ := parseKey(it.Key())
		var state *core.Op
		for len(inflight) > 0 && inflight[0].Seq <= p.seq { // both are in the order of Seq
			if inflight[0].Seq == p.seq {
				state = &inflight[0]
			}
			inflight = inflight[1:]
		}
		if err := l.message(get, it.Key(), value, state); err != nil {
			return err
		}
	}
	return it.Error()
}

// count tells of the progress.
func (l *loader) count() {
	if l.records++; l.records%progressEvery == 0 && l.progress != nil {
		l.progress(l.records)
	}
}

// endSession hands out what comes last of a session.
func (l *loader) endSession() error {
	l.states = nil // of messages that are not there
	received := l.received
	l.received = nil
	for _, op := range received {
		if err := l.fn(op); err != nil {
			return err
		}
	}
	id := l.id
	if l.id = 0; l.backlogs[id] == nil {
		return nil
	}
	return l.fn(core.Op{Kind: core.PutBacklog, Session: l.name, Backlog: l.backlogs[id]})
}
