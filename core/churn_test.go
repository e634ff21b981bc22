package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lunamq/core/packet"
)

// TestChurn: many connections fight for few sessions over TCP, end in every
// way, and are kicked; then the broker's counts are right and the store holds
// what the broker holds.
func TestChurn(t *testing.T) { onDrivers(t, testChurn) }

func testChurn(t *testing.T, d Driver) {
	memory := NewMemoryStore()
	o := wireOptions()
	o.Driver = d
	o.Store = durableStore{memory}
	b, addr := startBroker(t, o)
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 2))
			for range 60 {
				if err := churn(b, addr, rnd); err != nil {
					t.Errorf("client %d: %v", i, err)
					return
				}
			}
		})
	}
	clients.Wait()
	eventually(t, "no connections", func() bool { return b.metrics.Connections.Load() == 0 })
	if n := b.metrics.Connected.Load(); n != 0 {
		t.Errorf("%d connected", n)
	}
	if connects, ends := b.metrics.Connects.Load(), b.metrics.Disconnects.Load(); connects != ends || connects == 0 {
		t.Errorf("%d connects, %d disconnects", connects, ends)
	}
	want := stateOf(b)
	o.Store = copyOf(t, memory)
	b2, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer b2.Close()
	if got := stateOf(b2); !slices.Equal(got, want) {
		t.Errorf("the store holds\n\t%s\nthe broker\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func churn(b *Broker, addr string, rnd *rand.Rand) error {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	id := pick("x", "y", "z")
	var stream []byte
	for _, line := range []string{
		"CONNECT id=" + id + pick("", " clean") + pick("", " expiry=100", " expiry=100") + pick("", " will=w:bye:q1", " will=w:bye:q1:delay50"),
		"SUBSCRIBE id=1 f=t/" + pick("1", "2"),
		pick("PINGREQ", "PINGRESP", "DISCONNECT", "DISCONNECT code=4"),
	} {
		p, _, err := encodeLine(line, packet.V5)
		if err != nil {
			return err
		}
		stream = append(stream, p...)
	}
	_, _ = nc.Write(stream) // taken over meanwhile, perhaps
	if rnd.IntN(3) == 0 {
		b.Kick("", id, packet.AdministrativeAction, "", "test")
	}
	_ = nc.(*net.TCPConn).CloseWrite()
	_ = nc.SetReadDeadline(time.Now().Add(wirePatience))
	if _, err := io.Copy(io.Discard, nc); err != nil && !isReset(err) {
		return fmt.Errorf("not closed: %w", err)
	}
	return nil
}

// TestReturnDuringTheEnd: a client that is back while the hooks are still told
// of its old connection's end gets a new session where the old one had no
// expiry, and does not wait; another user gets it too.
func TestReturnDuringTheEnd(t *testing.T) {
	for _, again := range []string{"id=a user=u", "id=a user=other"} {
		t.Run(again, func(t *testing.T) {
			var release chan struct{}
			told := 0
			bubble(t, wireOptions(), func(s *stage) {
				release = make(chan struct{}) // the bubble's own
				p := s.connect("id=a user=u")
				p.send("SUBSCRIBE id=1 f=t")
				p.expect("SUBACK id=1 codes=0")
				p.drop()
				q := s.dial()
				q.send("CONNECT " + again)
				q.expect("CONNACK")
				close(release)
				q.send("PUBLISH topic=t q=1 id=1")
				q.expect("PUBACK id=1 code=0x10")
				if told != 1 || s.b.metrics.Connected.Load() != 1 || s.b.sessions.count.Load() != 1 {
					t.Errorf("told %d times, %d connected, %d sessions", told, s.b.metrics.Connected.Load(), s.b.sessions.count.Load())
				}
				told = -1
			}, disconnectedFunc(func(*DisconnectedEvent) {
				if told == 0 {
					<-release
				}
				told++
			}))
		})
	}
}

// TestDueWillOnReturn: a will whose delay has passed is sent, also when the
// client is back before the timer has run (3.1.3.2.2).
func TestDueWillOnReturn(t *testing.T) {
	d := new(diary)
	bubble(t, wireOptions(), func(s *stage) {
		s.connect("id=a expiry=100 will=w:bye:q1:delay5").drop()
		sess := s.b.sessions.find("", "a")
		sess.mu.Lock()
		sess.stopClockLocked()
		sess.mu.Unlock()
		time.Sleep(5 * time.Second)
		d.take()
		p := s.dial()
		p.send("CONNECT id=a expiry=100")
		p.expect("CONNACK present")
		want := []string{"connect a", "will a unspecified_error", "publish will w", "connected a"}
		if got := d.take(); !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}, d)
}

// TestNothingAfterTheTakeover: what a connection sends after it was taken over
// is not handled, while its socket is still open [MQTT-3.14.4-1].
func TestNothingAfterTheTakeover(t *testing.T) {
	bubble(t, wireOptions(), func(s *stage) {
		w := s.subscriber("clean id=w", "t")
		ours, theirs := net.Pipe() // nobody reads what comes
		s.l.conns <- theirs
		connect, _, _ := encodeLine("CONNECT clean id=a", packet.V5)
		_, _ = ours.Write(connect)
		synctest.Wait()
		s.connect("clean id=a")
		publish, _, _ := encodeLine("PUBLISH topic=t payload=late", packet.V5)
		if _, err := ours.Write(publish); err != nil {
			t.Fatal(err)
		}
		w.expect()
		time.Sleep(s.b.o.WriteTimeout + s.b.o.ShutdownTimeout)
		if _, err := ours.Write(publish); err == nil {
			t.Error("the socket is still open")
		}
	})
}

// TestKickText: a text that no reason string can hold is made to fit.
func TestKickText(t *testing.T) {
	bubble(t, wireOptions(), func(s *stage) {
		p := s.connect("clean id=a")
		s.b.Kick("", "a", packet.AdministrativeAction, "no\x00\xff", "test")
		p.expect(`DISCONNECT code=0x98 reason="no??"`)
		p = s.connect("clean id=a")
		s.b.Kick("", "a", packet.AdministrativeAction, strings.Repeat("x", 100_000), "test")
		p.expect("DISCONNECT code=0x98 reason=*")
	})
}

// TestShutdownHeldUp: a hook that does not return holds Shutdown up no longer
// than its context and the time for last packets.
func TestShutdownHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := newStage(t, wireOptions(), publishFunc(func(*PublishEvent) Decision { <-release; return Decision{} }))
		p := s.connect("clean id=a")
		p.send("PUBLISH topic=t q=1 id=1")
		synctest.Wait()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err := s.b.Shutdown(ctx)
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != 10*time.Second+s.b.o.ShutdownTimeout {
			t.Errorf("after %v: %v", took, err)
		}
		close(release)
		synctest.Wait()
	})
}

