package disk

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"lunamq/core"
)

// metaImport is the name under which the store keeps how far an import is.
const metaImport = "import"

// Import is an import under way.
type Import struct {
	ID   string // of the export
	Done int64  // records of it that are stored
}

// BeginImport begins the import of an export into an empty store, or goes on
// with one that was interrupted.
func (s *Store) BeginImport(id string) (Import, error) {
	begun, err := s.readImport()
	switch {
	case err != nil:
		return begun, err
	case begun.ID == id:
		return begun, nil
	case begun.ID != "":
		return begun, errors.New("the import of another export was interrupted: end that first, or begin with an empty data folder")
	}
	empty := true
	err = s.All(func(core.Op) error { empty = false; return errNotEmpty }, nil)
	if !empty {
		return begun, errNotEmpty
	}
	return Import{ID: id}, err
}

var errNotEmpty = errors.New("the store is not empty: import needs a data folder of its own")

func (s *Store) readImport() (i Import, err error) {
	key := metaKey(metaImport)
	value, closer, err := s.databaseNow().Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return i, nil
	}
	if err != nil {
		return i, err
	}
	defer closer.Close()
	fields, err := openRecord(key, value)
	if err != nil {
		return i, fmt.Errorf("%v: %w", place{space: metaSpace, text: metaImport}, err)
	}
	r := &reader{rest: fields}
	i.ID, i.Done = r.text(), int64(r.uint())
	return i, r.end()
}

// ImportBatch stores a batch, and that with it so many records are stored, in
// one, and waits for it.
func (s *Store) ImportBatch(b *core.Batch, i Import, done int64) error {
	b.Ops = append(b.Ops, core.Op{Kind: putImport, Key: i.ID, Seq: uint64(done)})
	return s.commitAndWait(b)
}

// EndImport notes that all is there.
func (s *Store) EndImport(Import) error {
	return s.commitAndWait(&core.Batch{Ops: []core.Op{{Kind: putImport}}})
}

func (s *Store) commitAndWait(b *core.Batch) error {
	done := make(committed, 1)
	s.Commit(b, done)
	return <-done
}

type committed chan error

func (c committed) Committed(err error) { c <- err }

// putImport is an operation of our own: how far an import is; without Key, it ends.
const putImport core.OpKind = 255

func (w *writer) putImport(op *core.Op) error {
	w.key = append(w.key[:0], metaKey(metaImport)...)
	if op.Key == "" {
		return w.delete()
	}
	w.value = binary.AppendUvarint(appendText(w.begin(), op.Key), op.Seq)
	return w.set()
}
