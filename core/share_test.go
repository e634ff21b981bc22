package core

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lunamq/core/packet"
)

// TestShareRandom: members of a shared subscription come and go in every way,
// and brokers crash, while messages for them lie in the store: each message is
// completed by a member, and nothing is left of it.
func TestShareRandom(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testShareRandom(t, rand.New(rand.NewPCG(seed, 9))) })
		})
	}
}

// shareWorld is a group of members, one of which always has its session.
type shareWorld struct {
	t         *testing.T
	rnd       *rand.Rand
	s         *stage
	store     *refStore
	from      *peer
	members   [3]*peer
	published int
	done      map[int]bool
	did       []string
}

func testShareRandom(t *testing.T, rnd *rand.Rand) {
	w := &shareWorld{t: t, rnd: rnd, done: make(map[int]bool)}
	w.s, w.store = newRefStage(t, func(o *Options) { spilling(o); o.Inflight = 10 })
	defer func() { w.s.end() }()
	w.from = w.s.connect("clean id=p")
	w.connect(0, false)
	w.store.set(func(r *refStore) { r.delay = time.Duration(rnd.IntN(3)) * time.Millisecond })
	for range 60 {
		w.step()
	}
	w.store.set(func(r *refStore) { r.reading = nil })
	for i := range w.members {
		w.connect(i, false)
	}
	for quiet := 0; quiet < 4000; quiet++ {
		for i := range w.members {
			if w.take(i, -1) {
				quiet = 0
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	for n := range w.published {
		if !w.done[n] {
			t.Errorf("message %d was completed by nobody", n)
		}
	}
	w.s.wantEmpty(w.store)
	if t.Failed() {
		t.Logf("after %q", w.did)
	}
}

func (w *shareWorld) step() {
	i := w.rnd.IntN(len(w.members))
	do := ""
	switch act := w.rnd.IntN(20); {
	case act < 6:
		n := 1 + w.rnd.IntN(150)
		w.from.publishLate("s", w.published, n)
		w.published += n
		do = fmt.Sprint("publish ", n)
	case act < 9:
		w.connect(i, i > 0 && w.rnd.IntN(3) == 0)
		do = fmt.Sprint("connect ", i)
	case act < 13:
		n := w.rnd.IntN(40)
		w.take(i, n)
		do = fmt.Sprintf("%d takes %d", i, n)
	case act < 15:
		w.leave(i)
		do = fmt.Sprint("leave ", i)
	case act < 16 && i > 0:
		w.send(i, "DISCONNECT expiry=0")
		do = fmt.Sprint("end ", i)
	case act < 17 && i > 0:
		w.send(i, "UNSUBSCRIBE id=7 f=$share/g/s")
		do = fmt.Sprint("unsubscribe ", i)
	case act < 18:
		time.Sleep(60 * time.Second) // others than the first expire
		do = "wait"
	case act < 19:
		w.store.set(func(r *refStore) {
			n := new(atomic.Int64)
			r.reading = func(uint64) error {
				if n.Add(1)%2 == 1 {
					return errDisk
				}
				return nil
			}
		})
		do = "read errors"
	default:
		time.Sleep(time.Second)
		peers := []*peer{w.from}
		for i, m := range w.members {
			if m != nil {
				peers = append(peers, m)
			}
			w.members[i] = nil
		}
		w.s, w.store = w.s.restart(w.s.b.o, slices.Clone(peers)...)
		w.from = w.s.connect("clean id=p")
		do = "crash"
	}
	w.did = append(w.did, do)
}

func (w *shareWorld) connect(i int, clean bool) {
	w.leave(i)
	expiry, start := 50, ""
	if i == 0 {
		expiry = 1_000_000
	}
	if clean {
		start = "clean "
	}
	w.members[i] = w.s.connectQuietly(fmt.Sprintf("%sid=m%d expiry=%d rm=%d", start, i, expiry, 1+w.rnd.IntN(20)))
	w.members[i].send("SUBSCRIBE id=900 f=$share/g/s:q" + strconv.Itoa(1+i%2))
	synctest.Wait()
}

func (w *shareWorld) leave(i int) {
	if w.members[i] != nil {
		w.members[i].drop()
		w.members[i] = nil
	}
}

func (w *shareWorld) send(i int, line string) {
	if p := w.members[i]; p != nil && !p.isClosed() {
		w.take(i, -1)
		p.send(line)
	}
}

// take completes at most n messages, -1 for all; the rest is lost with the
// connection.
func (w *shareWorld) take(i, n int) (some bool) {
	p := w.members[i]
	if p == nil {
		return false
	}
	for _, got := range p.packets() {
		x, _ := decodePacket(got, p.version)
		switch x := x.(type) {
		case *packet.Publish:
			if n == 0 {
				w.leave(i)
				return some
			}
			n--
			some = true
			number, _ := strconv.Atoi(string(x.Payload))
			w.done[number] = true // QoS 1 as published: it may come more than once
			p.send(fmt.Sprintf("%s id=%d", [3]string{"", "PUBACK", "PUBREC"}[x.QoS], x.PacketID))
		case *packet.Ack:
			p.send(fmt.Sprintf("PUBCOMP id=%d", x.PacketID))
		}
	}
	return some
}
