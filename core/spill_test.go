package core

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lunamq/core/packet"
)

// receiverOf connects a session that keeps, by its client's line.
func (s *stage) receiverOf(line string, filters ...string) *peer {
	s.t.Helper()
	p := s.connect(line)
	p.send("SUBSCRIBE id=900 f=" + strings.Join(filters, " f="))
	if got := p.packets(); len(got) == 0 {
		s.t.Fatal("no SUBACK")
	}
	return p
}

// publishMany publishes numbered messages and holds that all are acknowledged.
func (p *peer) publishMany(topic string, first, n int) {
	p.s.t.Helper()
	for i := first; i < first+n; i++ {
		p.send(fmt.Sprintf("PUBLISH topic=%s q=1 id=%d payload=%d", topic, 1+i%60000, i))
	}
	if got := p.packets(); len(got) != n {
		p.s.t.Fatalf("%d acknowledgements for %d messages", len(got), n)
	}
}

// takeAll acknowledges what comes until nothing more does, and returns the
// payloads in order.
func (p *peer) takeAll() (payloads []string) {
	p.s.t.Helper()
	for list := p.packets(); len(list) > 0; list = p.packets() {
		for _, got := range list {
			x, _ := decodePacket(got, p.version)
			switch x := x.(type) {
			case *packet.Publish:
				payloads = append(payloads, string(x.Payload))
				if x.QoS > 0 {
					p.send(fmt.Sprintf("%s id=%d", [3]string{"", "PUBACK", "PUBREC"}[x.QoS], x.PacketID))
				}
			case *packet.Ack:
				if x.Type == packet.PUBREL {
					p.send(fmt.Sprintf("PUBCOMP id=%d", x.PacketID))
				}
			}
		}
	}
	return payloads
}

// numbers are the payloads of n messages.
func numbers(first, n int) (list []string) {
	for i := first; i < first+n; i++ {
		list = append(list, strconv.Itoa(i))
	}
	return list
}

func wantPayloads(t *testing.T, who string, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("%s: message %d is %s, want %s (%d came, want %d)", who, i, got[i], want[i], len(got), len(want))
		}
	}
	t.Fatalf("%s: %d messages came, want %d", who, len(got), len(want))
}

// inMemory is how many of a session's messages are in memory, and how many lie
// in the store alone.
func (s *stage) inMemory(id string) (memory, store int) {
	synctest.Wait()
	sess := s.b.sessions.find("", id)
	sess.mu.Lock()
	defer sess.mu.Unlock()
	memory = sess.queue.len()
	if sp := sess.spill; sp != nil {
		memory, store = memory+sp.tail.len(), sp.n
	}
	return memory, store
}

// wantEmpty holds that nothing is counted and nothing is stored any more.
func (s *stage) wantEmpty(store *refStore) {
	s.t.Helper()
	synctest.Wait()
	b := s.b
	if n := store.left(); n != 0 || b.queuedCount.Load() != 0 || b.queuedBytes.Load() != 0 || b.spilledBytes.Load() != 0 {
		s.t.Errorf("left: %d stored, %d counted, %d bytes in memory, %d in the store", n, b.queuedCount.Load(), b.queuedBytes.Load(), b.spilledBytes.Load())
	}
	t := s.t
	b.sessions.each(func(s *session) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.spill != nil || s.waitingLocked() != 0 || s.waits.Load() || s.window.used != 0 {
			t.Errorf("%s has something left: %d wait, %d in flight, spilled %+v", s.id(), s.waitingLocked(), s.window.used, s.spill)
		}
	})
}

const fewThousand = 2500

func spilling(o *Options) { o.Queued = 10_000 }

