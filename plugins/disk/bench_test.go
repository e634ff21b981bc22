package disk

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"lunamq/core"
	"lunamq/core/storetest"
)

// million makes BenchmarkOpen as large as a start may be: 100 000 sessions and
// 1 000 000 messages that wait. Else it has a hundredth of that.
var million = flag.Bool("million", false, "open a store with a million messages in BenchmarkOpen")

func benchMessage(session string, seq uint64) core.Op {
	return core.Op{Kind: core.PutMessage, Session: session, Seq: seq, Queued: core.StoredMessage{
		Message: &core.Message{Topic: "sensors/building/7/temperature", Payload: make([]byte, 100), QoS: 1, Publisher: &core.Client{ID: "publisher-17", Remote: "10.0.0.1:12345", Listener: "local"}},
		QoS:     1, Filter: "sensors/#",
	}}
}

func benchSession(i int) core.Op {
	id := fmt.Sprintf("device-%06d", i)
	return core.Op{Kind: core.PutSession, Session: "\x00" + id, Client: &core.StoredClient{Client: core.Client{ID: id, Username: "u"}, Expiry: 3600, DisconnectedAt: 1}}
}

// BenchmarkCommit: 50 callers, each of which has 20 batches on their way.
func BenchmarkCommit(b *testing.B) {
	for _, sync := range []time.Duration{SyncAlways, 100 * time.Millisecond, SyncNever} {
		b.Run(fmt.Sprint("sync=", sync), func(b *testing.B) {
			s := opened(b, Options{Dir: b.TempDir(), Sync: sync})
			for i := range 50 {
				storetest.Commit(b, s, benchSession(i))
			}
			b.ReportAllocs()
			b.SetParallelism(25) // on two processors
			var callers, seq atomic.Int64
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				name := benchSession(int(callers.Add(1)) % 50).Session
				window := make(committed, 20)
				for range cap(window) {
					window <- nil
				}
				for pb.Next() {
					if err := <-window; err != nil {
						b.Error(err)
					}
					s.Commit(&core.Batch{Ops: []core.Op{benchMessage(name, uint64(seq.Add(1)))}}, window)
				}
				for range cap(window) {
					<-window
				}
			})
			b.ReportMetric(float64(s.metrics.batches.n.Load())/float64(s.metrics.groups.n.Load()), "batches/group")
		})
	}
}

// BenchmarkSync is what the disk does beside: one write and one sync.
func BenchmarkSync(b *testing.B) {
	f, err := os.CreateTemp(b.TempDir(), "")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for b.Loop() {
		if _, err := f.Write(block); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

// stockUp makes a store with many sessions and messages that wait.
func stockUp(b *testing.B, sessions, messages int) string {
	b.Helper()
	dir := b.TempDir()
	s := opened(b, Options{Dir: dir, Sync: SyncNever})
	var ops []core.Op
	for i := range sessions {
		put := benchSession(i)
		ops = append(ops, put, core.Op{Kind: core.PutSubscription, Session: put.Session, Subscription: &core.StoredSubscription{Requested: "sensors/#", Filter: "sensors/#", QoS: 1}})
		for n := range messages / sessions {
			ops = append(ops, benchMessage(put.Session, uint64(n+1)))
		}
		if len(ops) > 1000 || i == sessions-1 {
			storetest.Commit(b, s, slices.Clone(ops)...)
			ops = ops[:0]
		}
	}
	closed(b, s)
	return dir
}

// BenchmarkOpen: opening a store and loading all that is in it.
func BenchmarkOpen(b *testing.B) {
	sessions, messages := 1_000, 10_000
	if *million {
		sessions, messages = 100_000, 1_000_000
	}
	dir := stockUp(b, sessions, messages)
	b.ReportAllocs()
	for b.Loop() {
		s := opened(b, Options{Dir: dir})
		waiting := 0
		if err := s.Load(func(op core.Op) error {
			if op.Kind == core.PutBacklog {
				waiting += op.Backlog.Count
			}
			return nil
		}); err != nil || waiting != messages {
			b.Fatal(waiting, err)
		}
		closed(b, s)
	}
}

// BenchmarkWaiting: a page of 100 messages of one of many sessions.
func BenchmarkWaiting(b *testing.B) {
	s := opened(b, Options{Dir: stockUp(b, 500, 100_000)})
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i += 7
		ops, err := s.Waiting(benchSession(i%500).Session, uint64(i%100), 100, 1<<20)
		if err != nil || len(ops) != 100 {
			b.Fatal(len(ops), err)
		}
	}
}

// BenchmarkStall: the longest that one client's commit and page take while
// 100 000 sessions with messages end (a tenth of that without -million), and
// what was deleted is compacted.
func BenchmarkStall(b *testing.B) {
	sessions := 10_000
	if *million {
		sessions = 100_000
	}
	for b.Loop() {
		b.StopTimer()
		s := opened(b, Options{Dir: stockUp(b, sessions, 5*sessions)})
		last := benchSession(sessions - 1).Session
		b.StartTimer()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			done := make(committed, 1000)
			for i := range sessions - 1 {
				s.Commit(&core.Batch{Ops: []core.Op{{Kind: core.DeleteSession, Session: benchSession(i).Session}}}, done)
				if i >= cap(done) {
					<-done
				}
			}
			_ = caught(func() error { return s.databaseNow().Flush() })
		}()
		var commit, page time.Duration
		seq := uint64(100)
		for running := true; running; {
			select {
			case <-ended:
				running = false
			default:
			}
			began := time.Now()
			seq++
			storetest.Commit(b, s, benchMessage(last, seq))
			commit, began = max(commit, time.Since(began)), time.Now()
			if ops, err := s.Waiting(last, 0, 10, 1<<20); err != nil || len(ops) < 6 {
				b.Fatal(len(ops), err)
			}
			page = max(page, time.Since(began))
		}
		b.ReportMetric(float64(commit.Microseconds())/1000, "ms-longest-commit")
		b.ReportMetric(float64(page.Microseconds())/1000, "ms-longest-page")
		closed(b, s)
	}
}
