package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// fault is the first failure of a database.
type fault struct {
	first  atomic.Pointer[error]
	failed chan struct{} // closed with the first failure
}

func newFault() *fault { return &fault{failed: make(chan struct{})} }

func (f *fault) fail(err error) {
	if f.first.CompareAndSwap(nil, &err) {
		close(f.failed)
	}
}

// err is the first failure, or nil.
func (f *fault) err() error {
	if p := f.first.Load(); p != nil {
		return *p
	}
	return nil
}

// hold keeps the goroutine, with all locks that it has, for ever.
func (f *fault) hold(err error) {
	f.fail(err)
	select {}
}

// run calls do in a goroutine of its own, which a failure may hold, and returns
// what comes first, its error or the failure. A panic is an error.
func (f *fault) run(do func() error) error {
	done := make(chan error, 1)
	go func() { done <- caught(do) }()
	select {
	case err := <-done:
		return err
	case <-f.failed:
		return f.err()
	}
}

// gate is the file system of one database. An error of a change never comes to
// pebble: the gate holds the goroutine that it would come to, and every other
// one that comes to change something after. The database is left as it stands,
// and its folder can be opened again beside it. Reading goes on.
//
// Pebble has no other way to be left. On an error in its log or manifest it
// calls Logger.Fatalf, and if that returns takes the write for done; or it panics
// where a deferred function unlocks a mutex that is not locked, which ends the
// process and cannot be recovered (DB.rotateWAL in v2.1.7); a flush that fails it
// tries again at once and for ever.
type gate struct {
	vfs.FS
	*fault
	dir  string       // of the database; outside, where backups go, errors are pebble's
	mu   sync.RWMutex // held, shared, by every change that is under way
	shut bool
}

var errShut = errors.New("the store has failed and is left")

// close waits for the changes under way and lets none through after.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
}

// do makes one change to a file, unless the gate is shut.
func (g *gate) do(name string, change func() error) error {
	err := g.try(change)
	switch {
	case err == nil, !strings.HasPrefix(name, g.dir), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrExist), errors.Is(err, vfs.ErrUnsupported):
		return err // which pebble expects
	}
	g.hold(err)
	return err
}

func (g *gate) try(change func() error) error {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.shut {
		return errShut
	}
	return change()
}

// open makes a file that is written to.
func (g *gate) open(name string, open func() (vfs.File, error)) (vfs.File, error) {
	var f vfs.File
	err := g.do(name, func() (err error) { f, err = open(); return err })
	if err != nil {
		return nil, err
	}
	return &gatedFile{File: f, gate: g, name: name}, nil
}

func (g *gate) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return g.open(name, func() (vfs.File, error) { return g.FS.Create(name, category) })
}

func (g *gate) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return g.open(name, func() (vfs.File, error) { return g.FS.OpenReadWrite(name, category, opts...) })
}

func (g *gate) OpenDir(name string) (vfs.File, error) {
	return g.open(name, func() (vfs.File, error) { return g.FS.OpenDir(name) })
}

func (g *gate) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return g.open(newname, func() (vfs.File, error) { return g.FS.ReuseForWrite(oldname, newname, category) })
}

func (g *gate) Link(oldname, newname string) error {
	return g.do(newname, func() error { return g.FS.Link(oldname, newname) })
}

func (g *gate) Remove(name string) error {
	return g.do(name, func() error { return g.FS.Remove(name) })
}

func (g *gate) RemoveAll(name string) error {
	return g.do(name, func() error { return g.FS.RemoveAll(name) })
}

func (g *gate) Rename(oldname, newname string) error {
	return g.do(newname, func() error { return g.FS.Rename(oldname, newname) })
}

func (g *gate) MkdirAll(dir string, perm os.FileMode) error {
	return g.do(dir, func() error { return g.FS.MkdirAll(dir, perm) })
}

// Lock locks nothing: the folder is the store's, which outlives its databases.
func (g *gate) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// Unwrap implements vfs.FS.
func (g *gate) Unwrap() vfs.FS { return g.FS }

type gatedFile struct {
	vfs.File
	gate *gate
	name string
}

func (f *gatedFile) Write(p []byte) (n int, err error) {
	err = f.gate.do(f.name, func() (err error) { n, err = f.File.Write(p); return err })
	return n, err
}

func (f *gatedFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.gate.do(f.name, func() (err error) { n, err = f.File.WriteAt(p, off); return err })
	return n, err
}

func (f *gatedFile) Sync() error     { return f.gate.do(f.name, f.File.Sync) }
func (f *gatedFile) SyncData() error { return f.gate.do(f.name, f.File.SyncData) }
func (f *gatedFile) Close() error    { return f.gate.do(f.name, f.File.Close) }

func (f *gatedFile) SyncTo(length int64) (full bool, err error) {
	err = f.gate.do(f.name, func() (err error) { full, err = f.File.SyncTo(length); return err })
	return full, err
}
