package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// database is one opened pebble behind its gate. A store has one at a time; one
// that has failed is left, and never closed: its goroutines are held, and what
// it has in memory, some 20 MiB at most, stays until the process ends.
type database struct {
	*pebble.DB
	*fault
	gate     *gate
	loops    sync.WaitGroup // its commitLoop and syncLoop
	unsynced atomic.Bool    // something was committed without a sync
}

// openDatabase opens the database in dir, and makes it if it is not there.
func openDatabase(fs vfs.FS, dir string, log *slog.Logger) (*database, error) {
	return openWith(fs, dir, log, func(*pebble.Options) {})
}

// openReadOnly opens the database in dir and changes nothing.
func openReadOnly(fs vfs.FS, dir string, log *slog.Logger) (*database, error) {
	return openWith(fs, dir, log, func(o *pebble.Options) { o.ReadOnly, o.ErrorIfNotExists = true, true })
}

func openWith(fs vfs.FS, dir string, log *slog.Logger, change func(*pebble.Options)) (*database, error) {
	f := newFault()
	d := &database{fault: f, gate: &gate{FS: fs, dir: dir, fault: f}}
	o := pebbleOptions(d.gate, &pebbleLog{log: log, fault: f}, &pebble.EventListener{
		BackgroundError: f.hold,
		DataCorruption:  func(info pebble.DataCorruptionInfo) { f.fail(fmt.Errorf("%w: %v", errCorrupt, info.Details)) },
	})
	change(o)
	var db *pebble.DB
	err := f.run(func() (err error) {
		db, err = pebble.Open(dir, o)
		return err
	})
	if err != nil {
		d.gate.close()
		return nil, err
	}
	d.DB = db
	return d, nil
}

// errCorrupt: what was read is not what was written.
var errCorrupt = errors.New("damaged")

func isCorrupt(err error) bool { return errors.Is(err, errCorrupt) || pebble.IsCorruptionError(err) }

// leave closes a database that is not used. One that has failed is left.
func (d *database) leave() error {
	err := d.err()
	if err == nil {
		err = d.run(d.Close)
	}
	d.gate.close()
	return err
}

// caught calls what may panic.
func caught(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if e, ok := p.(error); ok {
				err = e
			} else {
				err = fmt.Errorf("pebble: %v", p)
			}
		}
	}()
	return do()
}

// pebbleLog is pebble's way to our log.
type pebbleLog struct {
	log   *slog.Logger
	fault *fault
}

func (l *pebbleLog) Infof(string, ...any) {}

func (l *pebbleLog) Errorf(format string, args ...any) {
	l.log.Error("store: " + fmt.Sprintf(format, args...))
}

// Fatalf must not return, for pebble would take a write for done.
func (l *pebbleLog) Fatalf(format string, args ...any) {
	l.fault.hold(fmt.Errorf("pebble: "+format, args...))
}