// flakyListener fails before it accepts.
type flakyListener struct {
	*pipeListener
	mu       sync.Mutex
	failures int
}

func (l *flakyListener) Accept() (net.Conn, error) {
	l.mu.Lock()
	fails := l.failures > 0
	l.failures--
	l.mu.Unlock()
	if fails {
		return nil, errors.New("too many open files")
	}
	return l.pipeListener.Accept()
}

// TestAcceptFails: a listener that cannot accept for a while is tried again,
// ever more seldom, up to once a second.
func TestAcceptFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := New(wireOptions())
		if err != nil {
			t.Fatal(err)
		}
		l := &flakyListener{pipeListener: newPipeListener(), failures: 10}
		s := &stage{t: t, b: b, l: l.pipeListener}
		defer s.end()
		start := time.Now()
		go b.Serve(Listener{Name: "flaky", Net: l})
		s.connect("clean id=a") // is taken when Accept goes
		// 5 ms, doubled seven times, then twice a second
		if took, want := time.Since(start), (5+10+20+40+80+160+320+640+1000+1000)*time.Millisecond; took != want {
			t.Errorf("accepting again after %v, want %v", took, want)
		}
	})
}

// TestWillHooks: a will meets the will hooks, is validated again, and meets the
// publish hooks with its own origin.
func TestWillHooks(t *testing.T) {
	for _, c := range []struct {
		name    string
		will    willFunc
		publish publishFunc
		want    []string // what a subscriber of # gets
		lost    Cause
	}{
		{"pass", nil, nil, []string{"PUBLISH topic=w payload=bye q=1 id=1"}, ""},
		{"rewritten", func(ev *WillEvent) Decision {
			ev.Message.Topic, ev.Message.Payload = "status", []byte(ev.Reason.String())
			return Decision{}
		}, nil, []string{"PUBLISH topic=status payload=unspecified_error q=1 id=1"}, ""},
		{"dropped", func(*WillEvent) Decision { return Decision{Verdict: Drop} }, nil, nil, CauseScript},
		{"denied", func(*WillEvent) Decision { return Decision{Verdict: Deny} }, nil, nil, CauseScript},
		{"panic", func(*WillEvent) Decision { panic("test") }, nil, nil, CauseScript},
		{"made invalid", func(ev *WillEvent) Decision { ev.Message.Topic = "a/+"; return Decision{} }, nil, nil, CauseScript},
		{"sent to the broker's topics", func(ev *WillEvent) Decision { ev.Message.Topic = "$SYS/x"; return Decision{} }, nil, nil, CauseACL},
		{"denied as a publish", nil, func(ev *PublishEvent) Decision {
			if ev.Message.Origin == OriginWill && ev.Client.ID == "a" {
				return Decision{Verdict: Deny}
			}
			return Decision{}
		}, nil, CauseScript},
		{"dropped as a publish", nil, func(*PublishEvent) Decision { return Decision{Verdict: Drop} }, nil, CauseScript},
	} {
		t.Run(c.name, func(t *testing.T) {
			var hooks []any
			if c.will != nil {
				hooks = append(hooks, c.will)
			}
			if c.publish != nil {
				hooks = append(hooks, c.publish)
			}
			bubble(t, wireOptions(), func(s *stage) {
				w := s.subscriber("clean id=w", "#:q2")
				s.connect("clean id=a will=w:bye:q1").drop()
				w.expect(c.want...)
				if got := s.b.metrics.WillsSent.Load(); got != int64(len(c.want)) {
					t.Errorf("%d wills counted, want %d", got, len(c.want))
				}
				for _, cause := range []Cause{CauseScript, CauseACL} {
					want := int64(0)
					if cause == c.lost {
						want = 1
					}
					if got := s.b.metrics.Dropped.Get(cause); got != want {
						t.Errorf("%d lost as %s, want %d", got, cause, want)
					}
				}
			}, hooks...)
		})
	}
}