// TestSpillOffline: what waits for a session without a client lies in the store
// alone, comes back page by page, in order, and through a restart.
func TestSpillOffline(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		t.Run(fmt.Sprint("restarted ", restarted), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, store := newRefStage(t, spilling)
				s.receiverOf("id=r expiry=1000", "t:q2").drop()
				p := s.connect("clean id=p")
				p.publishMany("t", 0, fewThousand)
				if memory, stored := s.inMemory("r"); memory != 0 || stored != fewThousand || s.b.queuedBytes.Load() != 0 {
					t.Errorf("%d in memory, %d in the store, %d bytes", memory, stored, s.b.queuedBytes.Load())
				}
				if st := s.b.Stats(); st.Queued != fewThousand || st.StoredBytes == 0 {
					t.Errorf("counted: %+v", st)
				}
				if restarted {
					s, store = s.restart(s.b.o, p)
					if st := s.b.Stats(); st.Queued != fewThousand || st.StoredBytes == 0 || st.QueuedBytes != 0 {
						t.Errorf("counted after the restart: %+v", st)
					}
					p = s.connect("clean id=p")
				}
				defer s.end()
				p.publishMany("t", fewThousand, 10)
				r := s.connect("id=r expiry=1000 rm=30")
				if memory, _ := s.inMemory("r"); memory > 2*pageMessages {
					t.Errorf("%d in memory while the client takes nothing", memory)
				}
				r.version = packet.V5
				wantPayloads(t, "r", r.takeRest(s, 30), numbers(0, fewThousand+10))
				if store.largest > pageMessages {
					t.Errorf("a page of %d messages", store.largest)
				}
				s.wantEmpty(store)
			})
		})
	}
}

// takeRest takes all that comes to a client that has n unacknowledged already:
// connect has read them.
func (p *peer) takeRest(s *stage, n int) []string {
	p.drop()
	again := s.connectQuietly("id=r expiry=1000 rm=" + strconv.Itoa(n))
	return again.takeAll()
}

// connectQuietly connects and leaves what comes behind the CONNACK unread.
func (s *stage) connectQuietly(line string) *peer {
	s.t.Helper()
	p := s.dial()
	p.send("CONNECT " + line)
	return p
}

// TestSpillSlow: what waits for a client that is connected and takes nothing is
// in memory within a window; then everything comes, in order.
func TestSpillSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := newRefStage(t, spilling)
		defer s.end()
		r := s.receiverOf("id=r expiry=1000 rm=5", "t:q1")
		p := s.connect("clean id=p")
		p.publishMany("t", 0, fewThousand)
		if memory, stored := s.inMemory("r"); memory > pageMessages || stored+memory != fewThousand-5 {
			t.Errorf("%d in memory, %d in the store", memory, stored)
		}
		wantPayloads(t, "r", r.takeAll(), numbers(0, fewThousand))
		s.wantEmpty(store)
	})
}

// TestSpillLarge: the window and pages are bounded in bytes.
func TestSpillLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := newRefStage(t, spilling)
		defer s.end()
		r := s.receiverOf("id=r expiry=1000 rm=1", "t:q1")
		p := s.connect("clean id=p")
		payload := strings.Repeat("x", 30_000)
		for i := range 20 {
			p.send(fmt.Sprintf("PUBLISH topic=t q=1 id=%d payload=%02d%s", i+1, i, payload))
		}
		if memory, stored := s.inMemory("r"); memory > 3 || memory+stored != 19 {
			t.Errorf("%d in memory, %d in the store", memory, stored)
		}
		got := r.takeAll()
		for i := range got {
			got[i] = got[i][:2]
		}
		if len(got) != 20 || !slices.IsSorted(got) {
			t.Errorf("%d messages: %q", len(got), got)
		}
		if store.largest > 4 {
			t.Errorf("a page of %d large messages", store.largest)
		}
		s.wantEmpty(store)
	})
}

// TestSpillBounds: a session's bounds hold for what lies in the store too, at
// both ends.
func TestSpillBounds(t *testing.T) {
	for _, c := range []struct {
		oldest bool
		want   []string
	}{{false, numbers(0, 50)}, {true, numbers(150, 50)}} {
		t.Run(fmt.Sprint("drop oldest ", c.oldest), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, store := newRefStage(t, func(o *Options) { o.Queued, o.DropOldest = 50, c.oldest })
				defer s.end()
				s.receiverOf("id=r expiry=1000", "t:q1").drop()
				p := s.connect("clean id=p")
				for i := 0; i < 200; i += 10 {
					p.publishMany("t", i, 10)
					if st := s.b.Stats(); st.Queued > 50 {
						t.Fatalf("%d are queued", st.Queued)
					}
				}
				if n := s.b.metrics.Dropped.Get(CauseQueueFull); n != 150 {
					t.Errorf("%d dropped", n)
				}
				if memory, _ := s.inMemory("r"); memory > trimMessages {
					t.Errorf("%d in memory", memory)
				}
				r := s.connectQuietly("id=r expiry=1000")
				wantPayloads(t, "r", r.takeAll(), c.want)
				s.wantEmpty(store)
			})
		})
	}
}

