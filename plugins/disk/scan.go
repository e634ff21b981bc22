package disk

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Counts are how many records of each kind there are.
type Counts struct {
	Sessions      int64 `json:"sessions"`
	Subscriptions int64 `json:"subscriptions"`
	Queued        int64 `json:"queued"` // messages that wait or are in flight
	QueuedBytes   int64 `json:"queued_bytes"`
	Inflight      int64 `json:"inflight"`
	Received      int64 `json:"received"` // QoS 2 identifiers of clients
	Retained      int64 `json:"retained"`
	RetainedBytes int64 `json:"retained_bytes"`
	Values        int64 `json:"values"`
	ValueBytes    int64 `json:"value_bytes"`
}

// scanner reads every record once, in the order of the keys, checks it and
// counts it.
type scanner struct {
	payloads bool                       // read those that have records of their own, too
	bad      func(place, []byte, error) // told what is wrong; nil: that ends the scan
	progress func(records int64)        // now and then; may be nil

	index    *index
	backlogs backlogs
	counts   Counts
	records  int64

	// of the session that is being read:
	id       uint64
	name     string
	inflight map[uint64]bool
	apart    map[uint64]bool // payloads that there must be
}

// progressEvery is how many records lie between two calls of progress.
const progressEvery = 100_000

// scan reads what r holds.
func (s *scanner) scan(r pebble.Reader) error {
	s.index, s.backlogs = newIndex(), make(backlogs)
	it, err := r.NewIter(nil)
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; {
		if s.records++; s.records%progressEvery == 0 && s.progress != nil {
			s.progress(s.records)
		}
		p, known := parseKey(it.Key())
		if known && p.space == sessionSpace && p.part == payloadPart && !s.payloads {
			ok = it.SeekGE(sessionKey(nil, p.id+1))
			continue
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if err = s.record(it.Key(), value, p, known); err != nil {
			if err = s.report(p, it.Key(), err); err != nil {
				return err
			}
		}
		ok = it.Next()
	}
	if err := s.endSession(); err != nil {
		return err
	}
	s.index.next = max(s.index.next, s.index.reserved)
	s.index.reserved = s.index.next
	return it.Error()
}

// report tells what is wrong with a record, or makes it the end of the scan.
func (s *scanner) report(p place, key []byte, err error) error {
	if s.bad != nil {
		s.bad(p, key, err)
		return nil
	}
	return fmt.Errorf("%w: %v: %w", errCorrupt, p, err)
}

func (s *scanner) record(key, value []byte, p place, known bool) error {
	if !known {
		return fmt.Errorf("the key %x is none of ours", key)
	}
	fields, err := openRecord(key, value)
	if err != nil {
		return err
	}
	r := &reader{rest: fields}
	switch p.space {
	case metaSpace:
		if p.text == metaNext {
			s.index.reserved = r.uint()
		}
		return r.err
	case retainedSpace:
		m, apart := readMessage(r)
		if apart || m.Message.Topic != p.text {
			r.fail()
		}
		s.counts.Retained++
		s.counts.RetainedBytes += int64(m.Message.Weight())
		return r.end()
	case valueSpace:
		v, _ := readValue(r)
		s.counts.Values++
		s.counts.ValueBytes += int64(len(p.text) + len(p.key) + len(v))
		return r.end()
	}
	if p.part == 0 {
		return s.session(p, r)
	}
	if p.id != s.id {
		return errNoSession
	}
	return s.sessionPart(p, r)
}

var (
	errNoSession = errors.New("it belongs to a session that is not there")
	errNoMessage = errors.New("it belongs to a message that is not there")
	errTwice     = errors.New("another session has its name")
	errMissing   = errors.New("it is missing")
)

func (s *scanner) session(p place, r *reader) error {
	if err := s.endSession(); err != nil {
		return err
	}
	name, _ := readSession(r)
	if err := r.end(); err != nil {
		return err
	}
	if _, twice := s.index.byName[name]; twice {
		return errTwice
	}
	s.id, s.name = p.id, name
	s.inflight, s.apart = nil, nil
	s.index.byName[name] = sessionEntry{id: p.id}
	s.index.next = max(s.index.next, p.id+1)
	s.counts.Sessions++
	return nil
}

// endSession finds payloads that are missing.
func (s *scanner) endSession() error {
	id := s.id
	s.id = 0
	if !s.payloads {
		return nil
	}
	for seq := range s.apart {
		p := place{space: sessionSpace, id: id, part: payloadPart, seq: seq}
		if err := s.report(p, seqKey(nil, id, payloadPart, seq), errMissing); err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) sessionPart(p place, r *reader) error {
	switch p.part {
	case subscriptionPart:
		readSubscription(r, p.text)
		s.counts.Subscriptions++
	case statePart:
		readState(r)
		if s.inflight == nil {
			s.inflight = make(map[uint64]bool)
		}
		s.inflight[p.seq] = true
	case receivedPart:
		s.counts.Received++
	case messagePart:
		return s.message(p, r)
	case payloadPart:
		if !s.apart[p.seq] {
			return errNoMessage
		}
		delete(s.apart, p.seq)
		return nil
	}
	return r.end()
}

// message counts one. Its fields are read in full only with its payload: at
// start the checksum is enough.
func (s *scanner) message(p place, r *reader) error {
	weight, err := weightOf(r.rest)
	if err != nil {
		return err
	}
	if apart, err := s.isApart(r); err != nil {
		return err
	} else if apart {
		e := s.index.byName[s.name]
		e.apart = true
		s.index.byName[s.name] = e
		if s.payloads {
			if s.apart == nil {
				s.apart = make(map[uint64]bool)
			}
			s.apart[p.seq] = true
		}
	}
	s.counts.Queued++
	s.counts.QueuedBytes += weight
	if s.inflight[p.seq] {
		s.counts.Inflight++
		return nil
	}
	s.backlogs.add(p.id, p.seq, weight)
	return nil
}

func (s *scanner) isApart(r *reader) (bool, error) {
	if s.payloads {
		_, apart := readMessage(r)
		return apart, r.end()
	}
	return readApart(r)
}
