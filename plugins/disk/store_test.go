package disk

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"lunamq/core"
	"lunamq/core/storetest"
)

// opened opens a store that the test closes.
func opened(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Dir == "" {
		o.Dir = "store"
	}
	s, err := open(o, 2*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func closed(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// TestStore: what every store does, on the disk of the machine and in memory,
// with every way to sync.
func TestStore(t *testing.T) {
	for _, sync := range []time.Duration{SyncAlways, time.Millisecond, SyncNever} {
		t.Run(fmt.Sprint(sync), func(t *testing.T) {
			storetest.Run(t, func(t testing.TB) (core.Store, func() core.Store) {
				o := Options{Dir: t.TempDir(), Sync: sync}
				s := opened(t, o)
				return s, func() core.Store {
					closed(t, s)
					return opened(t, o)
				}
			})
		})
	}
}

// TestModel holds a store against the one in memory over any history, in which
// it is opened anew, flushed and compacted at any time.
func TestModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		fs := vfs.NewMem()
		o := Options{FS: fs}
		s := opened(t, o)
		want := core.NewMemoryStore()
		h := storetest.NewHistory(rapid.Uint64().Draw(r, "seed"))
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			switch rapid.IntRange(0, 12).Draw(r, "step") {
			case 0:
				closed(t, s)
				s = opened(t, o)
			case 1:
				if err := s.database.Flush(); err != nil {
					r.Fatal(err)
				}
			default:
				ops := h.Next()
				storetest.Commit(t, s, ops...)
				storetest.Commit(t, want, ops...)
			}
		}
		closed(t, s)
		s = opened(t, o)
		defer s.Close()
		if got, want := storetest.Dump(t, s), storetest.Dump(t, want); !slices.Equal(got, want) {
			r.Fatalf("the store holds\n%q\nwant\n%q", got, want)
		}
	})
}