// TestSpillExpires: messages expire where they lie.
func TestSpillExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := newRefStage(t, spilling)
		defer s.end()
		s.receiverOf("id=r expiry=1000", "t:q1").drop()
		p := s.connect("clean id=p")
		var want []string
		for i := range 300 {
			line := fmt.Sprintf("PUBLISH topic=t q=1 id=%d payload=%d", i+1, i)
			if i%3 == 0 {
				line += " msgexpiry=10"
			} else {
				want = append(want, strconv.Itoa(i))
			}
			p.send(line)
		}
		time.Sleep(11 * time.Second)
		r := s.connectQuietly("id=r expiry=1000 rm=20")
		wantPayloads(t, "r", r.takeAll(), want)
		if n := s.b.metrics.Dropped.Get(CauseExpired); n != 100 {
			t.Errorf("%d expired", n)
		}
		s.wantEmpty(store)
	})
}

// TestSpillHooks: deliver hooks are asked of each message on its turn, and may
// refuse it.
func TestSpillHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := newRefStage(t, spilling, deliverFunc(func(ev *DeliverEvent) Decision {
			if n, _ := strconv.Atoi(string(ev.Message.Payload)); n%5 == 0 {
				return Decision{Verdict: Drop}
			}
			time.Sleep(time.Millisecond)
			return Decision{}
		}))
		defer s.end()
		s.receiverOf("id=r expiry=1000", "t:q1").drop()
		s.connect("clean id=p").publishMany("t", 0, 1000)
		r := s.connectQuietly("id=r expiry=1000 rm=7")
		var got []string
		for len(got) < 800 {
			time.Sleep(time.Second)
			more := r.takeAll()
			if len(more) == 0 {
				break
			}
			got = append(got, more...)
		}
		want := slices.DeleteFunc(numbers(0, 1000), func(n string) bool { i, _ := strconv.Atoi(n); return i%5 == 0 })
		wantPayloads(t, "r", got, want)
		s.wantEmpty(store)
	})
}

// TestSpillShared: what lies in the store because of a shared subscription goes
// to another member when its session ends in any way, when the client leaves, and
// when it unsubscribes; what came otherwise does not.
func TestSpillShared(t *testing.T) {
	const n = 350
	for _, c := range []struct {
		name string
		does func(s *stage, r *peer)
		own  int // of its own messages that it still gets
	}{
		{"expires", func(s *stage, r *peer) { r.drop(); time.Sleep(11 * time.Second) }, 0},
		{"clean start", func(s *stage, r *peer) { s.connect("clean id=r") }, 0},
		{"leaves with expiry 0", func(s *stage, r *peer) { r.send("DISCONNECT expiry=0") }, 0},
		{"unsubscribes", func(s *stage, r *peer) { r.send("UNSUBSCRIBE id=7 f=$share/g/s") }, n},
		{"leaves while another is there", func(s *stage, r *peer) { r.drop() }, n},
		{"restarts and expires", nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, store := newRefStage(t, spilling)
				r := s.receiverOf("id=r expiry=10 rm=1", "$share/g/s:q1", "own:q1")
				p := s.connect("clean id=p")
				for i := range n {
					p.send(fmt.Sprintf("PUBLISH topic=s q=1 id=1 payload=%d", i))
					p.send(fmt.Sprintf("PUBLISH topic=own q=1 id=2 payload=%d", 1000+i))
				}
				p.packets()
				if c.does == nil {
					s, store = s.restart(s.b.o, p, r)
				}
				other := s.receiverOf("id=other expiry=1000 rm=3", "$share/g/s:q1")
				if c.does == nil {
					time.Sleep(11 * time.Second)
				} else {
					c.does(s, r)
				}
				synctest.Wait()
				defer s.end()
				// the one in flight is given away only at the end of the session
				got := slices.DeleteFunc(other.takeAll(), func(n string) bool { return n == "0" })
				wantPayloads(t, "other", got, numbers(1, n-1))
				if c.own > 0 {
					if !strings.HasPrefix(c.name, "uns") {
						r = s.connectQuietly("id=r expiry=10 rm=9")
					}
					got := slices.DeleteFunc(r.takeAll(), func(n string) bool { return n == "0" })
					wantPayloads(t, "r", got, numbers(1000, n))
				}
				s.wantEmpty(store)
			})
		})
	}
}

