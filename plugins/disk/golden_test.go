package disk

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"lunamq/core"
	"lunamq/core/storetest"
)

var update = flag.Bool("update", false, "write testdata/format1.txt anew; only where a format never left this repository")

// golden holds the records of EveryField as format 1 has them.
const golden = "testdata/format1.txt"

// TestFormat1: what format 1 has written is read for ever, and is what is written.
func TestFormat1(t *testing.T) {
	records := encoded(t, storetest.EveryField())
	if *update {
		var text strings.Builder
		for _, r := range records {
			fmt.Fprintf(&text, "%x %x\n", r.key, r.value)
		}
		if err := os.WriteFile(golden, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	fs := vfs.NewMem()
	s := opened(t, Options{FS: fs})
	batch := s.database.NewBatch()
	n := 0
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); n++ {
		key, value, _ := strings.Cut(lines.Text(), " ")
		k, err1 := hex.DecodeString(key)
		v, err2 := hex.DecodeString(value)
		if err1 != nil || err2 != nil || batch.Set(k, v, nil) != nil {
			t.Fatalf("line %d of %s: %v, %v", n+1, golden, err1, err2)
		}
		if n < len(records) && (!bytes.Equal(records[n].key, k) || !bytes.Equal(records[n].value, v)) {
			t.Errorf("%v is written otherwise than format 1 has it: raise Format, and let it migrate", mustPlace(k))
		}
	}
	if n != len(records) {
		t.Errorf("%d records are written, format 1 has %d", len(records), n)
	}
	if err := batch.Commit(pebble.Sync); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	want := core.NewMemoryStore()
	storetest.Commit(t, want, storetest.EveryField()...)
	s = opened(t, Options{FS: fs})
	if got, want := storetest.Dump(t, s), storetest.Dump(t, want); !slices.Equal(got, want) {
		t.Errorf("format 1 is read as\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func mustPlace(key []byte) place {
	p, _ := parseKey(key)
	return p
}

// encoded are the records of operations, in the order of their keys.
func encoded(t testing.TB, ops []core.Op) (out []change) {
	t.Helper()
	s := opened(t, Options{FS: vfs.NewMem()})
	storetest.Commit(t, s, ops...)
	it, err := s.database.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		out = append(out, change{key: slices.Clone(it.Key()), value: slices.Clone(it.Value())})
	}
	return out
}

// FuzzRecord: whatever lies under a key, reading it ends, in bounds, with an
// error or with what is written as it was read.
func FuzzRecord(f *testing.F) {
	for _, r := range encoded(f, storetest.EveryField()) {
		f.Add(r.key, r.value[recordHead:])
	}
	f.Fuzz(func(t *testing.T, key, fields []byte) {
		p, ok := parseKey(key)
		if !ok {
			return
		}
		record := append(beginRecord(nil), fields...)
		sealRecord(key, record)
		if got, err := openRecord(key, record); err != nil || !bytes.Equal(got, fields) {
			t.Fatalf("a sealed record is not opened: %v", err)
		}
		found := &scanner{index: newIndex(), backlogs: make(backlogs), payloads: true, id: p.id}
		if found.record(key, record, p, true) != nil {
			return
		}
		l := &loader{name: "x"}
		r := &reader{rest: fields}
		if p.space == metaSpace || p.part == messagePart || p.part == payloadPart {
			return
		}
		op := l.op(p, r)
		if op.Kind == core.PutSession {
			l.name = op.Session
		}
		again := &writer{index: newIndex(), batch: new(pebble.Batch)}
		again.index.put(l.name, sessionEntry{id: p.id})
		if err := again.write(&op); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again.key, key) {
			t.Fatalf("%v is written under %x, was read under %x", p, again.key, key)
		}
		second, err := openRecord(again.key, again.value)
		if err != nil {
			t.Fatal(err)
		}
		r = &reader{rest: second}
		if got := storetest.Line(l.op(p, r)); r.end() != nil || got != storetest.Line(op) {
			t.Fatalf("%v is read as\n%s\nand then as\n%s", p, storetest.Line(op), got)
		}
	})
}

// FuzzLog: whatever is in a log, reading it ends.
func FuzzLog(f *testing.F) {
	f.Add([]byte("garbage"), 1)
	f.Fuzz(func(t *testing.T, text []byte, n int) {
		repeated := bytes.Repeat(text, 1+n&7)
		intact, err := logEntries(repeated, 4, func(entry []byte) error {
			_ = entryChanges(entry, func(c change) error { parseKey(c.key); return nil })
			return nil
		})
		if err != nil || intact < 0 || intact > len(repeated) {
			t.Fatalf("%d of %d bytes are intact, %v", intact, len(repeated), err)
		}
	})
}
