package disk

import (
	"bytes"
	"context"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// table reads one table by itself.
type table struct {
	reader *sstable.Reader
	fn     func(change) error
	bad    bool // something could not be read
	fnErr  error
}

// tableChanges calls fn with every change in a table that can be read, each at
// least once, and says whether all could.
func tableChanges(fs vfs.FS, name string, fn func(change) error) (whole bool, err error) {
	f, err := fs.Open(name)
	if err != nil {
		return false, nil
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return false, f.Close()
	}
	r, err := sstable.NewReader(context.Background(), readable, sstable.ReaderOptions{})
	if err != nil {
		return false, readable.Close()
	}
	defer r.Close()
	t := &table{reader: r, fn: fn}
	t.rangeDeletions()
	t.gap(nil, nil, 0)
	return !t.bad, t.fnErr
}

// maxBisect bounds how far a gap is divided: 2^6 places are looked at. A table
// has a few hundred blocks.
const maxBisect = 6

// gap reads what lies between two keys (nil: no bound): from the front up to a
// damaged block, from the back down to one, and what is between those by
// looking for a key in its middle.
func (t *table) gap(low, high []byte, depth int) {
	front, whole := t.run(low, high, false)
	if whole || t.fnErr != nil {
		return
	}
	t.bad = true
	back, _ := t.run(low, high, true)
	if front == nil {
		front = low
	}
	if back == nil {
		back = high
	}
	if depth == maxBisect || t.fnErr != nil || back != nil && bytes.Compare(front, back) >= 0 {
		return
	}
	if middle := between(front, back); middle != nil {
		t.gap(front, middle, depth+1)
		t.gap(middle, back, depth+1)
	}
}

// run reads from one end until it is at the other or cannot go on, and returns
// the last key that it has read.
func (t *table) run(low, high []byte, backwards bool) (last []byte, whole bool) {
	it, err := t.reader.NewIter(sstable.NoTransforms, low, high, sstable.AssertNoBlobHandles)
	if err != nil {
		return nil, false
	}
	defer it.Close()
	first, next := it.First, it.Next
	switch {
	case backwards && high != nil:
		first, next = seek(it.SeekLT, high), it.Prev
	case backwards:
		first, next = it.Last, it.Prev
	case low != nil:
		first = seek(it.SeekGE, low)
	}
	for kv := first(); kv != nil; kv = next() {
		value, _, err := kv.V.Value(nil)
		if err != nil {
			return last, false
		}
		last = append(last[:0], kv.K.UserKey...)
		if t.fnErr = t.fn(change{key: kv.K.UserKey, value: value, seq: uint64(kv.K.SeqNum()), kind: kv.K.Kind()}); t.fnErr != nil {
			return last, false
		}
	}
	return last, it.Error() == nil
}

// seek names types that pebble does not export.
func seek[Flags, KV any](seek func([]byte, Flags) KV, key []byte) func() KV {
	return func() KV {
		var none Flags
		return seek(key, none)
	}
}

func (t *table) rangeDeletions() {
	it, err := t.reader.NewRawRangeDelIter(context.Background(), sstable.NoFragmentTransforms, sstable.NoReadEnv)
	if err != nil {
		t.bad = true
		return
	}
	if it == nil {
		return
	}
	defer it.Close()
	span, err := it.First()
	for ; span != nil && err == nil; span, err = it.Next() {
		for _, k := range span.Keys {
			if t.fnErr = t.fn(change{key: span.Start, value: span.End, seq: uint64(k.SeqNum()), kind: pebble.InternalKeyKindRangeDelete}); t.fnErr != nil {
				return
			}
		}
	}
	if err != nil {
		t.bad = true
	}
}

// between returns a key about in the middle of two (nil: no bound), nil if
// there is none.
func between(low, high []byte) []byte {
	const width = 24 // beyond the longest keys but those that end in a text
	a, b := make([]byte, width), bytes.Repeat([]byte{0xff}, width)
	copy(a, low)
	if high != nil {
		clear(b)
		copy(b, high)
	}
	sum := 0
	out := make([]byte, width)
	carry := 0
	for i := width - 1; i >= 0; i-- { // a+b, byte by byte from the right
		sum = int(a[i]) + int(b[i]) + carry
		out[i], carry = byte(sum), sum>>8
	}
	for i := range out { // halved, from the left
		sum = carry<<8 | int(out[i])
		out[i], carry = byte(sum>>1), sum&1
	}
	if bytes.Compare(out, low) <= 0 || high != nil && bytes.Compare(out, high) >= 0 {
		return nil
	}
	return out
}