// TestSpillTakeover: a page that is read while another connection takes the
// session over goes to that one.
func TestSpillTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := newRefStage(t, spilling)
		defer s.end()
		s.receiverOf("id=r expiry=1000", "t:q1").drop()
		s.connect("clean id=p").publishMany("t", 0, 1000)
		gate := make(chan struct{})
		store.set(func(r *refStore) { r.reading = func(uint64) error { <-gate; return nil } })
		first := s.connectQuietly("id=r expiry=1000 rm=10")
		second := s.connectQuietly("id=r expiry=1000 rm=10")
		synctest.Wait()
		third := s.connectQuietly("id=r expiry=1000 rm=10")
		synctest.Wait()
		close(gate)
		if !first.isClosed() || !second.isClosed() {
			t.Error("not taken over")
		}
		wantPayloads(t, "r", third.takeAll(), numbers(0, 1000))
		s.wantEmpty(store)
	})
}

// TestSpillReadErrors: while the store cannot be read, what lies there waits,
// nobody else does, and then it comes in order.
func TestSpillReadErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := newRefStage(t, spilling)
		defer s.end()
		s.receiverOf("id=r expiry=1000", "t:q1").drop()
		p := s.connect("clean id=p")
		p.publishMany("t", 0, 500)
		fails := 0
		store.set(func(r *refStore) {
			r.reading = func(uint64) error {
				if fails++; fails%3 > 0 && fails < 40 {
					return errDisk
				}
				return nil
			}
		})
		r := s.connectQuietly("id=r expiry=1000 rm=50")
		p.publishMany("t", 500, 100)
		var got []string
		for range 60 {
			got = append(got, r.takeAll()...)
			time.Sleep(10 * time.Second)
		}
		wantPayloads(t, "r", got, numbers(0, 600))
		if s.b.metrics.StoreErrors.Load() == 0 {
			t.Error("errors were not counted")
		}
		s.wantEmpty(store)
	})
}

// TestSpillLost: messages that are missing from the store hold nothing up and
// are counted.
func TestSpillLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := newRefStage(t, spilling)
		defer s.end()
		s.receiverOf("id=r expiry=1000", "t:q1").drop()
		p := s.connect("clean id=p")
		p.publishMany("t", 0, 500)
		var ops []Op
		for seq := range uint64(450) {
			ops = append(ops, Op{Kind: DeleteMessage, Session: "\x00r", Life: s.b.session("", "r").life, Seq: 52 + seq})
		}
		store.disk.Commit(&Batch{Ops: ops}, nil)
		r := s.connectQuietly("id=r expiry=1000 rm=5")
		wantPayloads(t, "r", r.takeAll(), numbers(0, 51))
		p.publishMany("t", 500, 1)
		wantPayloads(t, "r", r.takeAll(), numbers(500, 1))
		if n := s.b.metrics.Dropped.Get(CauseStore); n != 449 {
			t.Errorf("%d lost", n)
		}
		s.wantEmpty(store)
	})
}

// TestSpillRefused: what the store refuses to keep leaves no trace among what
// it has kept.
func TestSpillRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := newRefStage(t, spilling)
		defer s.end()
		s.receiverOf("id=r expiry=1000", "t:q1").drop()
		p := s.connect("clean id=p")
		p.publishMany("t", 0, 200)
		store.set(func(r *refStore) { r.refuse = func(*Batch) error { return errDisk } })
		p.publishMany("t", 200, 50)
		store.set(func(r *refStore) { r.refuse = nil })
		p.publishMany("t", 250, 50)
		r := s.connectQuietly("id=r expiry=1000")
		wantPayloads(t, "r", r.takeAll(), append(numbers(0, 200), numbers(250, 50)...))
		s.wantEmpty(store)
	})
}

// TestSpillThenNoExpiry: a client that comes for what lies in the store and asks
// for no expiry gets it; with the connection the session ends.
func TestSpillThenNoExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := newRefStage(t, spilling)
		defer s.end()
		s.receiverOf("id=r expiry=1000", "t:q1").drop()
		p := s.connect("clean id=p")
		p.publishMany("t", 0, 500)
		r := s.connectQuietly("id=r")
		p.publishMany("t", 500, 50)
		wantPayloads(t, "r", r.takeAll(), numbers(0, 550))
		p.publishMany("t", 550, 50)
		r.drop()
		s.wantEmpty(store)
		if n := len(store.disk.sessions); n != 0 {
			t.Errorf("%d sessions are stored", n)
		}
	})
}

