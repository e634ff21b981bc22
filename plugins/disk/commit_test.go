package disk

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"lunamq/core"
	"lunamq/core/storetest"
)

// slowDisk counts the syncs of logs, and holds them up while it is held.
type slowDisk struct {
	held  sync.RWMutex
	syncs atomic.Int64
	came  chan struct{} // a sync has come
}

func (d *slowDisk) String() string { return "slow disk" }

func (d *slowDisk) MaybeError(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
		if strings.HasSuffix(op.Path, ".log") {
			d.syncs.Add(1)
			select {
			case d.came <- struct{}{}:
			default:
			}
			d.held.RLock()
			defer d.held.RUnlock()
		}
	}
	return nil
}

func onSlowDisk(t *testing.T, o Options) (*Store, *slowDisk) {
	t.Helper()
	disk := &slowDisk{came: make(chan struct{}, 1)}
	o.FS = errorfs.Wrap(vfs.NewMem(), disk)
	s := opened(t, o)
	storetest.Dump(t, s)
	return s, disk
}

// TestGroupCommit: while a sync is under way nobody waits in Commit, and what
// comes meanwhile shares the next sync.
func TestGroupCommit(t *testing.T) {
	s, disk := onSlowDisk(t, Options{})
	storetest.Commit(t, s, retainedOf("first", 1))
	<-disk.came
	disk.held.Lock()
	before := disk.syncs.Load()
	waiters := []*storetest.Waiter{storetest.NewWaiter()}
	s.Commit(&core.Batch{Ops: []core.Op{retainedOf("holds", 1)}}, waiters[0])
	<-disk.came
	for i := range 500 {
		w := storetest.NewWaiter()
		s.Commit(&core.Batch{Ops: []core.Op{retainedOf(fmt.Sprint(i), 100)}}, w)
		waiters = append(waiters, w)
	}
	disk.held.Unlock()
	for _, w := range waiters {
		if err := w.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	if n := disk.syncs.Load() - before; n != 2 {
		t.Errorf("501 batches took %d syncs, want 2", n)
	}
}

// TestQueueIsBounded: a disk that hangs makes the store refuse what grows, and
// take what does not.
func TestQueueIsBounded(t *testing.T) {
	s, disk := onSlowDisk(t, Options{})
	storetest.Commit(t, s, retainedOf("first", 1))
	<-disk.came
	disk.held.Lock()
	var waiters []*storetest.Waiter
	const size = 1 << 20
	s.most = 4 * size
	large := retainedOf("large", size-1000) // that and what is counted beside it
	commit := func(op core.Op) *storetest.Waiter {
		w := storetest.NewWaiter()
		s.Commit(&core.Batch{Ops: []core.Op{op}}, w)
		return w
	}
	waiters = append(waiters, commit(retainedOf("holds", 1)))
	<-disk.came
	for range 5 {
		waiters = append(waiters, commit(large))
	}
	small := commit(core.Op{Kind: core.DeleteRetained, Topic: "first"})
	last := len(waiters) - 1
	if err := waiters[last].Wait(); !errors.Is(err, errBehind) {
		t.Errorf("one too many: %v", err)
	}
	disk.held.Unlock()
	for _, w := range append(waiters[:last], small) {
		if err := w.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// TestSyncEvery: with an interval nothing waits for a sync, and there is one
// when something was stored, and only then.
func TestSyncEvery(t *testing.T) {
	s, disk := onSlowDisk(t, Options{Sync: time.Millisecond})
	select {
	case <-disk.came: // of opening
	default:
	}
	disk.held.Lock()
	for i := range 3 {
		storetest.Commit(t, s, retainedOf(fmt.Sprint(i), 1)) // comes back though no sync does
	}
	<-disk.came
	disk.held.Unlock()
}

// TestClosed: Close stores what was given before, and refuses what comes after.
func TestClosed(t *testing.T) {
	o := Options{FS: vfs.NewMem()}
	s := opened(t, o)
	storetest.Dump(t, s)
	var waiters []*storetest.Waiter
	for i := range 100 {
		w := storetest.NewWaiter()
		s.Commit(&core.Batch{Ops: []core.Op{retainedOf(fmt.Sprint(i), 1000)}}, w)
		waiters = append(waiters, w)
	}
	closed(t, s)
	for _, w := range waiters {
		if err := w.Wait(); err != nil {
			t.Error(err)
		}
	}
	s2 := opened(t, o)
	if n := len(storetest.Dump(t, s2)); n != 100 {
		t.Errorf("%d of 100 are there", n)
	}
	closed(t, s2)
	if err := storetest.Try(s2, retainedOf("late", 1)); !errors.Is(err, errClosed) {
		t.Errorf("a closed store: %v", err)
	}
}

// TestLines: what a store holds goes through an export and comes out the same.
func TestLines(t *testing.T) {
	s := opened(t, Options{FS: vfs.NewMem()})
	storetest.Commit(t, s, storetest.EveryField()...)
	h := storetest.NewHistory(2)
	for range 300 {
		storetest.Commit(t, s, h.Next()...)
	}
	storetest.Commit(t, s, core.Op{Kind: core.PutValue, Bucket: "\xff", Key: "\xfe\x00", Value: []byte{0xc0}})
	n := 0
	if err := s.All(func(op core.Op) error {
		n++
		line, err := json.Marshal(LineOf(op))
		if err != nil {
			return err
		}
		again, err := ParseLine(line)
		if err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
		if got, want := storetest.Line(again), storetest.Line(op); got != want {
			t.Errorf("exported\n%s\ncomes back as\n%s", want, got)
		}
		return nil
	}, nil); err != nil || n < 50 {
		t.Fatal(n, err)
	}
	for _, bad := range []string{``, `{}`, `{"op":"message"}`, `{"op":"session"}`, `{"op":"subscription"}`, `{"op":"backlog"}`, `{"op":"value","x":1}`,
		`{"op":"retained","message":{"topic":"t","payload":"","qos":3,"origin":0}}`, `{"op":"message","message":{"topic":"t","payload":"","qos":0,"origin":9}}`} {
		if op, err := ParseLine([]byte(bad)); err == nil {
			t.Errorf("%s is taken for %+v", bad, op)
		}
	}
}
