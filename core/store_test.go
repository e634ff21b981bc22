package core

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lunamq/core/packet"
)

// durableStore is a MemoryStore that says it outlives the process.
type durableStore struct{ *MemoryStore }

func (durableStore) Durable() bool { return true }

// copyOf returns what a store would hand out if the process ended now.
func copyOf(t *testing.T, m *MemoryStore) durableStore {
	t.Helper()
	c := NewMemoryStore()
	if err := m.Load(func(op Op) error { c.apply(&op); return nil }); err != nil {
		t.Fatal(err)
	}
	return durableStore{c}
}

// heldStore keeps batches back until the test lets them go, in any order.
type heldStore struct {
	*MemoryStore
	mu      sync.Mutex
	holding bool
	held    []heldBatch
}

type heldBatch struct {
	batch *Batch
	done  Committed
}

func (h *heldStore) Commit(b *Batch, done Committed) bool {
	h.mu.Lock()
	holding := h.holding
	if holding {
		h.held = append(h.held, heldBatch{b, done})
	}
	h.mu.Unlock()
	return !holding && h.MemoryStore.Commit(b, done)
}

// let lets the held batches go, in this order; a batch is named by its place.
// The error is for the ones whose place is negative (-1 is the first).
func (h *heldStore) let(t *testing.T, places ...int) {
	t.Helper()
	synctest.Wait()
	h.mu.Lock()
	held := h.held
	h.held = nil
	h.mu.Unlock()
	if len(held) != len(places) {
		t.Fatalf("%d batches are held, want %d", len(held), len(places))
	}
	for _, at := range places {
		if at < 0 {
			held[-at-1].done.Committed(errors.New("disk full"))
			continue
		}
		h.MemoryStore.Commit(held[at].batch, nil)
		held[at].done.Committed(nil)
	}
	synctest.Wait()
}

func (h *heldStore) hold(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holding = on
}

// newHeldStage is a broker over a heldStore, with a session that what is
// published on "kept" is stored for.
func newHeldStage(t *testing.T) (*stage, *heldStore) {
	t.Helper()
	h := &heldStore{MemoryStore: NewMemoryStore()}
	o := wireOptions()
	o.Store = h
	s := newStage(t, o)
	p := s.connect("id=keeper expiry=1000")
	p.send("SUBSCRIBE id=1 f=kept:q2")
	p.expect("SUBACK id=1 codes=2")
	p.send("DISCONNECT")
	return s, h
}

// TestLateCommit: acknowledgements wait for their commits, and leave in the
// order of their packets, whichever commit is done first.
func TestLateCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, h := newHeldStage(t)
		defer s.end()
		p := s.connect("clean id=a")
		h.hold(true)
		p.send("PUBLISH topic=kept q=1 id=1")
		p.send("PUBLISH topic=kept q=2 id=2")
		p.send("PUBLISH topic=nobody q=1 id=3") // nothing to store, but it must not overtake
		p.send("PUBLISH topic=kept q=1 id=4")
		p.expect()
		h.let(t, 2, 1, 0)
		p.expect("PUBACK id=1", "PUBREC id=2", "PUBACK id=3 code=0x10", "PUBACK id=4")
		p.send("PUBREL id=2")
		p.expect("PUBCOMP id=2")
		h.hold(false)
	})
}