// TestSpillWaitsForTheEnd: a client that starts anew waits until the store has
// been told of its old session's end, and no longer than a handshake may take.
func TestSpillWaitsForTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := newRefStage(t, spilling)
		defer s.end()
		r := s.receiverOf("id=r expiry=1000", "$share/g/s:q1")
		r.drop()
		s.connect("clean id=p").publishMany("s", 0, 500)
		s.receiverOf("id=other expiry=1000", "$share/g/s:q1")
		gate := make(chan struct{})
		store.set(func(r *refStore) { r.reading = func(uint64) error { <-gate; return nil } })
		r = s.connectQuietly("clean id=r")
		time.Sleep(s.b.o.HandshakeTimeout - time.Second)
		r.expect()
		time.Sleep(2 * time.Second)
		if got := r.packets(); !r.isClosed() {
			t.Errorf("not refused: % x", got)
		}
		r = s.connectQuietly("clean id=r")
		time.Sleep(time.Second)
		close(gate)
		r.expect("CONNACK")
	})
}

// TestSpillRandom: whatever a receiver does, it gets every message, those it has
// acknowledged once, in order.
func TestSpillRandom(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testSpillRandom(t, rand.New(rand.NewPCG(seed, 5))) })
		})
	}
}

func testSpillRandom(t *testing.T, rnd *rand.Rand) {
	s, store := newRefStage(t, spilling)
	defer func() { s.end() }()
	s.receiverOf("id=r expiry=1000", "t:q1").drop()
	store.set(func(r *refStore) { r.delay = time.Duration(rnd.IntN(3)) * time.Millisecond })
	p := s.connect("clean id=p")
	published, next := 0, 0 // next is the lowest that was never acknowledged
	r := (*peer)(nil)
	take := func(most int) {
		for _, got := range r.packets() {
			x, _ := decodePacket(got, r.version)
			m, ok := x.(*packet.Publish)
			if !ok || most == 0 {
				continue
			}
			most--
			n, _ := strconv.Atoi(string(m.Payload))
			switch {
			case n == next:
				next++
			case n > next || !m.Dup: // its acknowledgement was lost with its connection, at most
				t.Fatalf("got %d, want %d (DUP %v)", n, next, m.Dup)
			}
			r.send(fmt.Sprintf("PUBACK id=%d", m.PacketID))
		}
	}
	for range 80 {
		switch rnd.IntN(6) {
		case 0, 1:
			n := 1 + rnd.IntN(200)
			p.publishLate("t", published, n)
			published += n
		case 2:
			if r != nil {
				r.drop()
				r = nil
			}
		case 3:
			r = s.connectQuietly("id=r expiry=1000 rm=" + strconv.Itoa(1+rnd.IntN(120)))
		case 4:
			if r != nil {
				take(rnd.IntN(150))
				r.drop() // those that were not acknowledged come again
				r = nil
			}
		case 5:
			if rnd.IntN(4) == 0 {
				time.Sleep(time.Second)
				peers := []*peer{p}
				if r != nil {
					peers, r = append(peers, r), nil
				}
				s, store = s.restart(s.b.o, peers...)
				p = s.connect("clean id=p")
			}
		}
	}
	time.Sleep(time.Second)
	r = s.connectQuietly("id=r expiry=1000 rm=50")
	for range 2000 {
		before := next
		take(-1)
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		if next == before && len(r.got) == 0 {
			break
		}
	}
	if next != published {
		t.Errorf("%d of %d messages came", next, published)
	}
	time.Sleep(time.Second)
	s.wantEmpty(store)
}

// publishLate publishes to a store that may be slow.
func (p *peer) publishLate(topic string, first, n int) {
	p.s.t.Helper()
	for i := first; i < first+n; i++ {
		p.send(fmt.Sprintf("PUBLISH topic=%s q=1 id=%d payload=%d", topic, 1+i%60000, i))
	}
	time.Sleep(time.Second)
	if got := p.packets(); len(got) != n {
		p.s.t.Fatalf("%d acknowledgements for %d messages", len(got), n)
	}
}
