package lib

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"
)

// Limits of a KV.
const (
	MaxKVKey    = 1024    // the longest key, and the longest name of a bucket, in bytes
	MaxKVValue  = 1 << 20 // the longest string value, in bytes
	MaxKVListed = 10_000  // the most keys one call of Keys returns

	// kvOverhead is counted for every entry beside the bytes of bucket name, key and value: the
	// entry, its slots in map, index and expiry heap, and the box of its value. Measured by
	// TestKVCountsWhatItHolds.
	kvOverhead = 192

	// kvSweep is how many expired entries each write frees. One write makes at most one entry, so
	// two are enough to catch up.
	kvSweep = 2

	// kvBatch is how many expired entries Keys collects before it lets others have the lock.
	kvBatch = 1024
)

// ErrKVFull is returned by writes that would take a KV beyond its bytes.
var ErrKVFull = errors.New("kv: full")

// KV is the memory that all worlds share and that outlives a reload: strings, numbers and
// booleans, by bucket and key, some of them until a time. It is bounded in bytes over all buckets
// and safe for concurrent use.
//
// One mutex guards it: an operation holds it for well under a microsecond (BenchmarkKVParallel),
// and what Keys does is cut into batches.
type KV struct {
	// Immutable:
	now      func() time.Time
	start    time.Time
	maxBytes int64
	changed  func(bucket, key string) // nil: nobody asks

	mu sync.Mutex
	// Guarded by mu:
	bytes   int64
	entries map[kvKey]*kvEntry
	order   kvIndex  // the entries by bucket and key
	expiry  kvExpiry // those with a ttl, by the time they expire
}

type kvKey struct{ bucket, key string }

func (k kvKey) compare(other kvKey) int {
	if c := cmp.Compare(k.bucket, other.bucket); c != 0 {
		return c
	}
	return cmp.Compare(k.key, other.key)
}

type kvEntry struct {
	kvKey
	value   any
	expires int64 // since start, in nanoseconds; math.MaxInt64 is never
	heapAt  int   // place in the expiry heap, -1 outside
}

func (e *kvEntry) size() int64 { return kvSize(e.kvKey, e.value) }

func kvSize(k kvKey, value any) int64 {
	n := kvOverhead + len(k.bucket) + len(k.key)
	if s, ok := value.(string); ok {
		n += len(s)
	}
	return int64(n)
}

// NewKV returns an empty KV that holds up to maxBytes over all buckets, each entry counted with
// its bucket name, key, value and a fixed overhead. now is the clock that ttls go by; a monotonic
// reading is used where it has one, so that a clock that is set does not shift them.
func NewKV(maxBytes int64, now func() time.Time) *KV {
	return &KV{now: now, start: now(), maxBytes: maxBytes, entries: make(map[kvKey]*kvEntry)}
}

// OnChange has changed told of every value that is set, deleted or swept, from
// now on; it is called with the KV locked, and must not call it. It is for one
// who keeps the values elsewhere, and is set before the KV is used by others.
func (kv *KV) OnChange(changed func(bucket, key string)) { kv.changed = changed }

// Kept returns the value of key and when it expires, by the wall clock; the zero
// time is never.
func (b *Bucket) Kept(key string) (value any, expires time.Time, ok bool) {
	kv := b.kv
	kv.mu.Lock()
	defer kv.mu.Unlock()
	e := kv.entries[kvKey{b.name, key}]
	now := kv.elapsed()
	if e == nil || e.expires <= now {
		return nil, time.Time{}, false
	}
	if e.expires != math.MaxInt64 {
		expires = kv.now().Add(time.Duration(e.expires - now))
	}
	return e.value, expires, true
}

// Bytes returns what the entries count for, those that expired and are not swept included.
func (kv *KV) Bytes() int64 {
	kv.mu.Lock()
	defer kv.mu.Unlock()
	return kv.bytes
}

// Len returns the number of entries, those that expired and are not swept included.
func (kv *KV) Len() int {
	kv.mu.Lock()
	defer kv.mu.Unlock()
	return len(kv.entries)
}

// Bucket is a name space in a KV. Buckets of one name are the same bucket; an empty one costs
// nothing. The default bucket's name is "".
type Bucket struct {
	kv   *KV
	name string
}