// TestFailedCommit: what could not be stored is refused where the protocol can
// say so, in its turn, and not acknowledged and closed where it cannot.
func TestFailedCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, h := newHeldStage(t)
		defer s.end()
		p := s.connect("clean id=a")
		h.hold(true)
		p.send("PUBLISH topic=kept q=1 id=1")
		p.send("PUBLISH topic=kept q=2 id=2")
		p.send("PUBLISH topic=kept q=1 id=3")
		h.let(t, 2, -2, -1)
		p.expect("PUBACK id=1 code=0x97", "PUBREC id=2 code=0x97", "PUBACK id=3")
		h.hold(false)
		queued := s.b.queuedCount.Load()
		p.send("PUBLISH topic=kept q=2 id=2") // free again, so this is another message [MQTT-4.3.3-9]
		p.expect("PUBREC id=2")
		if s.b.queuedCount.Load() != queued+1 {
			t.Error("a refused QoS 2 identifier is taken for known")
		}

		h.hold(true)
		old := s.connect("v311 clean id=b")
		old.send("PUBLISH topic=kept q=1 id=1")
		h.let(t, -1)
		old.expect()
		if !old.isClosed() {
			t.Error("3.1.1 goes on after a message that could not be stored")
		}
		h.hold(false)

		h.hold(true)
		p = s.connect("id=d expiry=100")
		h.let(t, -1)
		p.expect("DISCONNECT code=0x83 reason=*")
		h.let(t, 0) // the session waits for its client
		h.hold(false)

		p = s.connect("id=c expiry=100")
		h.hold(true)
		p.send("SUBSCRIBE id=1 f=x")
		h.let(t, -1)
		p.expect("DISCONNECT code=0x83 reason=*")
		if !p.isClosed() || s.b.metrics.StoreErrors.Load() == 0 {
			t.Error("a subscription that could not be stored was not refused, or not counted")
		}
		h.hold(false)
	})
}

// TestLeavesAfterCommit: a stored message leaves when it is kept, is taken back
// when it is not, and its end never reaches the store before its beginning.
func TestLeavesAfterCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, h := newHeldStage(t)
		defer s.end()
		keeper := s.resume("id=keeper expiry=1000")
		p := s.connect("clean id=a")
		h.hold(true)
		p.send("PUBLISH topic=kept q=1 id=1 payload=one")
		p.send("PUBLISH topic=kept q=1 id=2 payload=two")
		keeper.expect()
		h.let(t, 0, -2)
		keeper.expect("PUBLISH topic=kept q=1 id=1 payload=one")
		p.expect("PUBACK id=1", "PUBACK id=2 code=0x97")
		if n := s.b.metrics.Dropped.Get(CauseStore); n != 1 {
			t.Errorf("%d messages are counted as lost by the store, want 1", n)
		}
		h.let(t, 0) // that the first is in flight
		h.hold(false)
		keeper.send("PUBACK id=1")
		keeper.expect()
		h.mu.Lock()
		defer h.mu.Unlock()
		h.MemoryStore.mu.Lock()
		defer h.MemoryStore.mu.Unlock()
		for name, m := range h.sessions {
			if len(m.messages) > 0 {
				t.Errorf("the store still holds %d messages of %q", len(m.messages), name)
			}
		}
	})
}

// TestGivenUpBeforeCommit: a message that is given up while it waits for its
// commit does not stay in the store.
func TestGivenUpBeforeCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &heldStore{MemoryStore: NewMemoryStore()}
		o := wireOptions()
		o.Store, o.Queued, o.DropOldest = h, 1, true
		s := newStage(t, o)
		defer s.end()
		keeper := s.connect("id=keeper expiry=1000")
		keeper.send("SUBSCRIBE id=1 f=kept:q1")
		keeper.expect("SUBACK id=1 codes=1")
		keeper.send("DISCONNECT")
		p := s.connect("clean id=a")
		h.hold(true)
		p.send("PUBLISH topic=kept q=1 id=1 payload=one")
		p.send("PUBLISH topic=kept q=1 id=2 payload=two") // takes the first's place
		h.let(t, 1, 0)
		h.let(t, 0) // the end of the first
		h.hold(false)
		p.send("PUBLISH topic=other q=1 id=3")
		p.expect("PUBACK id=1", "PUBACK id=2", "PUBACK id=3 code=0x10")
		h.MemoryStore.mu.Lock()
		defer h.MemoryStore.mu.Unlock()
		for name, m := range h.sessions {
			if len(m.messages) != 1 {
				t.Errorf("the store holds %d messages of %q, want the second alone", len(m.messages), name)
			}
		}
	})
}

// TestCommitAfterTheEnd: a commit may come when its connection is gone.
func TestCommitAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, h := newHeldStage(t)
		defer s.end()
		p := s.connect("clean id=a")
		h.hold(true)
		p.send("PUBLISH topic=kept q=1 id=1")
		p.send("PUBLISH topic=kept q=1 id=2")
		p.drop()
		h.let(t, -1, 1)
		h.hold(false)
		p = s.connect("clean id=a")
		p.send("PUBLISH topic=kept q=1 id=1")
		p.expect("PUBACK id=1")
	})
}

