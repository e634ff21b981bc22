package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Names, behind that of the database, of what a salvage makes.
const (
	scratchSuffix  = ".scratch"  // all changes that could be read, the newest of each key
	salvageSuffix  = ".salvage"  // the new database, while it is made
	salvagedSuffix = ".salvaged" // when it is whole
	damagedSuffix  = ".damaged"
)

// ErrDamaged: the store is damaged and Options.Refuse says not to open it.
var ErrDamaged = errors.New("the store is damaged")

// openSound opens the database; a damaged one is salvaged before, or refused.
// salvage says that damage was seen.
func (s *Store) openSound(salvage bool) (*database, *scanner, error) {
	if err := s.checkFormat(); err != nil {
		return nil, nil, err
	}
	if err := s.finishSalvage(); err != nil {
		return nil, nil, err
	}
	cause := errCorrupt
	if !salvage {
		d, found, err := s.openScanned()
		if err == nil || !isDamage(err) {
			return d, found, err
		}
		cause = err
	}
	if s.o.Refuse {
		return nil, nil, fmt.Errorf("%s: %w: %w", s.dir(), ErrDamaged, cause)
	}
	s.o.Log.Error("THE STORE IS DAMAGED: what is intact is brought into a new one, the damaged one is put aside", "path", s.dir(), "err", cause)
	if err := s.salvage(); err != nil {
		return nil, nil, fmt.Errorf("salvage %s: %w", s.dir(), err)
	}
	return s.openScanned()
}

// openScanned opens the database and reads all records.
func (s *Store) openScanned() (*database, *scanner, error) {
	if err := s.checkFiles(); err != nil {
		return nil, nil, err
	}
	d, err := openDatabase(s.o.FS, s.dir(), s.o.Log)
	if err != nil {
		return nil, nil, err
	}
	found := &scanner{progress: s.progress("reading what is stored")}
	err = caught(func() error { return found.scan(d) })
	if err == nil {
		err = d.err()
	}
	if err != nil {
		return nil, nil, errors.Join(err, d.leave())
	}
	return d, found, nil
}

// progress tells in the log how far a long reading is.
func (s *Store) progress(what string) func(int64) {
	last := time.Now()
	return func(records int64) {
		if now := time.Now(); now.Sub(last) >= time.Second {
			last = now
			s.o.Log.Info(what, "records", records)
		}
	}
}

// checkFiles finds what pebble would take for a new database, and delete.
func (s *Store) checkFiles() error {
	names, err := s.o.FS.List(s.dir())
	if err != nil || len(names) == 0 {
		return nil
	}
	has := func(what func(string) bool) bool { return slices.ContainsFunc(names, what) }
	if has(isContent) && !has(func(name string) bool { return strings.HasPrefix(name, "marker.manifest.") }) {
		return fmt.Errorf("%w: there are tables or logs and nothing that says which of them are in use", errCorrupt)
	}
	return s.inspectLogs(names)
}

// isContent says whether a file of the database holds records.
func isContent(name string) bool {
	_, isLog := fileNumber(name, ".log")
	_, isTable := fileNumber(name, ".sst")
	return isLog || isTable
}

// isDamage tells damage from a disk that refuses: errors of the operating system
// are not damage, but for a file that is missing and one that cannot be read.
// A store of another format was found before.
func isDamage(err error) bool {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno == syscall.ENOENT || errno == syscall.EIO
	}
	return true
}

