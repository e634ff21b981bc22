package disk

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"lunamq/core"
)

// Waiting implements core.Store.
func (s *Store) Waiting(session string, from uint64, n, size int) (ops []core.Op, err error) {
	e, ok := s.indexNow().get(session)
	if !ok || n <= 0 {
		return nil, nil
	}
	d := s.databaseNow()
	err = caught(func() error {
		ops, err = readPage(d, e.id, session, from, n, size)
		return err
	})
	if err != nil {
		if isCorrupt(err) { // the store is opened anew, and salvaged
			d.fail(err)
		}
		return nil, fmt.Errorf("read what waits: %w", err)
	}
	return ops, nil
}

// readPage reads through one iterator and its clone: everything is as it was at
// one moment, whatever is settled meanwhile.
func readPage(r pebble.Reader, id uint64, name string, from uint64, n, size int) (ops []core.Op, err error) {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: partKey(nil, id, statePart), UpperBound: partKey(nil, id, payloadPart+1)})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	inflight := make(map[uint64]bool)
	for ok := it.SeekGE(seqKey(nil, id, statePart, from)); ok; ok = it.Next() {
		p, known := parseKey(it.Key())
		if !known || p.part != statePart {
			break
		}
		inflight[p.seq] = true
	}
	payloads := &fetcher{from: it}
	defer payloads.close()
	for ok := it.SeekGE(seqKey(nil, id, messagePart, from)); ok && len(ops) < n && (size > 0 || len(ops) == 0); ok = it.Next() {
		p, known := parseKey(it.Key())
		if !known || p.part != messagePart {
			break
		}
		if inflight[p.seq] {
			continue
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		op, err := readQueued(payloads.get, it.Key(), value, name)
		if err != nil {
			return nil, err
		}
		ops = append(ops, op)
		size -= op.Queued.Message.Weight()
	}
	return ops, it.Error()
}

// fetcher reads single records as an iterator sees them.
type fetcher struct{ from, clone *pebble.Iterator }

// get returns the record under a key, lent until the next call; nil for none.
func (f *fetcher) get(key []byte) (record []byte, err error) {
	if f.clone == nil {
		if f.clone, err = f.from.Clone(pebble.CloneOptions{}); err != nil {
			return nil, err
		}
	}
	if !f.clone.SeekGE(key) || !bytes.Equal(f.clone.Key(), key) {
		return nil, f.clone.Error()
	}
	return f.clone.ValueAndErr()
}

func (f *fetcher) close() {
	if f.clone != nil {
		f.clone.Close()
	}
}

// getFrom is fetcher.get for a reader that nobody changes meanwhile.
func getFrom(r pebble.Reader) func(key []byte) ([]byte, error) {
	return func(key []byte) ([]byte, error) {
		value, closer, err := r.Get(key)
		if errors.Is(err, pebble.ErrNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return append([]byte{}, value...), closer.Close()
	}
}

// readQueued makes the operation of a message, with its payload from wherever
// that lies.
func readQueued(get func(key []byte) ([]byte, error), key, value []byte, name string) (op core.Op, err error) {
	p, _ := parseKey(key)
	fields, err := openRecord(key, value)
	if err != nil {
		return op, fmt.Errorf("%w: %v: %w", errCorrupt, p, err)
	}
	f := &reader{rest: fields}
	m, apart := readMessage(f)
	if err := f.end(); err != nil {
		return op, fmt.Errorf("%w: %v: %w", errCorrupt, p, err)
	}
	if apart {
		if m.Message.Payload, err = readPayload(get, p); err != nil {
			return op, err
		}
	}
	return core.Op{Kind: core.PutMessage, Session: name, Seq: p.seq, Queued: m}, nil
}

func readPayload(get func(key []byte) ([]byte, error), p place) ([]byte, error) {
	p.part = payloadPart
	key := seqKey(nil, p.id, payloadPart, p.seq)
	value, err := get(key)
	if err != nil {
		return nil, err
	}
	if value == nil {
		return nil, fmt.Errorf("%w: %v: %w", errCorrupt, p, errMissing)
	}
	payload, err := openRecord(key, value)
	if err != nil {
		return nil, fmt.Errorf("%w: %v: %w", errCorrupt, p, err)
	}
	return append([]byte(nil), payload...), nil
}
