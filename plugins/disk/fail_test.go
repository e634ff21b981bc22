package disk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"lunamq/core"
	"lunamq/core/storetest"
)

// badDisk is a disk that stops to take what is written.
type badDisk struct {
	bad   atomic.Bool
	which func(errorfs.Op) bool // nil: all writes
}

func (d *badDisk) String() string { return "bad disk" }

func (d *badDisk) MaybeError(op errorfs.Op) error {
	if d.bad.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && (d.which == nil || d.which(op)) {
		return &writeError{}
	}
	return nil
}

// writeError is what the operating system says of a full disk.
type writeError struct{}

func (*writeError) Error() string { return "no space left on device" }
func (*writeError) Unwrap() error { return syscall.ENOSPC }

// waitFor waits until a store is well, or is not.
func waitFor(t testing.TB, s *Store, want bool) {
	t.Helper()
	for { // the test's own time limit ends it
		if ok, _, _ := s.State(); ok == want {
			return
		}
		// what is waited for happens in another goroutine, which the trial below wakes
		_ = storetest.Try(s)
	}
}

// TestDiskFails: whatever cannot be written, everybody is answered, nothing that
// was acknowledged is lost, and the store works again when the disk does.
func TestDiskFails(t *testing.T) {
	for _, c := range []struct {
		name  string
		which func(errorfs.Op) bool
	}{
		{"everything", nil},
		{"the log", func(op errorfs.Op) bool { return strings.HasSuffix(op.Path, ".log") }},
		{"new files", func(op errorfs.Op) bool { return op.Kind == errorfs.OpCreate }},
		{"tables", func(op errorfs.Op) bool { return strings.HasSuffix(op.Path, ".sst") }},
		{"the manifest", func(op errorfs.Op) bool { return strings.Contains(op.Path, "MANIFEST") }},
		{"syncs", func(op errorfs.Op) bool {
			return op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
		}},
	} {
		t.Run(c.name, func(t *testing.T) { testDiskFails(t, c.which) })
	}
}

func testDiskFails(t *testing.T, which func(errorfs.Op) bool) {
	disk := &badDisk{which: which}
	o := Options{FS: errorfs.Wrap(vfs.NewMem(), disk)}
	s := opened(t, o)
	storetest.Dump(t, s)
	want := core.NewMemoryStore()
	keep := func(op core.Op) error {
		err := storetest.Try(s, op)
		if err == nil {
			storetest.Commit(t, want, op)
		}
		return err
	}
	for round := range 3 {
		for i := range 50 {
			if err := keep(retainedOf(fmt.Sprintf("%d/%d", round, i), 1000)); err != nil {
				t.Fatal(err)
			}
		}
		disk.bad.Store(true)
		failed := false
		for i := 0; !failed; i++ { // a flush comes by itself, after a few megabytes
			op := retainedOf(fmt.Sprintf("%d/failed/%d", round, i), 100_000)
			failed = keep(op) != nil
		}
		waitFor(t, s, false)
		if err := storetest.Try(s, retainedOf("refused", 1)); err == nil {
			if ok, _, _ := s.State(); !ok {
				t.Error("a store that has failed takes a batch")
			}
		}
		disk.bad.Store(false)
		waitFor(t, s, true)
	}
	closed(t, s)
	s = opened(t, o)
	got, wanted := storetest.Dump(t, s), storetest.Dump(t, want)
	for _, line := range wanted {
		if !slices.Contains(got, line) {
			t.Fatalf("what was acknowledged is not there: %.200s", line)
		}
	}
	for _, line := range got {
		if !slices.Contains(wanted, line) && !strings.Contains(line, "failed") && !strings.Contains(line, "refused") {
			t.Fatalf("what nobody stored is there: %.200s", line)
		}
	}
}

func retainedOf(topic string, size int) core.Op {
	payload := make([]byte, size)
	rnd := rand.New(rand.NewPCG(uint64(size), uint64(len(topic))))
	for i := range payload {
		payload[i] = byte(rnd.Uint32())
	}
	return core.Op{Kind: core.PutRetained, Queued: core.StoredMessage{Message: &core.Message{Topic: topic, Payload: payload}}}
}

// TestReserve: with too little free, what makes room goes on and what takes it
// is refused, until enough is free again.
func TestReserve(t *testing.T) {
	fs := vfs.NewMem()
	free := func(n uint64) { fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: n, TotalBytes: 1 << 40}) }
	free(1 << 30)
	s := opened(t, Options{FS: fs, Reserve: 1 << 20})
	storetest.Dump(t, s)
	storetest.Commit(t, s, retainedOf("a", 1))
	free(1<<20 - 1)
	waitFor(t, s, false)
	if err := storetest.Try(s, retainedOf("b", 1)); !errors.Is(err, errLow) {
		t.Errorf("a message with too little free: %v", err)
	}
	storetest.Commit(t, s, core.Op{Kind: core.DeleteRetained, Topic: "a"})
	free(1<<20 + 1<<17) // above the reserve, not enough above it
	s.look()
	if ok, why, _ := s.State(); ok || why != errLow.Error() {
		t.Errorf("state %v, %q just above the reserve", ok, why)
	}
	free(1 << 30)
	waitFor(t, s, true)
	storetest.Commit(t, s, retainedOf("b", 1))
}

// TestPowerCut: what was acknowledged with sync = "always" is there after a
// power cut at any moment; batches are there as a whole or not at all, and
// none without those before it.
func TestPowerCut(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { testPowerCut(t, seed) })
	}
}

func testPowerCut(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 7))
	fs := vfs.NewCrashableMem()
	s := opened(t, Options{FS: fs})
	storetest.Dump(t, s)
	size := rnd.IntN(20_000)
	var acked atomic.Int64
	acked.Store(-1)
	const batches = 200
	cutAt := rnd.IntN(batches)
	var cut *vfs.MemFS
	var sure int64
	for i := range batches {
		w := storetest.NewWaiter()
		a, b := retainedOf(fmt.Sprintf("a/%04d", i), size), retainedOf(fmt.Sprintf("b/%04d", i), 1)
		s.Commit(&core.Batch{Ops: []core.Op{a, b}}, ackFunc(func(err error) {
			if err != nil {
				t.Errorf("batch %d: %v", i, err)
			}
			acked.Store(int64(i))
			w.Committed(err)
		}))
		if i == cutAt {
			sure = acked.Load()
			cut = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rnd.IntN(2) * 50, RNG: rnd})
		}
		if rnd.IntN(4) == 0 {
			_ = w.Wait()
		}
	}
	s = opened(t, Options{FS: cut})
	there := make(map[string]bool)
	for _, line := range storetest.Dump(t, s) {
		for i := range batches {
			for _, half := range []string{"a", "b"} {
				if strings.Contains(line, fmt.Sprintf(`"Topic":"%s/%04d"`, half, i)) {
					there[fmt.Sprintf("%s/%04d", half, i)] = true
				}
			}
		}
	}
	last := -1
	for i := range batches {
		a, b := there[fmt.Sprintf("a/%04d", i)], there[fmt.Sprintf("b/%04d", i)]
		if a != b {
			t.Errorf("half of batch %d is there", i)
		}
		if a && last != i-1 {
			t.Errorf("batch %d is there without %d", i, i-1)
		}
		if a {
			last = i
		}
	}
	if int64(last) < sure {
		t.Errorf("batches up to %d were acknowledged, those up to %d are there", sure, last)
	}
}

type ackFunc func(error)

func (f ackFunc) Committed(err error) { f(err) }
