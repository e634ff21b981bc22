package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"lunamq/core"
)

// View is a store that nobody serves from, opened to be read.
type View struct {
	o    Options
	lock io.Closer
	*database
}

// ErrNone: there is no store.
var ErrNone = errors.New("there is no store")

// OpenView opens a store to read it: nothing is made, repaired or written but
// the files of the lock.
func OpenView(o Options) (*View, error) {
	o = o.withDefaults()
	dir := o.FS.PathJoin(o.Dir, databaseName)
	if !exists(o.FS, dir) {
		return nil, fmt.Errorf("%s: %w", o.Dir, ErrNone)
	}
	lock, err := lockFolder(o.FS, o.Dir)
	if err != nil {
		return nil, err
	}
	s := &Store{o: o}
	format, err := s.readFormat()
	if err == nil && format > Format {
		err = s.newerError(format)
	}
	if err == nil && exists(o.FS, s.dir()+salvagedSuffix) {
		err = errors.New("a salvage was interrupted: start the broker, which finishes it")
	}
	v := &View{o: o, lock: lock}
	if err == nil {
		v.database, err = openReadOnly(o.FS, dir, o.Log)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return v, nil
}

// Close closes the view.
func (v *View) Close() error { return errors.Join(v.leave(), v.lock.Close()) }

// All is Store.All.
func (v *View) All(fn func(core.Op) error, progress func(records int64)) error {
	return all(v.database, fn, progress)
}

func all(d *database, fn func(core.Op) error, progress func(records int64)) error {
	return d.run(func() error {
		snapshot := d.NewSnapshot()
		defer snapshot.Close()
		l := &loader{reader: snapshot, fn: fn, all: true, progress: progress}
		return l.load()
	})
}

// Info is what lunamq store info shows.
type Info struct {
	Dir        string    `json:"dir"`
	Format     int       `json:"format"`
	Bytes      int64     `json:"bytes"` // of all files
	Files      int       `json:"files"`
	LastCommit time.Time `json:"last_commit,omitzero"` // of a running broker
	OK         bool      `json:"ok"`
	Error      string    `json:"error,omitempty"`
	Since      time.Time `json:"since,omitzero"`
	Batches    int64     `json:"batches"` // stored since the start
	Groups     int64     `json:"groups"`  // in so many groups
	Refused    int64     `json:"refused"`
	Damaged    []string  `json:"damaged,omitempty"` // put aside, found in the folder
	Counts
}

// Info counts what is stored.
func (v *View) Info() (Info, error) { return info(v.o, v.database) }

// Info counts what is stored, and tells how the store does.
func (s *Store) Info() (Info, error) {
	s.mu.Lock()
	d, last := s.database, s.lastCommit
	s.mu.Unlock()
	i, err := info(s.o, d)
	i.LastCommit, i.Batches, i.Groups, i.Refused = last, s.metrics.batches.n.Load(), s.metrics.groups.n.Load(), s.metrics.refused.n.Load()
	i.OK, i.Error, i.Since = s.State()
	return i, err
}

func info(o Options, d *database) (Info, error) {
	i := Info{Dir: o.Dir, Format: Format, OK: true}
	found := &scanner{bad: func(place, []byte, error) {}}
	if err := caught(func() error { return found.scan(d) }); err != nil {
		return i, err
	}
	i.Counts = found.counts
	i.Damaged, _ = filepath.Glob(filepath.Join(o.Dir, "*"+damagedSuffix))
	return i, filepath.WalkDir(filepath.Join(o.Dir, databaseName), func(_ string, f fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // a compaction has deleted it meanwhile
			return nil
		}
		if err != nil || f.IsDir() {
			return err
		}
		stat, err := f.Info()
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil {
			i.Files++
			i.Bytes += stat.Size()
		}
		return err
	})
}

// Finding is one thing that is wrong with a store.
type Finding struct {
	What  string `json:"what"`  // which record, or file
	Key   string `json:"key"`   // hexadecimal
	Error string `json:"error"` // what is wrong
}

// Check reads everything, payloads included, and tells what is wrong: checksums,
// fields, and what belongs to something that is not there.
func (v *View) Check(bad func(Finding), progress func(records int64)) (Counts, error) {
	s := &scanner{payloads: true, progress: progress, bad: func(p place, key []byte, err error) {
		bad(Finding{What: p.String(), Key: fmt.Sprintf("%x", key), Error: err.Error()})
	}}
	err := caught(func() error { return s.scan(v.database) })
	if err != nil && isCorrupt(err) {
		bad(Finding{What: "a file; what lies behind it is not checked", Error: err.Error()})
		err = nil
	}
	return s.counts, err
}

// Backup writes a copy of the store, as it is at one moment, to a folder that is
// not there yet: a data folder of a broker, with the store in it. Files are
// linked where the file system can.
func (s *Store) Backup(dir string) error {
	if exists(s.o.FS, dir) {
		return fmt.Errorf("%s is there already", dir)
	}
	to := s.o.FS.PathJoin(dir, folderName)
	if err := makeFolder(s.o.FS, to); err != nil {
		return err
	}
	s.mu.Lock()
	d, failure := s.database, s.failure
	s.mu.Unlock()
	if failure != nil {
		return failure
	}
	if err := d.run(func() error { return d.Checkpoint(s.o.FS.PathJoin(to, databaseName), pebble.WithFlushedWAL()) }); err != nil {
		return fmt.Errorf("back up to %s: %w", dir, err)
	}
	return s.writeFormat(to)
}

// folderName is the store's folder in the data folder of a broker.
const folderName = "store"

// Folder returns the store's folder in the data folder of a broker.
func Folder(data string) string { return filepath.Join(data, folderName) }