// salvage makes a new database of what can be read of the damaged one, each
// table and each log by itself, and puts that aside. Interrupted, it begins
// anew, or only finishes.
func (s *Store) salvage() error {
	scratch, made := s.dir()+scratchSuffix, s.dir()+salvageSuffix
	for _, dir := range []string{scratch, made} {
		if err := s.o.FS.RemoveAll(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	b := &salvager{store: s, deleted: make(map[uint64]uint64)}
	if err := b.run(scratch, made); err != nil {
		return err
	}
	if err := s.o.FS.RemoveAll(scratch); err != nil {
		return err
	}
	if err := s.o.FS.Rename(made, s.dir()+salvagedSuffix); err != nil {
		return err
	}
	s.metrics.salvages.add(1)
	return s.finishSalvage()
}

// finishSalvage puts the damaged database aside and the new one in its place.
func (s *Store) finishSalvage() error {
	salvaged := s.dir() + salvagedSuffix
	if !exists(s.o.FS, salvaged) {
		return nil
	}
	if exists(s.o.FS, s.dir()) {
		aside := s.asideName(databaseName)
		if err := s.o.FS.Rename(s.dir(), aside); err != nil {
			return err
		}
		s.noteDamaged(aside)
		s.o.Log.Error("the damaged store was put aside", "path", aside)
	}
	if err := s.o.FS.Rename(salvaged, s.dir()); err != nil {
		return err
	}
	return syncFolder(s.o.FS, s.o.Dir)
}

// asideName is a name that is free for something damaged.
func (s *Store) asideName(name string) string {
	stem := s.o.FS.PathJoin(s.o.Dir, name+"-"+time.Now().UTC().Format("20060102T150405"))
	aside := stem + damagedSuffix
	for n := 2; exists(s.o.FS, aside); n++ {
		aside = fmt.Sprintf("%s-%d%s", stem, n, damagedSuffix)
	}
	return aside
}

func (s *Store) noteDamaged(aside string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.damaged = append(s.damaged, aside)
}

// salvager gathers changes in a scratch database, the newest of each key, and
// makes a new database of what they come to.
type salvager struct {
	store   *Store
	scratch *database
	deleted map[uint64]uint64 // sessions, and the newest change that deleted one
	tables  int               // of which something could not be read
	logs    int
	lost    int // records that were not intact, or belong to none
	kept    int

	out   *database
	batch *pebble.Batch
	names map[string]uint64
	id    uint64          // of the session that is written, 0 for none
	apart map[uint64]bool // its payloads that are needed
	maxID uint64
	value []byte
}

func (b *salvager) run(scratch, made string) (err error) {
	fs, log := b.store.o.FS, b.store.o.Log
	if b.scratch, err = openDatabase(fs, scratch, log); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.scratch.leave()) }()
	if err = b.scratch.run(func() error { return b.gather(b.store.dir()) }); err != nil {
		return err
	}
	if b.out, err = openDatabase(fs, made, log); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.out.leave()) }()
	if err = b.out.run(b.make); err != nil {
		return err
	}
	log.Error("salvaged what is intact", "records", b.kept, "lost", b.lost, "damaged_tables", b.tables, "damaged_logs", b.logs)
	return nil
}

