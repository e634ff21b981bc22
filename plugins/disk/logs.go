package disk

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/record"
)

// logBlock is how the log is divided: entries are cut at its bounds, and after
// garbage reading goes on at the next one (pebble, record/record.go).
const logBlock = 32 << 10

// fileNumber reads NNNNNN.log and NNNNNN.sst.
func fileNumber(name, extension string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, extension)
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, ok && err == nil
}

// newRecordReader names the type of a file's number, which pebble does not export.
func newRecordReader[N ~uint64](make func(io.Reader, N) *record.Reader, from io.Reader, number uint64) *record.Reader {
	return make(from, N(number))
}

// logEntries calls fn with every intact entry of a log, and returns how many
// bytes there are before the first that is not.
func logEntries(text []byte, number uint64, fn func(entry []byte) error) (intact int, err error) {
	intact = -1
	for at := 0; at < len(text); {
		r := newRecordReader(record.NewReader, bytes.NewReader(text[at:]), number)
		var good int // where the entries that were read end
		for {
			good = min(at+int(r.Offset()), len(text))
			var entry []byte
			part, err := r.Next()
			if err == nil {
				entry, err = io.ReadAll(part)
			}
			if errors.Is(err, io.EOF) {
				good = len(text)
			}
			if err != nil {
				break
			}
			if err := fn(entry); err != nil {
				return 0, err
			}
		}
		if intact < 0 {
			intact = good
		}
		at = good - good%logBlock + logBlock // behind the block that cannot be read
	}
	return max(intact, 0), nil
}

// change is one key of a table or log as it was written, with its place in the
// order of all changes.
type change struct {
	key, value []byte // lent
	seq        uint64
	kind       pebble.InternalKeyKind
}

// entryChanges calls fn with the changes of one log entry, which is a batch.
func entryChanges(entry []byte, fn func(change) error) error {
	head, ok := batchrepr.ReadHeader(entry)
	if !ok {
		return errFields
	}
	seq := uint64(head.SeqNum)
	r := batchrepr.Read(entry)
	for {
		kind, key, value, ok, err := r.Next()
		if err != nil || !ok {
			return err
		}
		if kind == pebble.InternalKeyKindLogData {
			continue
		}
		if err := fn(change{key: key, value: value, seq: seq, kind: kind}); err != nil {
			return err
		}
		seq++
	}
}

// inspectLogs tells of logs of which nothing can be read, which pebble takes for
// empty. After a power cut that is normal where nothing of them was
// acknowledged, so the store is not taken for damaged; and what is no log any
// more but something is kept aside. An entry in the middle that cannot be read
// pebble finds by itself, by what the later ones say was synced.
func (s *Store) inspectLogs(names []string) error {
	for _, name := range names {
		number, ok := fileNumber(name, ".log")
		if !ok {
			continue
		}
		path := s.o.FS.PathJoin(s.dir(), name)
		text, err := readFile(s.o.FS, path)
		if err != nil {
			return err
		}
		entries := 0
		intact, err := logEntries(text, number, func([]byte) error { entries++; return nil })
		if err != nil {
			return err
		}
		rest := text[intact:]
		zeros := strings.Trim(string(rest), "\x00") == ""
		switch {
		case entries == 0 && len(rest) > 0:
			s.o.Log.Error("a log has nothing in it that can be read: if the power was not cut, WHAT IT HELD IS LOST", "path", path, "bytes", len(rest), "zeros", zeros)
			if !zeros {
				if err := s.copyAside(name, text); err != nil {
					return err
				}
			}
		case len(rest) > 0 && !zeros:
			s.o.Log.Warn("the last entry of a log was cut off, or is damaged; it is left out", "path", path, "bytes", len(rest))
		}
	}
	return nil
}

// copyAside keeps a file that is about to be deleted.
func (s *Store) copyAside(name string, text []byte) error {
	aside := s.asideName(name)
	if err := writeFile(s.o.FS, s.o.Dir, s.o.FS.PathBase(aside), text); err != nil {
		return err
	}
	s.noteDamaged(aside)
	return nil
}