// TestResume: a new broker on the same store goes on where the old one stopped.
func TestResume(t *testing.T) {
	for _, how := range []string{"after Shutdown", "after the process was killed"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testResume(t, how == "after Shutdown") })
		})
	}
}

func testResume(t *testing.T, graceful bool) {
	memory := NewMemoryStore()
	o := wireOptions()
	o.Store = durableStore{memory}
	s := newStage(t, o)
	a := s.connect("id=a expiry=1000 rm=3")
	a.send("SUBSCRIBE id=1 f=t/+:q2:rap f=$share/g/s:q1 subid=9")
	a.expect("SUBACK id=1 codes=2,1")
	b := s.connect("clean id=b")
	for i := 1; i <= 4; i++ {
		b.send(fmt.Sprintf("PUBLISH topic=t/%d q=%d id=%d payload=%d retain", i, 1+i%2, i, i))
	}
	b.packets()
	a.expect("PUBLISH topic=t/1 payload=1 q=2 id=1 retain subid=9", "PUBLISH topic=t/2 payload=2 q=1 id=2 retain subid=9",
		"PUBLISH topic=t/3 payload=3 q=2 id=3 retain subid=9")
	a.send("PUBREC id=3")
	a.expect("PUBREL id=3")
	a.send("PUBLISH topic=x q=2 id=77")
	a.expect("PUBREC id=77 code=0x10")

	if graceful {
		s.end()
	} else {
		o.Store = copyOf(t, memory)
		defer s.end()
	}
	s = newStage(t, o)
	defer s.end()
	a = s.dial()
	a.send("CONNECT id=a expiry=1000 rm=3")
	a.expect("CONNACK present", "PUBLISH topic=t/1 payload=1 q=2 id=1 retain dup subid=9",
		"PUBLISH topic=t/2 payload=2 q=1 id=2 retain dup subid=9", "PUBREL id=3")
	a.send("PUBACK id=2")
	a.expect("PUBLISH topic=t/4 payload=4 q=1 id=2 retain subid=9")
	a.send("PUBLISH topic=x q=2 id=77 dup") // known: not routed again [MQTT-4.3.3-10]
	a.expect("PUBREC id=77")
	a.send("PUBREL id=77")
	a.expect("PUBCOMP id=77")
	a.send("PUBREC id=1")
	a.expect("PUBREL id=1")
	for _, id := range []int{1, 3} {
		a.send(fmt.Sprintf("PUBCOMP id=%d", id))
	}
	b = s.connect("clean id=b")
	b.send("PUBLISH topic=s payload=shared q=1 id=1")
	b.expect("PUBACK id=1")
	a.expect("PUBLISH topic=s payload=shared q=1 id=3 subid=9") // the identifier freed last
	b.send("SUBSCRIBE id=1 f=t/4")
	b.expect("SUBACK id=1 codes=0", "PUBLISH topic=t/4 payload=4 retain")
}

// TestStoredWills: a will outlives the process, is sent when it is due, through
// the rules, and once.
func TestStoredWills(t *testing.T) {
	for _, c := range []struct {
		name     string
		will     string
		drop     bool // before the process ends
		graceful bool
		first    string // published by the first broker
		second   string // and by the second: seconds after its start
	}{
		{"waiting, killed", "delay10", true, false, "", "will after 5 s"},
		{"waiting, shut down", "delay10", true, true, "", "will after 5 s"},
		{"connected, killed: the clock starts anew", "delay10", false, false, "", "will after 10 s"},
		{"connected, killed, without delay", "q1", false, false, "", "will after 0 s"},
		{"connected, shut down, without delay", "q1", false, true, "will", ""},
		{"due while nothing ran", "delay3", true, true, "", "will after 0 s"},
		{"sent before", "q1", true, true, "will", ""},
		{"sent before, killed", "q1", true, false, "will", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				memory := NewMemoryStore()
				o := wireOptions()
				o.Store = durableStore{memory}
				var first, second diary
				s := newStage(t, o, publishFunc(func(*PublishEvent) Decision { first.note("will"); return Decision{} }))
				p := s.connect("id=a expiry=1000 will=w:bye:" + c.will)
				if c.drop {
					p.drop()
				}
				time.Sleep(2 * time.Second)
				o.Store = copyOf(t, memory)
				if c.graceful {
					s.end()
					o.Store = durableStore{memory}
				}
				if got := strings.Join(first.take(), ","); got != c.first {
					t.Errorf("the first broker published %q, want %q", got, c.first)
				}
				time.Sleep(3 * time.Second)
				start := time.Now()
				s2 := newStage(t, o, publishFunc(func(*PublishEvent) Decision {
					second.note("will after %d s", int(time.Since(start).Seconds()))
					return Decision{}
				}))
				time.Sleep(time.Minute)
				s2.end()
				if got := strings.Join(second.take(), ","); got != c.second {
					t.Errorf("the second broker published %q, want %q", got, c.second)
				}
				s3 := newStage(t, o, publishFunc(func(*PublishEvent) Decision { t.Error("sent again"); return Decision{} }))
				time.Sleep(time.Minute)
				s3.end()
				if !c.graceful {
					p.drop()
					s.end()
				}
			})
		})
	}
}