// TestVars: the bounds of a session's variables.
func TestVars(t *testing.T) {
	var v Vars
	for _, bad := range []any{1, []byte("x"), strings.Repeat("x", MaxVarBytes+1)} {
		if err := v.Set("k", bad); err == nil {
			t.Errorf("%T was taken", bad)
		}
	}
	if err := v.Set(strings.Repeat("k", MaxVarBytes+1), true); err == nil {
		t.Error("a name that is too long was taken")
	}
	for i := range MaxVars {
		if err := v.Set(fmt.Sprint(i), float64(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Set("one more", true); err == nil {
		t.Error("one too many was taken")
	}
	if err := v.Set("0", "changed"); err != nil || v.Get("0") != "changed" {
		t.Errorf("a full table does not change: %v", err)
	}
	if err := v.Set("0", nil); err != nil || v.Get("0") != nil || len(v.All()) != MaxVars-1 {
		t.Errorf("not removed: %v", err)
	}
	w := Vars{}
	w.merge(&v)
	w.merge(nil)
	w.merge(&w)
	if len(w.All()) != MaxVars-1 {
		t.Errorf("merged %d", len(w.All()))
	}
}

// TestBrokenStore: what a store hands out is not trusted blindly.
func TestBrokenStore(t *testing.T) {
	for name, ops := range map[string][]Op{
		"a session without a name":   {{Kind: PutSession, Session: "a", Client: &StoredClient{}}},
		"a session without a client": {{Kind: PutSession, Session: "\x00a"}},
	} {
		o := wireOptions()
		o.Store = opsStore{NewMemoryStore(), ops}
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	o := wireOptions()
	o.Store = opsStore{NewMemoryStore(), []Op{{Kind: PutSubscription, Session: "\x00a", Subscription: &StoredSubscription{Requested: "t", Filter: "t"}}}}
	b, err := New(o)
	if err != nil {
		t.Fatalf("a subscription without its session: %v", err)
	}
	if b.sessions.count.Load() != 0 || b.metrics.Subscriptions.Load() != 0 {
		t.Error("made of nothing")
	}
}

// TestWillProperties: a will has the properties of a PUBLISH, in order
// (3.1.3.2, [MQTT-3.1.3-10]).
func TestWillProperties(t *testing.T) {
	bubble(t, wireOptions(), func(s *stage) {
		w := s.subscriber("clean id=w", "w:q2")
		in := packet.Connect{Version: packet.V5, CleanStart: true, ClientID: "a", HasWill: true, Will: packet.Will{Topic: "w", Payload: []byte("bye"), QoS: 2}}
		pr := &in.Will.Props
		for _, id := range []packet.PropertyID{packet.PayloadFormat, packet.MessageExpiry, packet.ContentType, packet.ResponseTopic, packet.CorrelationData} {
			pr.Set(id)
		}
		pr.PayloadFormat, pr.MessageExpiry, pr.ContentType, pr.ResponseTopic, pr.CorrelationData = 1, 30, "text", "re", []byte{0, 1}
		pr.User = []packet.UserProperty{{Key: "k", Value: "2"}, {Key: "k", Value: "1"}}
		p := s.dial()
		_, _ = p.net.Write(in.Append(nil))
		p.expect("CONNACK")
		p.drop()
		w.expect(`PUBLISH topic=w payload=bye q=2 id=1 format=1 msgexpiry=30 ctype=text resptopic=re corr="\x00\x01" up=k:2 up=k:1`)
	})
}

// opsStore hands out what it is given.
type opsStore struct {
	*MemoryStore
	ops []Op
}

func (s opsStore) Load(fn func(Op) error) error {
	for _, op := range s.ops {
		if err := fn(op); err != nil {
			return err
		}
	}
	return nil
}

// TestStoredIdentifierTwice: of two stored messages in flight under one
// identifier, for the end of the first could not be stored, both are delivered
// and one is counted once.
func TestStoredIdentifierTwice(t *testing.T) {
	name := sessionName("", "a")
	put := func(seq uint64) Op {
		m := &Message{Topic: "t", Payload: []byte{'0' + byte(seq)}, QoS: 1}
		return Op{Kind: PutMessage, Session: name, Seq: seq, Queued: StoredMessage{Message: m, QoS: 1, Filter: "t"}}
	}
	o := wireOptions()
	o.Store = opsStore{NewMemoryStore(), []Op{
		{Kind: PutSession, Session: name, Client: &StoredClient{Client: Client{ID: "a"}, Expiry: 100}},
		put(1), {Kind: PutInflight, Session: name, Seq: 1, ID: 1},
		put(2), {Kind: PutInflight, Session: name, Seq: 2, ID: 1},
		put(3), {Kind: PutInflight, Session: name, Seq: 3},
	}}
	bubble(t, o, func(s *stage) {
		a := s.resume("id=a expiry=100", "PUBLISH topic=t payload=1 q=1 id=1 dup", "PUBLISH topic=t payload=2 q=1 id=2", "PUBLISH topic=t payload=3 q=1 id=3")
		for id := range 3 {
			a.send(fmt.Sprintf("PUBACK id=%d", id+1))
		}
		a.expect()
		if n := s.b.queuedBytes.Load(); n != 0 {
			t.Errorf("%d bytes are counted as waiting", n)
		}
	})
}
