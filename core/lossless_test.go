package core

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lunamq/core/packet"
)

// lateStore applies batches in their order, and says so later, in any.
type lateStore struct {
	*MemoryStore
	mu      sync.Mutex
	waiting []heldBatch
	applier sync.WaitGroup
}

func (s *lateStore) Commit(b *Batch, done Committed) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, heldBatch{b, done})
	if len(s.waiting) == 1 {
		s.applier.Go(s.apply)
	}
	return false
}

// apply keeps what waits; what comes meanwhile is left to the next applier.
func (s *lateStore) apply() {
	runtime.Gosched()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.waiting {
		s.MemoryStore.Commit(w.batch, nil)
		s.applier.Go(func() { w.done.Committed(nil) })
	}
	s.waiting = nil
}

// TestNothingStaysBehind: sessions whose clients have few in flight get every
// QoS 1 and 2 message in order, through small outboxes, a late store and a
// deliver hook, whether they stay or leave and take their own place; when all
// have ended, nothing is counted and nothing is stored any more.
func TestNothingStaysBehind(t *testing.T) { onDrivers(t, testNothingStaysBehind) }

func testNothingStaysBehind(t *testing.T, d Driver) {
	const publishers, followers, bursts, burst = 3, 4, 40, 4
	store := &lateStore{MemoryStore: NewMemoryStore()}
	o := wireOptions()
	o.Driver = d
	o.Store = store
	o.Queued, o.QueuedBytes, o.OutboxBytes, o.QueueQoS0Offline = Unlimited, 1<<30, 600, true
	b, addr := serveTCP(t, o)
	if err := b.Register("test", deliverFunc(func(ev *DeliverEvent) Decision {
		runtime.Gosched()
		return Decision{}
	})); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	defer all.Wait()
	list := make([]*follower, followers)
	for i := range list {
		f := &follower{t: t, addr: addr, id: fmt.Sprint("f", i), stays: i%2 == 0, rnd: rand.New(rand.NewPCG(uint64(i), 4)), next: make(map[string]int), taken: make(map[uint16]bool)}
		dialTCP(t, addr, "expiry=1000 id="+f.id, "SUBSCRIBE id=1 f=#:q2").net.Close()
		all.Go(func() { f.follow(bursts * burst * publishers * 4) })
		list[i] = f
	}
	var from [publishers]*tcpClient
	for i := range from {
		from[i] = dialTCP(t, addr, fmt.Sprint("clean id=p", i))
	}
	for n := range bursts {
		var now sync.WaitGroup
		for i, c := range from {
			now.Go(func() { c.publishNumbered(fmt.Sprint("p", i), n*burst, burst) })
		}
		now.Wait()
		for _, f := range list { // nothing comes after it that would wake what stayed behind
			if f.stays {
				eventually(t, f.id+" has all of the burst", func() bool { return f.got.Load() == int64((n+1)*burst*publishers*4) })
			}
		}
	}
	all.Wait()
	for _, c := range from {
		c.net.Close()
	}
	for i := range followers {
		dialTCP(t, addr, fmt.Sprint("clean id=f", i)).send("DISCONNECT")
	}
	eventually(t, "nothing is left", func() bool {
		store.MemoryStore.mu.Lock()
		defer store.MemoryStore.mu.Unlock()
		m := &b.metrics
		left := m.Connections.Load() | m.Connected.Load() | m.Subscriptions.Load() | b.pending.Load() | b.sessions.count.Load()
		return left == 0 && b.queuedBytes.Load() == 0 && b.queuedCount.Load() == 0 && len(store.sessions) == 0
	})
	store.applier.Wait()
}

// publishNumbered publishes messages of every QoS to a topic that the hook wants
// and to one that it does not, each with its number.
func (c *tcpClient) publishNumbered(id string, first, n int) {
	for i := first; i < first+n; i++ {
		for _, topic := range []string{"plain", "t"} {
			for qos := range 3 {
				c.send(fmt.Sprintf("PUBLISH topic=%s q=%d id=%d payload=%s/%s/%d/%d", topic, qos, qos, id, topic, qos, i))
			}
			c.next()
			c.next()
			c.send("PUBREL id=2")
			c.next()
		}
	}
}

// follower is the client of one session: it leaves and comes again.
type follower struct {
	t        *testing.T
	addr, id string
	stays    bool
	rnd      *rand.Rand
	next     map[string]int  // number by publisher, topic and QoS
	taken    map[uint16]bool // QoS 2 identifiers
	got      atomic.Int64    // QoS 1 and 2 messages
}

// follow takes messages over as many connections as it needs.
func (f *follower) follow(want int64) {
	for f.got.Load() < want && !f.t.Failed() {
		w, err := netDial(f.addr)
		if err != nil {
			f.t.Error(err)
			return
		}
		defer w.net.Close() // one that was not closed before is taken over
		c := &tcpClient{w, f.t}
		c.send(fmt.Sprintf("CONNECT id=%s expiry=1000 rm=%d", f.id, 1+f.rnd.IntN(9)))
		for n := 1 + f.rnd.IntN(400); n > 0 && f.got.Load() < want && f.takeNext(c); {
			if !f.stays {
				n--
			}
		}
		if f.rnd.IntN(2) == 0 {
			c.net.Close()
		}
	}
}

// takeNext takes one packet and answers it; false, and unanswered, if it is time
// to leave.
func (f *follower) takeNext(c *tcpClient) bool {
	got, err := c.read()
	if err != nil {
		f.t.Errorf("%s has %d messages: %v", f.id, f.got.Load(), err)
		return false
	}
	var answer []byte
	switch h, _, _ := packet.ParseHeader(got); h.Type {
	case packet.PUBLISH:
		var p packet.Publish
		if err := p.Decode(c.version, h, got[h.HeaderLen:]); err != nil {
			f.t.Error(err)
			return false
		}
		f.check(&p)
		if p.QoS > 0 {
			answer = (&packet.Ack{Type: packet.PUBACK + packet.Type(p.QoS-1), PacketID: p.PacketID}).Append(nil, c.version)
		}
	case packet.PUBREL:
		delete(f.taken, uint16(got[2])<<8|uint16(got[3]))
		answer = []byte{byte(packet.PUBCOMP) << 4, 2, got[2], got[3]}
	}
	if len(answer) > 0 && !f.stays && f.rnd.IntN(100) == 0 {
		return false
	}
	c.net.SetWriteDeadline(time.Now().Add(wirePatience))
	c.net.Write(answer) // that it was closed meanwhile is found out by reading
	return true
}

// check holds a message against those before it: the next of its kind, or one
// sent again.
func (f *follower) check(p *packet.Publish) {
	kind, number, _ := strings.Cut(string(p.Payload), fmt.Sprintf("/%d/", p.QoS))
	var n int
	if _, err := fmt.Sscan(number, &n); err != nil {
		f.t.Errorf("%q: %v", p.Payload, err)
	}
	kind += fmt.Sprint("/", p.QoS)
	next := f.next[kind]
	switch {
	case p.Dup && (p.QoS == 2 && f.taken[p.PacketID] || p.QoS == 1 && n < next):
		return
	case n == next || p.QoS == 0 && n > next:
	default:
		f.t.Errorf("%s got %s, want %d (DUP %v)", f.id, p.Payload, next, p.Dup)
	}
	f.next[kind] = n + 1
	if p.QoS > 0 {
		f.got.Add(1)
	}
	if p.QoS == 2 {
		f.taken[p.PacketID] = true
	}
}
