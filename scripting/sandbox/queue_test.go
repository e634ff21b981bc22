package sandbox

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// line is a queue whose lock the test holds, and those that wait for it in order.
type line struct {
	queue
	t      *testing.T
	mu     sync.Mutex
	order  []string
	served sync.WaitGroup
}

// join lets one wait, and returns when it does.
func (l *line) join(name string, payer uint64, cost time.Duration) {
	before := l.length.Load()
	l.served.Go(func() {
		if err := l.enter(Ticket{Payer: payer}); err != nil {
			l.t.Error(err)
			return
		}
		l.mu.Lock()
		l.order = append(l.order, name)
		l.mu.Unlock()
		l.pay(payer, cost)
		l.unlock()
	})
	l.waitFor(before + 1)
}

func (l *line) waitFor(n int32) {
	for l.length.Load() != n {
		runtime.Gosched()
	}
}

// TestTurnsAreFairByPayer: who has held the world longer waits longer, and of one payer the order stays.
func TestTurnsAreFairByPayer(t *testing.T) {
	const a, b, c = 1, 2, 3
	for _, tt := range []struct {
		name string
		join func(*line)
		want string
	}{
		{"B before A's second", func(l *line) {
			l.join("A1", a, time.Second)
			l.join("A2", a, time.Second)
			l.join("A3", a, time.Second)
			l.join("B1", b, time.Second)
			l.join("C1", c, time.Second)
			l.join("B2", b, time.Second)
		}, "A1 B1 C1 A2 B2 A3"},
		{"many short turns for a long one", func(l *line) {
			l.join("A1", a, 100*time.Millisecond)
			l.join("A2", a, 100*time.Millisecond)
			for _, n := range []string{"B1", "B2", "B3", "B4"} {
				l.join(n, b, 30*time.Millisecond)
			}
		}, "A1 B1 B2 B3 B4 A2"},
		{"one that comes later is not behind", func(l *line) {
			for range 3 {
				l.join("A", a, time.Second)
				l.join("C", c, time.Second)
			}
			l.join("B", b, time.Second)
		}, "A C B A C A C"},
	} {
		l := &line{t: t}
		l.lock()
		tt.join(l)
		l.unlock()
		l.served.Wait()
		if got := strings.Join(l.order, " "); got != tt.want {
			t.Errorf("%s: served %s, want %s", tt.name, got, tt.want)
		}
		if l.state.Load() != 0 || len(l.debts) != 0 {
			t.Errorf("%s: state %d and %d debts are left", tt.name, l.state.Load(), len(l.debts))
		}
	}
}

// TestLockGoesFirst: a call under way that comes back from waiting is before all events.
func TestLockGoesFirst(t *testing.T) {
	l := &line{t: t}
	l.lock()
	l.join("A", 1, 0)
	l.served.Go(func() {
		l.lock()
		l.order = append(l.order, "under way")
		l.unlock()
	})
	l.waitFor(2)
	l.unlock()
	l.served.Wait()
	if !slices.Equal(l.order, []string{"under way", "A"}) {
		t.Error(l.order)
	}
}

// TestQueueIsBounded in number and in time.
func TestQueueIsBounded(t *testing.T) {
	l := &line{t: t}
	l.lock()
	l.join("A", 1, 0)
	if err := l.enter(Ticket{Payer: 2, Waiting: 1}); !errors.Is(err, ErrQueueFull) {
		t.Errorf("one too many: %v", err)
	}
	if err := l.enter(Ticket{Payer: 2, Patience: time.Millisecond}); !errors.Is(err, ErrQueueTime) {
		t.Errorf("too long: %v", err)
	}
	l.waitFor(1)
	l.unlock()
	l.served.Wait()
	if err := l.enter(Ticket{Payer: 2, Patience: time.Millisecond, Waiting: 1}); err != nil {
		t.Errorf("when it is free again: %v", err)
	}
	l.unlock()
	if l.state.Load() != 0 {
		t.Errorf("state %d is left", l.state.Load())
	}
}

// TestQueueExcludes: many that come, wait, give up and come back are alone inside, and none is forgotten.
func TestQueueExcludes(t *testing.T) {
	var q queue
	inside, served, late := 0, 0, 0
	var tally sync.Mutex
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			mine, gone := 0, 0
			for n := range 2000 {
				ticket := Ticket{Payer: uint64(i)}
				if n%3 == 0 {
					ticket.Patience = time.Duration(n%50+1) * time.Microsecond
				}
				switch {
				case n%7 == 0 && q.tryLock():
				case n%11 == 0:
					q.lock()
				case q.enter(ticket) != nil:
					gone++
					continue
				}
				inside++
				if inside != 1 {
					t.Errorf("%d are inside", inside)
				}
				for range n % 100 {
					mine++
					mine--
				}
				inside--
				mine++
				if q.length.Load() > 0 {
					q.pay(uint64(i), time.Duration(n))
				}
				q.unlock()
			}
			tally.Lock()
			served, late = served+mine, late+gone
			tally.Unlock()
		})
	}
	all.Wait()
	if served+late != 16*2000 || served == 0 || q.state.Load() != 0 || q.length.Load() != 0 || q.called != nil {
		t.Errorf("served %d, late %d, state %d, %d wait, called %v", served, late, q.state.Load(), q.length.Load(), q.called)
	}
}

// TestDebtsAreBounded: of many payers that never come back little is kept.
func TestDebtsAreBounded(t *testing.T) {
	l := &line{t: t}
	l.lock()
	l.join("A", 1, 0)
	for payer := range uint64(3 * maxDebts) {
		l.pay(payer, time.Hour)
		if len(l.debts) > maxDebts {
			t.Fatalf("%d debts", len(l.debts))
		}
	}
	l.unlock()
	l.served.Wait()
}

func BenchmarkQueue(b *testing.B) {
	b.Run("alone", func(b *testing.B) {
		var q queue
		b.ReportAllocs()
		for b.Loop() {
			q.tryLock()
			q.unlock()
		}
	})
	b.Run("contended", func(b *testing.B) {
		var q queue
		n := 0
		b.ReportAllocs()
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if q.enter(Ticket{}) == nil {
					n++
					q.unlock()
				}
			}
		})
	})
	b.Run("contended sync.Mutex", func(b *testing.B) {
		var mu sync.Mutex
		n := 0
		b.ReportAllocs()
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				mu.Lock()
				n++
				mu.Unlock()
			}
		})
	})
}