// Bucket returns the bucket of that name. A name longer than MaxKVKey bytes is refused by the
// writes to it.
func (kv *KV) Bucket(name string) *Bucket {
	return &Bucket{kv: kv, name: strings.Clone(name)}
}

// Get returns the value of key (a string, float64 or bool), and whether there is one.
func (b *Bucket) Get(key string) (any, bool) {
	kv := b.kv
	kv.mu.Lock()
	defer kv.mu.Unlock()
	if e := kv.liveLocked(kvKey{b.name, key}, kv.elapsed()); e != nil {
		return e.value, true
	}
	return nil, false
}

// Set gives key a value (a string, float64 or bool), for ttl or, with 0, until it is deleted. The
// former value's ttl does not count on. Errors: a key longer than MaxKVKey bytes, a string longer
// than MaxKVValue bytes, another type, a negative ttl, and ErrKVFull, which leave the former value
// as it was.
func (b *Bucket) Set(key string, value any, ttl time.Duration) error {
	if err := b.check(key, value, ttl); err != nil {
		return err
	}
	kv := b.kv
	kv.mu.Lock()
	defer kv.mu.Unlock()
	now := kv.elapsed()
	return kv.putLocked(kvKey{b.name, key}, value, expiresAt(now, ttl), now)
}

// Add is Set for a key that has no value yet. added is false, and nothing changes, if it has one.
func (b *Bucket) Add(key string, value any, ttl time.Duration) (added bool, err error) {
	if err := b.check(key, value, ttl); err != nil {
		return false, err
	}
	kv := b.kv
	kv.mu.Lock()
	defer kv.mu.Unlock()
	now := kv.elapsed()
	k := kvKey{b.name, key}
	if kv.liveLocked(k, now) != nil {
		return false, nil
	}
	if err := kv.putLocked(k, value, expiresAt(now, ttl), now); err != nil {
		return false, err
	}
	return true, nil
}

// Incr adds by to the number at key and returns the sum. Without a value it begins at 0, and only
// then does ttl count: a number that is there keeps the time it has. Errors: those of Set, a value
// that is not a number, a sum that is not finite; the value stays as it was.
func (b *Bucket) Incr(key string, by float64, ttl time.Duration) (float64, error) {
	if err := b.check(key, by, ttl); err != nil {
		return 0, err
	}
	kv := b.kv
	kv.mu.Lock()
	defer kv.mu.Unlock()
	now := kv.elapsed()
	k := kvKey{b.name, key}
	sum, expires := by, expiresAt(now, ttl)
	if e := kv.liveLocked(k, now); e != nil {
		was, ok := e.value.(float64)
		if !ok {
			return 0, fmt.Errorf("kv: the value of %q is not a number", clip(key, maxKeyShown))
		}
		sum, expires = was+by, e.expires
	}
	if math.IsNaN(sum) || math.IsInf(sum, 0) {
		return 0, fmt.Errorf("kv: %q would become %v", clip(key, maxKeyShown), sum)
	}
	return sum, kv.putLocked(k, sum, expires, now)
}

// Delete removes key and says whether it had a value.
func (b *Bucket) Delete(key string) bool {
	kv := b.kv
	kv.mu.Lock()
	defer kv.mu.Unlock()
	e := kv.liveLocked(kvKey{b.name, key}, kv.elapsed())
	if e == nil {
		return false
	}
	kv.removeLocked(e)
	return true
}

// Keys returns the first keys of the bucket that begin with prefix, in order of their bytes: up to
// limit, and up to MaxKVListed whatever limit says; limit ≤ 0 stands for MaxKVListed. It costs what
// it returns, not what the bucket holds. It is no snapshot: keys that others write meanwhile may
// be in it or not.
func (b *Bucket) Keys(prefix string, limit int) []string {
	if limit <= 0 || limit > MaxKVListed {
		limit = MaxKVListed
	}
	keys := []string{}
	from := prefix
	for {
		var done bool
		if keys, from, done = b.keysBatch(keys, from, prefix, limit); done {
			return keys
		}
	}
}

