package lib

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// testClock is a clock that moves when it is told to.
type testClock struct {
	mu sync.Mutex
	t  time.Time
}

func newTestClock() *testClock { return &testClock{t: time.Unix(1_700_000_000, 0)} }

func (c *testClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *testClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func newTestKV(maxBytes int64) (*KV, *testClock) {
	clock := newTestClock()
	return NewKV(maxBytes, clock.now), clock
}

func set(t *testing.T, b *Bucket, key string, value any, ttl time.Duration) {
	t.Helper()
	if err := b.Set(key, value, ttl); err != nil {
		t.Fatalf("Set(%q): %v", key, err)
	}
}

func wantValue(t *testing.T, b *Bucket, key string, want any) {
	t.Helper()
	if got, ok := b.Get(key); got != want || ok != (want != nil) {
		t.Errorf("Get(%q) = %v, %v; want %v", key, got, ok, want)
	}
}

func TestKVValues(t *testing.T) {
	kv, _ := newTestKV(1 << 20)
	b, other := kv.Bucket(""), kv.Bucket("other")
	for key, v := range map[string]any{"s": "text", "empty": "", "n": 1.5, "yes": true, "no": false, "": "no key", "inf": math.Inf(1)} {
		set(t, b, key, v, 0)
		wantValue(t, b, key, v)
		wantValue(t, other, key, nil)
	}
	set(t, b, "s", 2.0, 0)
	wantValue(t, b, "s", 2.0)
	set(t, other, "s", "mine", 0)
	wantValue(t, kv.Bucket("other"), "s", "mine")
	wantValue(t, b, "s", 2.0)
	if !b.Delete("s") || b.Delete("s") {
		t.Error("Delete does not say what was there")
	}
	wantValue(t, b, "s", nil)
	wantValue(t, other, "s", "mine")
}

func TestKVRefuses(t *testing.T) {
	kv, _ := newTestKV(64 << 20)
	b := kv.Bucket("")
	long := strings.Repeat("k", MaxKVKey+1)
	tests := []struct {
		name  string
		b     *Bucket
		key   string
		value any
		ttl   time.Duration
		want  string
	}{
		{"long key", b, long, "v", 0, "a key of 1025 bytes"},
		{"long bucket name", kv.Bucket(long), "k", "v", 0, "a bucket name of 1025 bytes"},
		{"long value", b, "k", strings.Repeat("v", MaxKVValue+1), 0, "a value of 1048577 bytes"},
		{"negative ttl", b, "k", "v", -1, "negative ttl"},
		{"nil", b, "k", nil, 0, "not <nil>"},
		{"int", b, "k", 1, 0, "not int"},
		{"slice", b, "k", []byte("v"), 0, "not []uint8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, errAdd := tt.b.Add(tt.key, tt.value, tt.ttl)
			for _, err := range []error{tt.b.Set(tt.key, tt.value, tt.ttl), errAdd} {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want %q", err, tt.want)
				}
			}
		})
	}
	if kv.Len() != 0 || kv.Bytes() != 0 {
		t.Errorf("%d entries of %d bytes remain", kv.Len(), kv.Bytes())
	}
	set(t, b, long[:MaxKVKey], strings.Repeat("v", MaxKVValue), 0)
}

func TestKVExpiresExactly(t *testing.T) {
	kv, clock := newTestKV(1 << 20)
	b := kv.Bucket("")
	set(t, b, "a", "1", time.Second)
	set(t, b, "b", "1", time.Second)
	set(t, b, "b", "2", 0) // lives on
	set(t, b, "c", "1", 0)
	set(t, b, "c", "2", 2*time.Second)
	set(t, b, "far", "1", math.MaxInt64)
	clock.advance(time.Second - 1)
	wantValue(t, b, "a", "1")
	clock.advance(1)
	wantValue(t, b, "a", nil)
	if b.Delete("a") {
		t.Error("an expired key was deleted as if it were there")
	}
	wantValue(t, b, "b", "2")
	wantValue(t, b, "c", "2")
	clock.advance(time.Second)
	if got := b.Keys("", 0); !slices.Equal(got, []string{"b", "far"}) {
		t.Errorf("keys %q", got)
	}
	if kv.Len() != 2 {
		t.Errorf("%d entries remain, want 2", kv.Len())
	}
}

func TestKVAdd(t *testing.T) {
	kv, clock := newTestKV(1 << 20)
	b := kv.Bucket("")
	add := func(value any, ttl time.Duration, want bool) {
		t.Helper()
		if added, err := b.Add("k", value, ttl); added != want || err != nil {
			t.Errorf("Add = %v, %v; want %v", added, err, want)
		}
	}
	add("first", time.Second, true)
	add("second", 0, false)
	wantValue(t, b, "k", "first")
	clock.advance(time.Second)
	add("third", 0, true)
	wantValue(t, b, "k", "third")
}

