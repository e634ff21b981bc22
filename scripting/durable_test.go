package scripting

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lunamq/core"
)

// valueStore is a store in memory that can refuse.
type valueStore struct {
	*core.MemoryStore
	refuses atomic.Bool
	batches atomic.Int64
}

func (s *valueStore) Commit(b *core.Batch, done core.Committed) bool {
	s.batches.Add(1)
	if s.refuses.Load() {
		go done.Committed(errors.New("disk full"))
		return false
	}
	return s.MemoryStore.Commit(b, done)
}

// durableOver makes a broker on the store, and the durable values of it.
func durableOver(t *testing.T, s core.Store, maxBytes int64) *Durable {
	t.Helper()
	o := core.DefaultOptions()
	o.Store, o.SysInterval = s, 0
	b, err := core.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return NewDurable(b.Values(), maxBytes, slog.New(slog.DiscardHandler))
}

// Values outlive the process with their kinds and their time, as those of other
// buckets do not.
func TestDurableValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &valueStore{MemoryStore: core.NewMemoryStore()}
		d := durableOver(t, s, 1<<20)
		want := map[string]any{"text": "a\x00\xff", "empty": "", "number": -1.5, "yes": true, "no": false}
		for key, value := range want {
			must(t, d.Bucket("b").Set(key, value, 0))
		}
		must(t, d.Bucket("other").Set("text", "another", 0))
		must(t, d.Bucket("b").Set("minute", 1.0, time.Minute))
		must(t, d.Bucket("b").Set("second", 1.0, time.Second))
		must(t, d.Bucket("b").Set("deleted", 1.0, 0))
		d.Bucket("b").Delete("deleted")
		d.Close()
		time.Sleep(2 * time.Second)
		d = durableOver(t, s, 1<<20)
		want["minute"] = 1.0
		keys := d.Bucket("b").Keys("", 0)
		if len(keys) != len(want) {
			t.Errorf("there are %q", keys)
		}
		for key, value := range want {
			if got, _ := d.Bucket("b").Get(key); got != value {
				t.Errorf("%s is %#v, want %#v", key, got, value)
			}
		}
		if got, _ := d.Bucket("other").Get("text"); got != "another" {
			t.Errorf("the other bucket holds %v", got)
		}
		time.Sleep(time.Minute)
		if got, ok := d.Bucket("b").Get("minute"); ok {
			t.Errorf("what expired is %v", got)
		}
		d.Close()
		values := 0
		must(t, s.Load(func(op core.Op) error {
			values++
			return nil
		}))
		if values != len(want) { // without minute, with other
			t.Errorf("the store holds %d values, want %d: what expired is deleted there", values, len(want))
		}
	})
}

// A store that refuses is asked again, with what there is then.
func TestDurableRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &valueStore{MemoryStore: core.NewMemoryStore()}
		d := durableOver(t, s, 1<<20)
		s.refuses.Store(true)
		for i := range 1000 {
			must(t, d.Bucket("b").Set("k", float64(i), 0))
		}
		time.Sleep(10 * time.Second)
		if n := s.batches.Load(); n > 12 {
			t.Errorf("the store was asked %d times in 10 s", n)
		}
		s.refuses.Store(false)
		time.Sleep(2 * time.Second)
		if got, _ := durableOver(t, s, 1<<20).Bucket("b").Get("k"); got != 999.0 {
			t.Errorf("stored is %v", got)
		}
		s.refuses.Store(true)
		must(t, d.Bucket("b").Set("k", 1000.0, 0))
		d.Close() // does not wait for a store that refuses
	})
}

// Many changes go out in batches of bounded size, and all of them.
func TestDurableBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &valueStore{MemoryStore: core.NewMemoryStore()}
		d := durableOver(t, s, 64<<20)
		text := string(make([]byte, 10_000))
		for i := range 200 {
			must(t, d.Bucket("b").Set(fmt.Sprint(i), text, 0))
		}
		d.Close()
		if got := len(durableOver(t, s, 64<<20).Bucket("b").Keys("", 0)); got != 200 {
			t.Errorf("%d values are stored", got)
		}
		if got := len(durableOver(t, s, 100_000).Bucket("b").Keys("", 0)); got == 0 || got == 200 {
			t.Errorf("with a bound of ten values %d are taken over", got)
		}
		if got := len(durableOver(t, s, 64<<20).Bucket("b").Keys("", 0)); got != 200 {
			t.Errorf("after a start with less room %d values are stored", got)
		}
	})
}