// keysBatch appends keys beginning with from, and frees the expired entries it meets. It stops at
// kvBatch of those, and then returns where to go on.
func (b *Bucket) keysBatch(keys []string, from, prefix string, limit int) (_ []string, next string, done bool) {
	kv := b.kv
	kv.mu.Lock()
	defer kv.mu.Unlock()
	now := kv.elapsed()
	next, done = from, true
	var expired []*kvEntry
	kv.order.ascend(kvKey{b.name, from}, func(e *kvEntry) bool {
		if e.bucket != b.name || !strings.HasPrefix(e.key, prefix) || len(keys) == limit {
			return false
		}
		next = e.key
		if e.expires > now {
			keys = append(keys, e.key)
			return true
		}
		expired = append(expired, e)
		done = len(expired) < kvBatch
		return done
	})
	for _, e := range expired {
		kv.removeLocked(e)
	}
	return keys, next, done
}

// check refuses what no bucket takes.
func (b *Bucket) check(key string, value any, ttl time.Duration) error {
	switch {
	case len(b.name) > MaxKVKey:
		return fmt.Errorf("kv: a bucket name of %d bytes, at most %d are allowed", len(b.name), MaxKVKey)
	case len(key) > MaxKVKey:
		return fmt.Errorf("kv: a key of %d bytes, at most %d are allowed", len(key), MaxKVKey)
	case ttl < 0:
		return fmt.Errorf("kv: a negative ttl (%v)", ttl)
	}
	switch v := value.(type) {
	case float64, bool:
		return nil
	case string:
		if len(v) > MaxKVValue {
			return fmt.Errorf("kv: a value of %d bytes, at most %d are allowed", len(v), MaxKVValue)
		}
		return nil
	}
	return fmt.Errorf("kv: a value must be a string, a number or a boolean, not %T", value)
}

func (kv *KV) elapsed() int64 { return int64(kv.now().Sub(kv.start)) }

func expiresAt(now int64, ttl time.Duration) int64 {
	if ttl == 0 || int64(ttl) > math.MaxInt64-max(now, 0) {
		return math.MaxInt64
	}
	return now + int64(ttl)
}

// liveLocked returns the entry at k, nil where there is none. An expired one is freed.
func (kv *KV) liveLocked(k kvKey, now int64) *kvEntry {
	e := kv.entries[k]
	if e == nil || e.expires > now {
		return e
	}
	kv.removeLocked(e)
	return nil
}

// putLocked stores a value. The strings are copied: the caller's may be slices of a payload, which
// the KV would hold, and not count, as long as the entry lives.
func (kv *KV) putLocked(k kvKey, value any, expires, now int64) error {
	kv.sweepLocked(now, kvSweep)
	e := kv.entries[k]
	if e != nil && e.expires <= now {
		kv.removeLocked(e)
		e = nil
	}
	grows := kvSize(k, value)
	if e != nil {
		grows -= e.size()
	}
	if err := kv.makeRoomLocked(grows, now); err != nil {
		return err
	}
	if s, ok := value.(string); ok {
		value = strings.Clone(s)
	}
	kv.bytes += grows
	if e == nil {
		e = &kvEntry{kvKey: kvKey{k.bucket, strings.Clone(k.key)}, heapAt: -1}
		kv.entries[e.kvKey] = e
		kv.order.insert(e)
	}
	e.value = value
	kv.expiry.set(e, expires)
	if kv.changed != nil {
		kv.changed(e.bucket, e.key)
	}
	return nil
}

// makeRoomLocked frees expired entries until grows bytes more fit.
func (kv *KV) makeRoomLocked(grows, now int64) error {
	for grows > 0 && grows > kv.maxBytes-kv.bytes {
		if kv.sweepLocked(now, 1) == 0 {
			return fmt.Errorf("%w: %d of %d bytes are in use, %d more do not fit", ErrKVFull, kv.bytes, kv.maxBytes, grows)
		}
	}
	return nil
}

// sweepLocked frees up to n expired entries and returns how many.
func (kv *KV) sweepLocked(now int64, n int) int {
	freed := 0
	for freed < n && len(kv.expiry) > 0 && kv.expiry[0].expires <= now {
		kv.removeLocked(kv.expiry[0])
		freed++
	}
	return freed
}

func (kv *KV) removeLocked(e *kvEntry) {
	delete(kv.entries, e.kvKey)
	kv.order.remove(e)
	kv.expiry.remove(e)
	kv.bytes -= e.size()
	if kv.changed != nil {
		kv.changed(e.bucket, e.key)
	}
}