// gather reads all tables and logs.
func (b *salvager) gather(dir string) error {
	fs := b.store.o.FS
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if number, ok := fileNumber(name, ".log"); ok {
			if err := b.gatherLog(fs, fs.PathJoin(dir, name), number); err != nil {
				return err
			}
		}
		if _, ok := fileNumber(name, ".sst"); ok {
			if err := b.gatherTable(fs, fs.PathJoin(dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// gatherTable reads a table; a panic of pebble's over it is damage of it.
func (b *salvager) gatherTable(fs vfs.FS, name string) (err error) {
	whole := false
	defer func() {
		if recover() != nil || !whole && err == nil {
			b.tables++
			b.store.o.Log.Error("a table is damaged", "path", name)
		}
	}()
	whole, err = tableChanges(fs, name, b.gatherChange)
	return err
}

func (b *salvager) gatherLog(fs vfs.FS, name string, number uint64) error {
	text, err := readFile(fs, name)
	if err != nil {
		b.logs++
		return nil
	}
	bad := false
	intact, err := logEntries(text, number, func(entry []byte) error {
		var own error
		if err := entryChanges(entry, func(c change) error { own = b.gatherChange(c); return own }); own == nil && err != nil {
			bad = true
		}
		return own
	})
	if bad || intact < len(text) {
		b.logs++
		b.store.o.Log.Error("a log is damaged, or its last entry was cut off", "path", name, "intact", intact, "bytes", len(text))
	}
	return err
}

// gatherChange keeps the newest change of each key.
func (b *salvager) gatherChange(c change) error {
	if p, ok := parseKey(c.key); ok {
		b.maxID = max(b.maxID, p.id)
	}
	switch c.kind {
	case pebble.InternalKeyKindRangeDelete:
		b.deleteSessions(c)
		return nil
	case pebble.InternalKeyKindSet, pebble.InternalKeyKindSetWithDelete, pebble.InternalKeyKindDelete,
		pebble.InternalKeyKindSingleDelete, pebble.InternalKeyKindDeleteSized:
	default:
		b.lost++
		return nil
	}
	old, closer, err := b.scratch.Get(c.key)
	if err == nil {
		newer := len(old) >= scratchHead && binary.BigEndian.Uint64(old) >= c.seq
		if err := closer.Close(); err != nil || newer {
			return err
		}
	} else if !errors.Is(err, pebble.ErrNotFound) {
		return err
	}
	isSet := c.kind == pebble.InternalKeyKindSet || c.kind == pebble.InternalKeyKindSetWithDelete
	b.value = binary.BigEndian.AppendUint64(b.value[:0], c.seq)
	b.value = append(append(b.value, byte(bits(isSet))), c.value...)
	return b.scratch.Set(c.key, b.value, pebble.NoSync)
}

// scratchHead is the length of what stands before a record in the scratch: the
// place of its change among all, and whether it was set or deleted.
const scratchHead = 8 + 1

// deleteSessions notes a deletion of a range, which pebble may have joined with
// others: in it are whole sessions.
func (b *salvager) deleteSessions(c change) {
	from, ok := parseKey(c.key)
	to, okTo := parseKey(c.value)
	if !ok || !okTo || from.space != sessionSpace || to.space != sessionSpace {
		return
	}
	for id := from.id; id < to.id && id <= math.MaxUint64-1; id++ {
		b.deleted[id] = max(b.deleted[id], c.seq)
	}
}

// make writes the new database.
func (b *salvager) make() error {
	b.names = make(map[string]uint64)
	b.batch = b.out.NewBatch()
	it, err := b.scratch.NewIter(nil)
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if err := b.keep(it.Key(), value); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return err
	}
	next := metaKey(metaNext)
	record := binary.AppendUvarint(beginRecord(nil), b.maxID+spareIDs)
	sealRecord(next, record)
	if err := b.batch.Set(next, record, nil); err != nil {
		return err
	}
	if err := b.batch.Commit(pebble.Sync); err != nil {
		return err
	}
	return b.out.Flush()
}

// spareIDs are the numbers of sessions left out after a salvage: those of
// sessions of which nothing could be read must not be given again.
const spareIDs = 1 << 20

// keep writes a record, if it is intact, not deleted, and belongs to something.
func (b *salvager) keep(key, scratch []byte) error {
	p, known := parseKey(key)
	seq, isSet := binary.BigEndian.Uint64(scratch), scratch[8] == 1
	if !isSet || p.space == metaSpace || p.space == sessionSpace && b.deleted[p.id] > seq {
		return nil
	}
	value := scratch[scratchHead:]
	fields, err := openRecord(key, value)
	if err != nil || !known || !b.belongs(p, fields) {
		b.lost++
		return nil
	}
	b.kept++
	if err := b.batch.Set(key, value, nil); err != nil {
		return err
	}
	if b.batch.Len() < maxGroup {
		return nil
	}
	if err := b.batch.Commit(pebble.NoSync); err != nil {
		return err
	}
	b.batch = b.out.NewBatch()
	return nil
}

// belongs decodes a record as the scanner does, and notes what others belong to.
func (b *salvager) belongs(p place, fields []byte) bool {
	r := &reader{rest: fields}
	switch {
	case p.space == retainedSpace:
		m, apart := readMessage(r)
		return r.end() == nil && !apart && m.Message.Topic == p.text
	case p.space == valueSpace:
		readValue(r)
		return r.end() == nil
	case p.part == 0:
		return b.beginSession(p, r)
	case p.id != b.id:
		return false
	}
	switch p.part {
	case subscriptionPart:
		readSubscription(r, p.text)
	case statePart:
		readState(r)
	case messagePart:
		_, apart := readMessage(r)
		if r.end() == nil && apart {
			return b.hasPayload(p)
		}
	case payloadPart:
		return b.apart[p.seq]
	}
	return r.end() == nil
}

// beginSession takes a session whose name no newer one has.
func (b *salvager) beginSession(p place, r *reader) bool {
	b.id, b.apart = 0, make(map[uint64]bool)
	name, _ := readSession(r)
	if r.end() != nil {
		return false
	}
	if old, twice := b.names[name]; twice { // the newer number is the newer session
		if b.batch.DeleteRange(sessionKey(nil, old), sessionKey(nil, old+1), nil) != nil {
			return false
		}
	}
	b.names[name] = p.id
	b.id = p.id
	return true
}

// hasPayload looks for the payload of a message, which comes behind all messages.
func (b *salvager) hasPayload(p place) bool {
	key := seqKey(nil, p.id, payloadPart, p.seq)
	value, closer, err := b.scratch.Get(key)
	if err != nil {
		return false
	}
	defer closer.Close()
	if len(value) < scratchHead || value[8] != 1 {
		return false
	}
	_, err = openRecord(key, value[scratchHead:])
	b.apart[p.seq] = err == nil
	return err == nil
}
