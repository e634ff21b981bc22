// Package storetest holds what every core.Store must do, as tests that a store's
// own tests run. It knows core and nothing of any store.
package storetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"

	"lunamq/core"
)

// Open opens an empty store; reopen closes it and opens what it has kept.
type Open func(t testing.TB) (s core.Store, reopen func() core.Store)

// Run tests a store.
func Run(t *testing.T, open Open) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { testCase(t, open, c) })
	}
	t.Run("pages", func(t *testing.T) { testPages(t, open) })
	t.Run("order", func(t *testing.T) { testOrder(t, open) })
}

// testCase: what was committed is there after, and what the store is opened
// with again.
func testCase(t *testing.T, open Open, c storeCase) {
	s, reopen := open(t)
	want := core.NewMemoryStore()
	Dump(t, s)
	for _, ops := range c.batches {
		Commit(t, s, ops...)
		Commit(t, want, ops...)
	}
	s = reopen()
	defer s.Close()
	if got, want := Dump(t, s), Dump(t, want); !slices.Equal(got, want) {
		t.Errorf("the store holds\n\t%v\nwant\n\t%v", lines(got), lines(want))
	}
	if n := len(Dump(t, want)); n != c.records {
		t.Errorf("%d records are left, want %d", n, c.records)
	}
}

func lines(list []string) (text string) {
	for _, l := range list {
		text += l + "\n\t"
	}
	return text
}

// Waiter is a core.Committed that is waited for.
type Waiter struct {
	done chan error
}

// NewWaiter returns one for one batch.
func NewWaiter() *Waiter { return &Waiter{done: make(chan error, 1)} }

// Committed implements core.Committed.
func (w *Waiter) Committed(err error) { w.done <- err }

// Wait returns what became of the batch.
func (w *Waiter) Wait() error { return <-w.done }

// Try commits and waits.
func Try(s core.Store, ops ...core.Op) error {
	w := NewWaiter()
	if s.Commit(&core.Batch{Ops: slices.Clone(ops)}, w) {
		return nil
	}
	return w.Wait()
}

// Commit commits, waits, and fails the test if the store does not keep it.
func Commit(t testing.TB, s core.Store, ops ...core.Op) {
	t.Helper()
	if err := Try(s, ops...); err != nil {
		t.Fatalf("commit: %v", err)
	}
}

// Dump returns all that a store hands out, one line each, sorted, the messages
// that wait in the place of their sum; and holds the order of Load.
func Dump(t testing.TB, s core.Store) (out []string) {
	t.Helper()
	seen := make(map[string]core.OpKind)
	var sums []core.Op
	var inflight core.Op
	var last uint64
	err := s.Load(func(op core.Op) error {
		switch op.Kind {
		case core.PutSession:
			if seen[op.Session] != 0 {
				t.Errorf("session %q comes twice", op.Session)
			}
			last = 0
		case core.PutSubscription, core.PutMessage, core.PutReceived, core.PutBacklog:
			if before := seen[op.Session]; before == 0 || rank(before) > rank(op.Kind) {
				t.Errorf("operation %d of session %q comes after %d", op.Kind, op.Session, before)
			}
			if op.Kind == core.PutMessage && op.Seq <= last {
				t.Errorf("message %d of %q comes after %d", op.Seq, op.Session, last)
			}
			last = max(last, op.Seq)
		case core.PutInflight, core.PutReleased:
			if inflight.Kind != core.PutMessage || inflight.Seq != op.Seq || inflight.Session != op.Session {
				t.Errorf("the state of message %d of %q does not follow it", op.Seq, op.Session)
			}
		}
		if op.Kind != core.PutInflight && op.Kind != core.PutReleased {
			seen[op.Session] = op.Kind
		}
		inflight = op
		if op.Kind == core.PutBacklog {
			sums = append(sums, op)
			return nil
		}
		out = append(out, Line(op))
		return nil
	})
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	for _, op := range sums {
		out = append(out, backlog(t, s, op)...)
	}
	slices.Sort(out)
	return out
}

func rank(k core.OpKind) int {
	switch k {
	case core.PutSession:
		return 0
	case core.PutSubscription:
		return 1
	case core.PutMessage, core.PutInflight, core.PutReleased:
		return 2
	case core.PutReceived:
		return 3
	}
	return 4
}

// backlog reads what waits for a session in small pages and holds it against
// its sum.
func backlog(t testing.TB, s core.Store, sum core.Op) (out []string) {
	t.Helper()
	var got core.StoredBacklog
	for from := uint64(0); ; from = got.Last + 1 {
		ops, err := s.Waiting(sum.Session, from, 3, 1<<30)
		if err != nil {
			t.Fatalf("waiting: %v", err)
		}
		if len(ops) == 0 {
			break
		}
		for _, op := range ops {
			if got.Count == 0 {
				got.First = op.Seq
			} else if op.Seq <= got.Last {
				t.Fatalf("message %d of %q comes after %d", op.Seq, sum.Session, got.Last)
			}
			got.Count++
			got.Bytes += int64(op.Queued.Message.Weight())
			got.Last = op.Seq
			out = append(out, Line(op))
		}
	}
	if got != *sum.Backlog {
		t.Errorf("the messages that wait for %q come to %+v, their sum says %+v", sum.Session, got, *sum.Backlog)
	}
	return out
}