// TestExpiredWhileDown: a session whose time ran out while no broker ran is
// not resumed; one of a client that was connected has all of its time.
func TestExpiredWhileDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := NewMemoryStore()
		o := wireOptions()
		o.Store = durableStore{memory}
		s := newStage(t, o)
		s.connect("id=left expiry=10").send("DISCONNECT")
		stays := s.connect("id=stays expiry=10")
		synctest.Wait()
		o.Store = copyOf(t, memory)
		stays.drop()
		s.end()
		time.Sleep(11 * time.Second)
		s = newStage(t, o)
		defer s.end()
		p := s.dial()
		p.send("CONNECT id=left")
		p.expect("CONNACK")
		p = s.dial()
		p.send("CONNECT id=stays")
		p.expect("CONNACK present")
	})
}

// TestMoreSessionsThanAllowed: a lowered bound refuses new sessions, not those
// that were accepted.
func TestMoreSessionsThanAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wireOptions()
		o.Store = NewMemoryStore()
		s := newStage(t, o)
		for _, id := range []string{"a", "b", "c"} {
			s.connect("expiry=100 id=" + id)
		}
		s.end()
		o.MaxSessions = 2
		s = newStage(t, o)
		defer s.end()
		p := s.dial()
		p.send("CONNECT id=c expiry=100")
		p.expect("CONNACK present")
		p = s.dial()
		p.send("CONNECT id=d")
		p.expect("CONNACK code=0x97 reason=*")
	})
}

// waitingOf returns the QoS 1 and 2 messages that wait, wherever they lie.
func waitingOf(s *session) (list []queued) {
	for i := range s.queue.len() {
		list = append(list, *s.queue.at(i))
	}
	sp := s.spill
	if sp == nil {
		return list
	}
	ops, _ := s.b.store.Waiting(s.name, sp.first, 1<<30, 1<<30)
	for i := range ops {
		if _, gone := s.removed[ops[i].Seq]; ops[i].Seq <= sp.last && !gone {
			list = append(list, s.queuedOf(&ops[i]))
		}
	}
	for i := range sp.tail.len() {
		list = append(list, *sp.tail.at(i))
	}
	return list
}

// stateOf writes down what a broker must not lose.
func stateOf(b *Broker) (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	b.sessions.each(func(s *session) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.gone || s.expiry == 0 {
			return
		}
		add("%s expiry=%d user=%q will=%v", s.id(), s.expiry, s.client.Username, s.will != nil)
		for sub := range s.subs.all() {
			add("%s subscription %s q%d nl=%v rap=%v id=%d shared=%v", s.id(), sub.requested, sub.qos, sub.noLocal, sub.asPublished, sub.id, sub.group != nil)
		}
		for _, q := range waitingOf(s) {
			add("%s message %04d %s %s q%d", s.id(), q.seq, q.msg.Topic, q.msg.Payload, q.qos)
		}
		for id, f := range s.window.slots {
			if f.state != flightFree {
				add("%s message %04d %s %s q%d in flight %d state %d", s.id(), f.seq, f.msg.Topic, f.msg.Payload, f.qos, id+1, f.state)
			}
		}
		for id := range 1 << 16 {
			if s.received.has(uint16(id)) {
				add("%s received %d", s.id(), id)
			}
		}
	})
	_ = b.store.Load(func(op Op) error {
		if op.Kind == PutRetained {
			add("retained %s %s", op.Queued.Message.Topic, op.Queued.Message.Payload)
		}
		return nil
	})
	slices.Sort(lines)
	return lines
}