func TestKVIncr(t *testing.T) {
	kv, clock := newTestKV(1 << 20)
	b := kv.Bucket("")
	incr := func(by float64, ttl time.Duration, want float64) {
		t.Helper()
		if got, err := b.Incr("n", by, ttl); got != want || err != nil {
			t.Errorf("Incr = %v, %v; want %v", got, err, want)
		}
	}
	incr(1, time.Second, 1)
	clock.advance(time.Second / 2)
	incr(2, time.Hour, 3) // the ttl of the first counts
	clock.advance(time.Second / 2)
	incr(-4, 0, -4)
	clock.advance(time.Hour)
	incr(0.5, 0, -3.5)

	set(t, b, "s", "7", 0)
	if _, err := b.Incr("s", 1, 0); err == nil || !strings.Contains(err.Error(), "not a number") {
		t.Errorf("Incr on a string: %v", err)
	}
	set(t, b, "n", math.MaxFloat64, 0)
	for _, by := range []float64{math.MaxFloat64, math.NaN(), math.Inf(-1)} {
		if _, err := b.Incr("n", by, 0); err == nil {
			t.Errorf("Incr by %v has no error", by)
		}
	}
	wantValue(t, b, "n", math.MaxFloat64)
	wantValue(t, b, "s", "7")
}

func TestKVBounded(t *testing.T) {
	const each = kvOverhead + 4
	kv, clock := newTestKV(10 * each)
	b := kv.Bucket("")
	for i := range 10 {
		set(t, b, fmt.Sprintf("k%02d", i), "v", time.Duration(i/5)*time.Minute) // 0–4 without ttl
	}
	full := func() {
		t.Helper()
		if err := b.Set("new", "v", 0); !errors.Is(err, ErrKVFull) {
			t.Errorf("Set in a full KV: %v", err)
		}
	}
	full()
	if _, err := b.Add("new", "v", 0); !errors.Is(err, ErrKVFull) {
		t.Error("Add in a full KV does not say so")
	}
	if _, err := b.Incr("newer", 1, 0); !errors.Is(err, ErrKVFull) {
		t.Error("Incr in a full KV does not say so")
	}
	if err := kv.Bucket("x").Set("k00", "longer than before", 0); !errors.Is(err, ErrKVFull) {
		t.Error("another bucket has room of its own")
	}
	if err := b.Set("k00", "longer than before", 0); !errors.Is(err, ErrKVFull) {
		t.Error("a longer value found room in a full KV")
	}
	wantValue(t, b, "k00", "v") // refused, and as it was
	set(t, b, "k00", "w", 0)    // as long as before
	set(t, b, "k00", "", 0)     // shorter
	full()
	clock.advance(time.Minute)
	set(t, b, "huge", strings.Repeat("v", 4*each), 0) // needs several of the five that expired
	wantValue(t, b, "k09", nil)
	wantValue(t, b, "k01", "v")
	for _, key := range b.Keys("", 0) {
		b.Delete(key)
	}
	if kv.Bytes() != 0 || kv.Len() != 0 || len(kv.order.chunks) != 0 || len(kv.expiry) != 0 {
		t.Errorf("empty, and %d bytes, %d entries, %d chunks, %d to expire", kv.Bytes(), kv.Len(), len(kv.order.chunks), len(kv.expiry))
	}
}

// Writes sweep: keys that nobody reads again do not stay.
func TestKVSweepsWhatNobodyReads(t *testing.T) {
	kv, clock := newTestKV(1 << 30)
	b := kv.Bucket("")
	for i := range 20_000 {
		set(t, b, fmt.Sprint("dedup/", i), true, time.Second)
		clock.advance(time.Millisecond)
		if kv.Len() > 1001 {
			t.Fatalf("%d entries after %d writes, though 1000 live", kv.Len(), i)
		}
	}
}

