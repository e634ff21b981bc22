package disk

import (
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options of a Store. A zero field means its default.
type Options struct {
	Dir string // the store's folder; it is made if it is not there

	// Sync is when what was committed is forced to the disk: SyncAlways, before
	// it is acknowledged; SyncNever, when the operating system does; else after
	// so long at most, and what was acknowledged meanwhile may be lost with the
	// power or the process.
	Sync time.Duration

	// Reserve is how many bytes must be free on the disk: with less, batches that
	// carry messages or values are refused, and those that make room are not.
	// 64 MiB; below 0 none.
	Reserve int64

	// Refuse: a damaged store is not opened. Otherwise what is intact is brought
	// into a new one and the damaged one is put aside.
	Refuse bool

	Log *slog.Logger // nil: none
	FS  vfs.FS       // nil: that of the operating system
}

// The ends of Options.Sync.
const (
	SyncAlways time.Duration = 0
	SyncNever  time.Duration = -1
)

const (
	// defaultReserve is more than what one flush and one compaction of the sizes
	// below write before they delete.
	defaultReserve = 64 << 20

	// memtable is what lies in memory before it is written to a table, twice at
	// most while one is written. Pebble makes it in steps from 256 KiB on, so that
	// a store with little in it stays small. A smaller one costs syncs: each comes
	// with a log of its own.
	memtable = 8 << 20

	// blockCache holds what Waiting reads: pages in order, read once.
	blockCache = 8 << 20

	// tableSize bounds what is lost with a table whose index is damaged: its
	// records are found through that alone. Pebble's default grows to 128 MiB.
	tableSize = 4 << 20

	// formatVersion of pebble: with this one, garbage in a log is seen. It is not
	// FormatNewest, which a newer pebble would raise behind the back of Format.
	formatVersion = pebble.FormatValueSeparation

	// openFiles bounds the descriptors of tables; the broker's are for clients.
	openFiles = 200
)

func (o Options) withDefaults() Options {
	if o.Reserve == 0 {
		o.Reserve = defaultReserve
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	return o
}

// keepLogs deletes obsolete files, and says of itself, by what it has of
// pebble's ArchiveCleaner, that a file's content matters. So logs are not used
// again, and no log is there before which one is gone: salvaging them brings
// nothing back that a later log had deleted.
type keepLogs struct {
	pebble.DeleteCleaner
	contentMatters
}

type contentMatters struct{ pebble.ArchiveCleaner }

// pebbleOptions are those of a database behind a gate.
//
// Commits must not wait for flushes and compactions: tables of level 0 are
// compacted from four on and writes never stop for their number before 1000 (at
// 12, pebble's default, a burst stops for whole compactions); a third memtable
// is filled while one is written. One compaction at a time leaves the other
// processors to clients, and deletions are paced, for a file system may take
// tens of milliseconds for a large one.
func pebbleOptions(fs vfs.FS, log pebble.Logger, events *pebble.EventListener) *pebble.Options {
	o := &pebble.Options{
		FS:                          fs,
		Logger:                      log,
		EventListener:               events,
		Cleaner:                     keepLogs{},
		FormatMajorVersion:          formatVersion,
		CacheSize:                   blockCache,
		MaxOpenFiles:                openFiles,
		MemTableSize:                memtable,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       1000,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 1 },
		BytesPerSync:                512 << 10,
		WALBytesPerSync:             512 << 10,
		TargetByteDeletionRate:      64 << 20,
		FlushDelayDeleteRange:       0, // a flush of pebble's own timer would panic where nobody recovers
	}
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = tableSize
	}
	return o
}
