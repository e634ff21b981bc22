package core

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"lunamq/core/packet"
)

// listStore hands out what it was made with, as fast as can be, so that what is
// measured is the broker.
type listStore struct {
	*refStore
	ops     []Op
	waiting []Op // of every session, by Seq from 1 on
}

func (l *listStore) Load(fn func(Op) error) error {
	for _, op := range l.ops {
		if err := fn(op); err != nil {
			return err
		}
	}
	return nil
}

func (l *listStore) Waiting(_ string, from uint64, n, _ int) ([]Op, error) {
	first := min(int(from-1), len(l.waiting))
	return l.waiting[first:min(first+n, len(l.waiting))], nil
}

// newListStore has n messages that wait for each of some sessions.
func newListStore(sessions, n int) *listStore {
	l := &listStore{refStore: newRefStore()}
	for seq := range n {
		l.waiting = append(l.waiting, Op{Kind: PutMessage, Seq: uint64(seq + 1), Queued: StoredMessage{
			Message: &Message{Topic: "devices/x", Payload: make([]byte, 100), QoS: 1}, QoS: 1, Filter: "devices/x",
		}})
	}
	for i := range sessions {
		name, filter := fmt.Sprintf("\x00session-%d", i), fmt.Sprintf("devices/%d/#", i)
		l.ops = append(l.ops,
			Op{Kind: PutSession, Session: name, Client: &StoredClient{
				Client: Client{ID: name[1:], Protocol: packet.V5, Remote: "192.0.2.1:4711", Listener: "local"}, Expiry: 1 << 20, DisconnectedAt: time.Now().UnixNano(),
			}},
			Op{Kind: PutSubscription, Session: name, Subscription: &StoredSubscription{Requested: filter, Filter: filter, QoS: 1}})
		if n > 0 {
			weight := l.waiting[0].Queued.Message.Weight()
			l.ops = append(l.ops, Op{Kind: PutBacklog, Session: name, Backlog: &StoredBacklog{Count: n, Bytes: int64(n * weight), First: 1, Last: uint64(n)}})
		}
	}
	return l
}

// BenchmarkRestore starts a broker with 100 000 sessions and ten messages that
// wait for each. Reported: the heap that the broker holds for each session.
func BenchmarkRestore(b *testing.B) {
	const sessions = 100_000
	store := newListStore(sessions, 10)
	o := wireOptions()
	o.Store = store
	runtime.GC()
	before := heapBytes()
	for b.Loop() {
		broker, err := New(o)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		b.ReportMetric(float64(heapBytes()-before)/sessions, "B/session")
		if st := broker.Stats(); st.Sessions != sessions || st.Queued != 10*sessions || st.QueuedBytes != 0 {
			b.Fatalf("restored: %+v", st)
		}
		_ = broker.Close()
		broker = nil
		b.StartTimer()
	}
}

// BenchmarkExpireAll ends 100 000 sessions at one moment.
func BenchmarkExpireAll(b *testing.B) {
	const sessions = 100_000
	o := wireOptions()
	for b.Loop() {
		b.StopTimer()
		o.Store = newListStore(sessions, 0)
		broker, err := New(o)
		if err != nil {
			b.Fatal(err)
		}
		broker.sessions.each(func(s *session) {
			s.mu.Lock()
			s.expireLocked(0)
			s.mu.Unlock()
		})
		b.StartTimer()
		broker.armSessions()
		for broker.sessions.count.Load() > 0 {
			runtime.Gosched()
		}
		b.StopTimer()
		_ = broker.Close()
		b.StartTimer()
	}
}

// BenchmarkSpill queues messages for a session without a client: each is
// stored, and its memory is given up. Reported: the heap that is left of each.
func BenchmarkSpill(b *testing.B) {
	store := newRefStore()
	o := wireOptions()
	o.Store, o.Queued, o.QueuedBytes = store, Unlimited, Unlimited
	broker, err := New(o)
	if err != nil {
		b.Fatal(err)
	}
	defer broker.Close()
	offline(broker, "\x00r", "t")
	m := Message{Topic: "t", Payload: make([]byte, 100), QoS: 1, Origin: OriginAdmin}
	for b.Loop() {
		if err := broker.Publish(nil, m, false); err != nil {
			b.Fatal(err)
		}
	}
	for broker.queuedBytes.Load() > 0 {
		runtime.Gosched()
	}
}

// BenchmarkPageIn reads what waits, page by page, into the queue.
func BenchmarkPageIn(b *testing.B) {
	const n = 100_000
	store := newListStore(1, n)
	o := wireOptions()
	o.Store = store
	b.ReportAllocs()
	for b.Loop() {
		broker, err := New(o)
		if err != nil {
			b.Fatal(err)
		}
		s := broker.sessions.find("", "session-0")
		for s.spill != nil {
			sp := s.spill
			ops, _ := store.Waiting(s.name, sp.first, pageMessages, pageBytes)
			p := page{job: pageFill, from: sp.first, last: sp.last}
			r := broker.newRound()
			s.mu.Lock()
			p.takeLocked(s, ops)
			s.fillPage(r, &p)
			r.end()
		}
		if s.queue.len() != n {
			b.Fatalf("%d messages", s.queue.len())
		}
		_ = broker.Close()
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// offline makes a session without a client, as a restart would.
func offline(b *Broker, name, filter string) *session {
	r := &restorer{b: b, sessions: make(map[string]*session)}
	ops := []Op{
		{Kind: PutSession, Session: name, Client: &StoredClient{Client: Client{ID: name[1:]}, Expiry: 1 << 20, DisconnectedAt: time.Now().UnixNano()}},
		{Kind: PutSubscription, Session: name, Subscription: &StoredSubscription{Requested: filter, Filter: filter, QoS: 1}},
	}
	b.store.Commit(&Batch{Ops: ops}, &unanswered{b: b})
	for _, op := range ops {
		_ = r.apply(op)
	}
	return r.sessions[name]
}