func TestKVKeys(t *testing.T) {
	kv, _ := newTestKV(64 << 20)
	b := kv.Bucket("m")
	for _, name := range []string{"", "l", "m\x00", "n"} {
		set(t, kv.Bucket(name), "a/other", true, 0)
	}
	if got := b.Keys("", 0); got == nil || len(got) != 0 {
		t.Errorf("keys of an empty bucket: %q", got)
	}
	for i := range MaxKVListed + 500 {
		set(t, b, fmt.Sprintf("k/%05d", i), true, 0)
	}
	for _, key := range []string{"a", "k", "k/", "k0", "\xff", "\xff\xff"} {
		set(t, b, key, true, 0)
	}
	tests := []struct {
		prefix      string
		limit, want int
		first       string
	}{
		{"k/0000", 0, 10, "k/00000"},
		{"k/", 3, 3, "k/"},
		{"k", 2, 2, "k"},
		{"k0", 0, 1, "k0"},
		{"\xff", 0, 2, "\xff"},
		{"b", 0, 0, ""},
		{"", 1, 1, "a"},
		{"", -1, MaxKVListed, "a"},
		{"", 1 << 40, MaxKVListed, "a"},
		{"k/10499", 0, 1, "k/10499"},
	}
	for _, tt := range tests {
		got := b.Keys(tt.prefix, tt.limit)
		if len(got) != tt.want || !slices.IsSorted(got) || tt.want > 0 && got[0] != tt.first {
			t.Errorf("Keys(%q, %d): %d keys, first %.1q; want %d, %q", tt.prefix, tt.limit, len(got), got, tt.want, tt.first)
		}
	}
}

// Many expired entries between two live ones are passed in batches, each once.
func TestKVKeysOverExpired(t *testing.T) {
	kv, clock := newTestKV(64 << 20)
	b := kv.Bucket("")
	for i := range 3*kvBatch + 7 {
		set(t, b, fmt.Sprintf("m%05d", i), true, time.Second)
	}
	set(t, b, "a", true, 0)
	set(t, b, "z", true, 0)
	clock.advance(time.Second)
	if got := b.Keys("", 2); !slices.Equal(got, []string{"a", "z"}) {
		t.Errorf("keys %q", got)
	}
	if kv.Len() != 2 {
		t.Errorf("%d entries remain", kv.Len())
	}
}

// modelKV is a KV as simple as can be, to compare with.
type modelKV map[kvKey]modelEntry

type modelEntry struct {
	value   any
	expires time.Time
}

func (m modelKV) keys(bucket, prefix string, now time.Time) []string {
	keys := []string{}
	for k, e := range m {
		if k.bucket == bucket && strings.HasPrefix(k.key, prefix) && now.Before(e.expires) {
			keys = append(keys, k.key)
		}
	}
	slices.Sort(keys)
	return keys
}

func TestKVAgainstModel(t *testing.T) {
	kv, clock := newTestKV(1 << 30)
	model := modelKV{}
	r := rand.New(rand.NewPCG(1, 2))
	never := clock.now().Add(1000 * time.Hour)
	for step := range 60_000 {
		bucket := []string{"", "x"}[r.IntN(2)]
		k := kvKey{bucket, fmt.Sprintf("%c/%d", 'a'+r.IntN(3), r.IntN(1500))}
		b := kv.Bucket(bucket)
		switch op := r.IntN(100); {
		case op < 55:
			e := modelEntry{float64(step), never}
			ttl := time.Duration(r.IntN(4)) * 20 * time.Second
			if ttl > 0 {
				e.expires = clock.now().Add(ttl)
			}
			set(t, b, k.key, e.value, ttl)
			model[k] = e
		case op < 75:
			e, was := model[k]
			if was = was && clock.now().Before(e.expires); b.Delete(k.key) != was {
				t.Fatalf("step %d: Delete(%v), there is %v", step, k, was)
			}
			delete(model, k)
		case op < 95:
			e, was := model[k]
			got, ok := b.Get(k.key)
			if was = was && clock.now().Before(e.expires); ok != was || ok && got != e.value {
				t.Fatalf("step %d: Get(%v) = %v, %v; want %v", step, k, got, ok, e)
			}
		default:
			clock.advance(time.Duration(r.IntN(20)) * 10 * time.Millisecond)
		}
		if step%2000 == 0 {
			prefix := []string{"", "a/", "b/1", "c/14"}[r.IntN(4)]
			if got, want := b.Keys(prefix, 0), model.keys(bucket, prefix, clock.now()); !slices.Equal(got, want) {
				t.Fatalf("step %d: %d keys, want %d", step, len(got), len(want))
			}
		}
	}
	checkKV(t, kv)
}