// TestStoreFollows: after any history, the store holds what the broker holds.
func TestStoreFollows(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testStoreFollows(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func testStoreFollows(t *testing.T, rnd *rand.Rand) {
	memory := NewMemoryStore()
	o := wireOptions()
	o.Store = durableStore{memory}
	o.Queued = 5
	o.DropOldest = rnd.IntN(2) == 0
	s := newStage(t, o)
	defer s.end()
	h := &history{s: s, rnd: rnd, peers: make(map[string]*peer)}
	for step := range 60 {
		h.step()
		if step%10 != 9 {
			continue
		}
		synctest.Wait()
		want := stateOf(s.b)
		o2 := o
		o2.Store = copyOf(t, memory)
		b2, err := New(o2)
		if err != nil {
			t.Fatal(err)
		}
		if got := stateOf(b2); !slices.Equal(got, want) {
			t.Fatalf("after\n%s\nthe store holds\n\t%s\nthe broker\n\t%s", strings.Join(h.did, "\n"), strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
		}
		_ = b2.Close()
	}
}

// history makes up what clients do.
type history struct {
	s     *stage
	rnd   *rand.Rand
	peers map[string]*peer
	did   []string
	id    int
}

func (h *history) step() {
	ids := []string{"a", "b", "c"}
	id := ids[h.rnd.IntN(len(ids))]
	p := h.peers[id]
	pick := func(list ...string) string { return list[h.rnd.IntN(len(list))] }
	line := ""
	switch {
	case p == nil || p.isClosed():
		line = "CONNECT id=" + id + pick("", " clean", "", "") + pick(" expiry=50", " expiry=50", "", " v311") + pick(" rm=2", " rm=9")
		if strings.Contains(line, "v311") {
			line = "CONNECT v311 id=" + id + pick("", " clean")
		}
		if !strings.Contains(line, "v311") {
			line += pick("", " will=w:bye:q1", " will=w:bye:q1:delay3")
		}
		p = h.s.dial()
		h.peers[id] = p
	default:
		h.id++
		line = pick(
			"SUBSCRIBE id=900 f=t/#:q"+pick("0", "1", "2"), "SUBSCRIBE id=901 f=$share/g/t/1:q1", "UNSUBSCRIBE id=902 f=t/#",
			fmt.Sprintf("PUBLISH topic=t/%s q=1 id=%d payload=%d%s", pick("1", "2"), h.id, h.id, pick("", " retain")),
			fmt.Sprintf("PUBLISH topic=t/%s q=2 id=%d payload=%d", pick("1", "2"), h.id, h.id),
			fmt.Sprintf("PUBREL id=%d", 1+h.rnd.IntN(h.id)),
			"ack", "ack", "ack", "wait", "DISCONNECT", "drop", "CONNECT",
		)
	}
	h.did = append(h.did, id+": "+line)
	switch line {
	case "drop":
		p.drop()
	case "wait":
		time.Sleep(time.Duration(h.rnd.IntN(30)) * time.Second)
	case "ack":
		h.acknowledge(p)
	default:
		p.send(line)
	}
	synctest.Wait()
}

// acknowledge answers some of what came.
func (h *history) acknowledge(p *peer) {
	for _, got := range p.packets() {
		x, _ := decodePacket(got, p.version)
		line := ""
		switch x := x.(type) {
		case *packet.Publish:
			if x.QoS > 0 && h.rnd.IntN(3) > 0 {
				line = fmt.Sprintf("%s id=%d", [3]string{"", "PUBACK", "PUBREC"}[x.QoS], x.PacketID)
			}
		case *packet.Ack:
			if x.Type == packet.PUBREL && h.rnd.IntN(3) > 0 {
				line = fmt.Sprintf("PUBCOMP id=%d", x.PacketID)
			}
		}
		if line != "" {
			h.did = append(h.did, "   "+line)
			p.send(line)
		}
	}
}