// Line writes an operation down; what is empty and what is absent are the same.
func Line(op core.Op) string {
	op.Life = 0 // not kept
	if op.Client != nil {
		c := *op.Client
		if len(c.Vars) == 0 {
			c.Vars = nil
		}
		c.Client.ConnectedAt = c.Client.ConnectedAt.UTC()
		if c.Will != nil {
			w := *c.Will
			w.Message = plain(w.Message)
			c.Will = &w
		}
		op.Client = &c
	}
	if op.Queued.Message != nil {
		op.Queued.Message = plain(op.Queued.Message)
	}
	if len(op.Value) == 0 {
		op.Value = nil
	}
	text, err := json.Marshal(op)
	if err != nil {
		panic(err) // the fields of an Op are plain
	}
	return fmt.Sprintf("%q %02d %06d %s %q", op.Session, op.Kind, op.Seq, text, op.Key)
}

func plain(m *core.Message) *core.Message {
	x := *m
	if len(x.Payload) == 0 {
		x.Payload = nil
	}
	if len(x.CorrelationData) == 0 {
		x.CorrelationData = nil
	}
	if x.Publisher != nil {
		p := *x.Publisher
		p.Vars, p.ConnectedAt = nil, p.ConnectedAt.UTC()
		x.Publisher = &p
	}
	return &x
}

// testPages: Waiting keeps to its bounds, and leaves out what is in flight.
func testPages(t *testing.T, open Open) {
	s, reopen := open(t)
	Dump(t, s)
	Commit(t, s, session("\x00a"), session("\x00b"))
	for seq := uint64(1); seq <= 20; seq++ {
		Commit(t, s, message("\x00a", seq, 1000), message("\x00b", seq, 0))
	}
	Commit(t, s, state(core.PutInflight, "\x00a", 3, 1), state(core.PutReleased, "\x00a", 5, 2), core.Op{Kind: core.DeleteMessage, Session: "\x00a", Seq: 1})
	check := func(when string) {
		t.Helper()
		weight := message("", 0, 1000).Queued.Message.Weight()
		for _, c := range []struct {
			session  string
			from     uint64
			n, bytes int
			want     []uint64
		}{
			{"\x00a", 0, 4, 1 << 20, []uint64{2, 4, 6, 7}},
			{"\x00a", 6, 2, 1 << 20, []uint64{6, 7}},
			{"\x00a", 0, 10, 1, []uint64{2}},
			{"\x00a", 0, 10, 2 * weight, []uint64{2, 4}},
			{"\x00a", 19, 10, 1 << 20, []uint64{19, 20}},
			{"\x00a", 21, 10, 1 << 20, nil},
			{"\x00b", 0, 2, 1 << 20, []uint64{1, 2}},
			{"\x00c", 0, 2, 1 << 20, nil},
		} {
			ops, err := s.Waiting(c.session, c.from, c.n, c.bytes)
			var got []uint64
			for _, op := range ops {
				got = append(got, op.Seq)
				if op.Session != c.session || op.Kind != core.PutMessage {
					t.Errorf("%s: Waiting(%q) hands out operation %d of %q", when, c.session, op.Kind, op.Session)
				}
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s: Waiting(%q, %d, %d, %d) = %v, %v, want %v", when, c.session, c.from, c.n, c.bytes, got, err, c.want)
			}
		}
	}
	check("before")
	s = reopen()
	defer s.Close()
	check("after")
}

// testOrder: the batches of one caller are answered in order, and what Waiting
// reads when a batch is answered holds it.
func testOrder(t *testing.T, open Open) {
	s, _ := open(t)
	defer s.Close()
	Dump(t, s)
	Commit(t, s, session("\x00a"))
	const batches = 200
	var mu sync.Mutex
	var order []int
	all := make(chan struct{}, batches)
	for i := range batches {
		k := committedFunc(func(err error) {
			mu.Lock()
			order = append(order, i)
			mu.Unlock()
			if err != nil {
				t.Errorf("batch %d: %v", i, err)
			}
			ops, err := s.Waiting("\x00a", uint64(i+1), 1, 1)
			if err != nil || len(ops) != 1 || ops[0].Seq != uint64(i+1) {
				t.Errorf("when batch %d is answered its message is not there: %v, %v", i, ops, err)
			}
			all <- struct{}{}
		})
		if s.Commit(&core.Batch{Ops: []core.Op{message("\x00a", uint64(i+1), i)}}, k) {
			k.Committed(nil)
		}
	}
	for range batches {
		<-all
	}
	if !slices.IsSorted(order) {
		t.Errorf("answered in the order %v", order)
	}
}

type committedFunc func(error)

func (f committedFunc) Committed(err error) { f(err) }