// checkKV wants map, index, heap and count to tell the same.
func checkKV(t *testing.T, kv *KV) {
	t.Helper()
	kv.mu.Lock()
	defer kv.mu.Unlock()
	var bytes int64
	var last *kvEntry
	indexed := 0
	kv.order.ascend(kvKey{}, func(e *kvEntry) bool {
		if last != nil && last.compare(e.kvKey) >= 0 || kv.entries[e.kvKey] != e {
			t.Errorf("%v is out of order or unknown", e.kvKey)
		}
		last = e
		indexed++
		bytes += e.size()
		return true
	})
	timed := 0
	for _, e := range kv.entries {
		if (e.expires != math.MaxInt64) != (e.heapAt >= 0) || e.heapAt >= 0 && kv.expiry[e.heapAt] != e {
			t.Errorf("%v has the place %d among those that expire", e.kvKey, e.heapAt)
		}
		if e.heapAt >= 0 {
			timed++
		}
	}
	if indexed != len(kv.entries) || bytes != kv.bytes || timed != len(kv.expiry) {
		t.Errorf("%d of %d indexed, %d of %d bytes, %d of %d expire", indexed, len(kv.entries), bytes, kv.bytes, timed, len(kv.expiry))
	}
	for i, c := range kv.order.chunks {
		if len(c) == 0 || len(c) > kvChunk {
			t.Errorf("chunk %d has %d entries", i, len(c))
		}
	}
}

func TestKVConcurrent(t *testing.T) {
	kv, clock := newTestKV(1 << 20)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			b := kv.Bucket("")
			for i := range 500 {
				_ = b.Set(fmt.Sprint(w, "/", i%50), "v", time.Second)
				if _, err := b.Incr("sum", 1, 0); err != nil {
					t.Error(err)
				}
				b.Keys(fmt.Sprint(w), 10)
				b.Delete(fmt.Sprint((w+1)%8, "/", i%50))
				clock.advance(time.Millisecond)
			}
		})
	}
	wg.Wait()
	wantValue(t, kv.Bucket(""), "sum", 4000.0)
	checkKV(t, kv)
}

// What is stored is a copy: it must not hold the payload that it was cut from.
func TestKVCopiesStrings(t *testing.T) {
	kv, _ := newTestKV(1 << 20)
	b := kv.Bucket("")
	for range 3 {
		payload := strings.Repeat("x", 1<<20)
		set(t, b, payload[:3], payload[3:6], 0)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		runtime.KeepAlive(payload)
		payload = ""
		runtime.GC()
		runtime.ReadMemStats(&after)
		if freed := int64(before.HeapAlloc) - int64(after.HeapAlloc); freed < 1<<19 {
			t.Errorf("%d bytes freed, the payload is held", freed)
		}
	}
	wantValue(t, b, "xxx", "xxx")
}

// kvOverhead covers what an entry takes in memory.
func TestKVCountsWhatItHolds(t *testing.T) {
	const n = 100_000
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("sensors/%08d", rand.IntN(1<<26))
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	kv, _ := newTestKV(1 << 30)
	b := kv.Bucket("")
	for i, key := range keys {
		set(t, b, key, float64(i), time.Hour)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	held, counted := float64(after.HeapAlloc-before.HeapAlloc), float64(kv.Bytes())
	t.Logf("%.0f bytes an entry held, %.0f counted", held/n, counted/n)
	if held > 1.1*counted || held < 0.5*counted {
		t.Errorf("%.0f bytes held, %.0f counted", held, counted)
	}
	runtime.KeepAlive(kv)
	runtime.KeepAlive(keys)
}

func benchKV(b *testing.B, n int) (*Bucket, []string) {
	kv := NewKV(1<<40, time.Now)
	bucket := kv.Bucket("")
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("sensors/%08d", i*7919%n)
		if err := bucket.Set(keys[i], float64(i), 0); err != nil {
			b.Fatal(err)
		}
	}
	return bucket, keys
}

func BenchmarkKV(b *testing.B) {
	bucket, keys := benchKV(b, 1_000_000)
	i := 0
	next := func() string { i++; return keys[i*31%len(keys)] }
	b.Run("get", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			bucket.Get(next())
		}
	})
	b.Run("set", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = bucket.Set(next(), true, 0)
		}
	})
	b.Run("incr", func(b *testing.B) {
		_ = bucket.Set("n", 0.0, 0)
		b.ReportAllocs()
		for b.Loop() {
			_, _ = bucket.Incr("n", 1, 0)
		}
	})
	b.Run("add and delete", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = bucket.Add("sensors/00500000x", true, time.Minute)
			bucket.Delete("sensors/00500000x")
		}
	})
}

func BenchmarkKVKeys(b *testing.B) {
	bucket, _ := benchKV(b, 1_000_000)
	b.ReportAllocs()
	for b.Loop() {
		bucket.Keys("sensors/005", 10)
	}
}

func BenchmarkKVParallel(b *testing.B) {
	bucket, keys := benchKV(b, 100_000)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := rand.IntN(len(keys)); pb.Next(); i++ {
			bucket.Get(keys[i%len(keys)])
		}
	})
}
