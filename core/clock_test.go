package core

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lunamq/core/packet"
)

// TestKeepAlive: one and a half times the agreed keep alive without a packet
// ends the connection, not sooner and not later [MQTT-3.1.2-22].
func TestKeepAlive(t *testing.T) {
	for _, c := range []struct {
		name, connect string
		option        string
		silence       time.Duration // after which the connection ends; 0 never
		v5            bool
	}{
		{"MQTT 5", "v5 clean id=a ka=10", "", 15 * time.Second, true},
		{"3.1.1", "v311 clean id=a ka=10", "", 15 * time.Second, false},
		{"one second", "v5 clean id=a ka=1", "", 1500 * time.Millisecond, true},
		{"none", "v5 clean id=a", "", 0, true},
		{"the server's", "v5 clean id=a ka=1000", "ServerKeepAlive=20", 30 * time.Second, true},
		{"the server's is not for 3.1.1", "v311 clean id=a", "ServerKeepAlive=20", 0, false},
		{"the maximum", "v5 clean id=a", "MaxKeepAlive=40", 60 * time.Second, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := wireOptions()
				if c.option != "" {
					if err := setOption(&o, c.option); err != nil {
						t.Fatal(err)
					}
				}
				s := newStage(t, o)
				defer s.end()
				p := s.connect(c.connect)
				if c.silence == 0 {
					time.Sleep(100 * time.Hour)
					p.send("PINGREQ")
					p.expect("PINGRESP")
					return
				}
				for range 3 { // a packet begins the time anew
					time.Sleep(c.silence - time.Millisecond)
					p.send("PINGREQ")
					p.expect("PINGRESP")
				}
				time.Sleep(c.silence - time.Millisecond)
				p.expect()
				time.Sleep(time.Millisecond)
				if c.v5 {
					p.expect("DISCONNECT code=0x8D reason=*")
				}
				if !p.isClosed() {
					t.Error("not closed")
				}
			})
		})
	}
}

// TestKeepAliveLargePacket: a large packet on a slow line is a sign of life,
// one that comes byte by byte is not.
func TestKeepAliveLargePacket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, wireOptions())
		defer s.end()
		big := "PUBLISH q=1 id=1 topic=t payload=" + strings.Repeat("x", 20_000)
		p := s.connect("clean id=a ka=10")
		b, _, err := encodeLine(big, p.version)
		if err != nil {
			t.Fatal(err)
		}
		for part := range slices.Chunk(b, 1000) {
			_, _ = p.net.Write(part)
			time.Sleep(14 * time.Second)
		}
		p.expect("PUBACK id=1 code=0x10")

		p = s.connect("clean id=b ka=10")
		for i := range 30 {
			_, _ = p.net.Write(b[i : i+1])
			time.Sleep(time.Second)
		}
		p.expect("DISCONNECT code=0x8D reason=*")
	})
}

// TestKeepAliveHeldUp: a client whose packet is with a hook that waits is not
// taken for silent.
func TestKeepAliveHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, wireOptions(), publishFunc(func(*PublishEvent) Decision {
			time.Sleep(40 * time.Second)
			return Decision{}
		}))
		defer s.end()
		p := s.connect("clean id=a ka=10")
		p.send("PUBLISH topic=t q=1 id=1")
		time.Sleep(41 * time.Second)
		p.expect("PUBACK id=1 code=0x10")
		time.Sleep(16 * time.Second)
		p.expect("DISCONNECT code=0x8D reason=*")
	})
}

// TestKeepAliveLateStore: neither is one that is not read from because the store
// is late.
func TestKeepAliveLateStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 5
		h := &heldStore{MemoryStore: NewMemoryStore()}
		o := wireOptions()
		o.Store, o.Listener.ReceiveMaximum = h, n
		s := newStage(t, o)
		defer s.end()
		s.subscriber("id=keeper expiry=1000", "kept:q1").drop()
		p := s.connect("clean id=a ka=10")
		h.hold(true)
		places := make([]int, n+1)
		for i := range places {
			p.send(fmt.Sprintf("PUBLISH topic=kept q=1 id=%d", i+1))
			places[i] = i
		}
		go p.net.Write((&packet.Pingreq{}).Append(nil, p.version))
		time.Sleep(40 * time.Second)
		h.let(t, places...)
		if got := p.packets(); len(got) != n+2 {
			t.Errorf("%d answers, want %d", len(got), n+2)
		}
		time.Sleep(16 * time.Second)
		p.expect("DISCONNECT code=0x8D reason=*")
		h.hold(false)
	})
}

type publishFunc func(*PublishEvent) Decision

func (f publishFunc) OnPublish(ev *PublishEvent) Decision { return f(ev) }

// TestHandshakeDeadline: one deadline for all of the handshake, whatever has
// come by then (3.1: "reasonable amount of time").
func TestHandshakeDeadline(t *testing.T) {
	connect, _, _ := encodeLine("CONNECT clean id=a", 5)
	for _, c := range []struct {
		name string
		sent int // bytes of the CONNECT
		slow bool
	}{
		{"nothing", 0, false}, {"one byte", 1, false}, {"half a packet", len(connect) / 2, false}, {"byte by byte", len(connect), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := wireOptions()
				o.HandshakeTimeout = 10 * time.Second
				s := newStage(t, o)
				defer s.end()
				p := s.dial()
				for i := range c.sent {
					_, _ = p.net.Write(connect[i : i+1])
					if c.slow {
						time.Sleep(time.Second)
					}
				}
				if !c.slow {
					time.Sleep(10*time.Second - time.Millisecond)
					if p.isClosed() {
						t.Fatal("closed too early")
					}
					time.Sleep(time.Millisecond)
				}
				p.expect()
				if !p.isClosed() || s.b.metrics.Connections.Load() != 0 || s.b.pending.Load() != 0 {
					t.Errorf("closed %v, %d connections, %d in the handshake", p.isClosed(), s.b.metrics.Connections.Load(), s.b.pending.Load())
				}
			})
		})
	}
}

// TestSilentCrowd: connections that send nothing take up the handshake's
// places, and only until its deadline.
func TestSilentCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wireOptions()
		o.MaxPending, o.HandshakeTimeout = 1000, 10*time.Second
		s := newStage(t, o)
		defer s.end()
		early := s.connect("clean id=early")
		crowd := make([]*peer, 1000)
		for i := range crowd {
			crowd[i] = s.dial()
		}
		synctest.Wait()
		if n := s.b.pending.Load(); n != 1000 {
			t.Fatalf("%d in the handshake", n)
		}
		late := s.dial()
		if !late.isClosed() || s.b.metrics.Refused.Load() != 1 {
			t.Error("one more than the handshake has places for was not refused")
		}
		early.send("PINGREQ")
		early.expect("PINGRESP")
		time.Sleep(10 * time.Second)
		for _, p := range crowd {
			if !p.isClosed() {
				t.Fatal("one of the crowd is still there")
			}
		}
		s.connect("clean id=late")
	})
}

// TestTooManyConnections: beyond the bound, for all and for one listener,
// connections are closed at once.
func TestTooManyConnections(t *testing.T) {
	for _, option := range []string{"MaxConnections", "Listener.MaxConnections"} {
		t.Run(option, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := wireOptions()
				if option == "MaxConnections" {
					o.MaxConnections = 2
				} else {
					o.Listener.MaxConnections = 2
				}
				s := newStage(t, o)
				defer s.end()
				a := s.connect("clean id=a")
				s.connect("clean id=b")
				if c := s.dial(); !c.isClosed() {
					t.Error("the third was not refused")
				}
				a.send("DISCONNECT")
				synctest.Wait()
				s.connect("clean id=c")
			})
		})
	}
}

// TestSessionExpiry: a session lives as long after its connection as was
// agreed (3.1.2.11.2), and no longer.
func TestSessionExpiry(t *testing.T) {
	for _, c := range []struct {
		name, connect, disconnect string
		options                   string
		lives                     time.Duration // 0: it ends with the connection
	}{
		{"by CONNECT", "id=a expiry=10", "DISCONNECT", "", 10 * time.Second},
		{"none", "id=a", "DISCONNECT", "", 0},
		{"lowered by DISCONNECT", "id=a expiry=10", "DISCONNECT expiry=5", "", 5 * time.Second},
		{"raised by DISCONNECT", "id=a expiry=10", "DISCONNECT expiry=50", "", 50 * time.Second},
		{"ended by DISCONNECT", "id=a expiry=10", "DISCONNECT expiry=0", "", 0},
		{"at most the maximum", "id=a expiry=1000", "DISCONNECT", "MaxSessionExpiry=1m", time.Minute},
		{"raised above the maximum", "id=a expiry=10", "DISCONNECT expiry=1000", "MaxSessionExpiry=1m", time.Minute},
		{"3.1.1", "v311 id=a", "DISCONNECT", "SessionExpiryV3=1h", time.Hour},
		{"3.1", "v31 id=a", "DISCONNECT", "SessionExpiryV3=1h", time.Hour},
		{"3.1.1 with clean session", "v311 id=a clean", "DISCONNECT", "SessionExpiryV3=1h", 0},
		{"3.1.1, at most the maximum", "v311 id=a", "DISCONNECT", "SessionExpiryV3=1h MaxSessionExpiry=1m", time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := wireOptions()
				for _, option := range strings.Fields(c.options) {
					if err := setOption(&o, option); err != nil {
						t.Fatal(err)
					}
				}
				s := newStage(t, o)
				defer s.end()
				p := s.connect(c.connect)
				p.send(c.disconnect)
				synctest.Wait()
				if c.lives > 0 {
					time.Sleep(c.lives - time.Millisecond)
					synctest.Wait()
					if s.b.sessions.count.Load() != 1 {
						t.Fatal("the session has ended too early")
					}
					time.Sleep(time.Millisecond)
					synctest.Wait()
				}
				if n := s.b.sessions.count.Load(); n != 0 {
					t.Errorf("%d sessions are left", n)
				}
			})
		})
	}
}

// TestSessionNeverExpires: 0xFFFFFFFF is never (3.1.2.11.2).
func TestSessionNeverExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wireOptions()
		o.MaxSessionExpiry = Unlimited * time.Second
		s := newStage(t, o)
		defer s.end()
		s.connect("id=a expiry=4294967295").send("DISCONNECT")
		time.Sleep(200 * 365 * 24 * time.Hour)
		p := s.dial()
		p.send("CONNECT id=a")
		p.expect("CONNACK present")
	})
}

// TestTakeoverOrder: connect (new), will and its publish (old), disconnected
// (old), CONNACK, connected (new).
func TestTakeoverOrder(t *testing.T) {
	for _, how := range []string{"", " clean"} {
		t.Run("CONNECT"+how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := new(diary)
				s := newStage(t, wireOptions(), d)
				defer s.end()
				old := s.connect("id=a expiry=10 will=w:bye")
				d.take()
				s.connect("id=a" + how)
				want := []string{
					"connect a", "will a session_taken_over", "publish will w",
					`disconnected a session_taken_over by takeover will "sent"`, "connected a",
				}
				if got := d.take(); !slices.Equal(got, want) {
					t.Errorf("got  %q\nwant %q", got, want)
				}
				old.packets()
				if !old.isClosed() {
					t.Error("the old connection is still there")
				}
			})
		})
	}
}

// TestTakeoverStorm: of many connections with one identifier at once, one has
// the session at the end, and every other was told.
func TestTakeoverStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(diary)
		s := newStage(t, wireOptions(), d)
		defer s.end()
		const n = 50
		peers := make([]*peer, n)
		for i := range peers {
			peers[i] = s.dial()
		}
		connect, _, _ := encodeLine("CONNECT clean id=a", 5)
		for _, p := range peers {
			go p.net.Write(connect)
		}
		synctest.Wait()
		open := 0
		for _, p := range peers {
			got := p.packets()
			switch {
			case !p.isClosed():
				open++
				if len(got) != 1 {
					t.Errorf("the last one got %d packets", len(got))
				}
			case len(got) != 2 || got[1][2] != 0x8E:
				t.Errorf("one that was taken over got % x", got)
			}
		}
		if open != 1 || s.b.metrics.Connected.Load() != 1 || s.b.sessions.count.Load() != 1 {
			t.Errorf("%d open, %d connected, %d sessions", open, s.b.metrics.Connected.Load(), s.b.sessions.count.Load())
		}
		ended := 0
		for _, e := range d.take() {
			if strings.HasPrefix(e, "disconnected a session_taken_over by takeover") {
				ended++
			}
		}
		if ended != n-1 {
			t.Errorf("told of %d ends, want %d", ended, n-1)
		}
	})
}

// TestShutdown: no new connections, 0x8B to every client of MQTT 5, then the
// wills (4.13, table 2-6).
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(diary)
		o := wireOptions()
		o.Store = NewMemoryStore()
		s := newStage(t, o, d)
		five := s.connect("id=five expiry=10 will=w:bye:q1")
		three := s.connect("v311 clean id=three will=w:bye")
		delayed := s.connect("id=delayed expiry=10 will=w:late:q1:delay5")
		silent := s.dial()
		d.take()
		s.end()
		five.expect("DISCONNECT code=0x8B reason=*")
		three.expect()
		delayed.expect("DISCONNECT code=0x8B reason=*")
		for _, p := range []*peer{five, three, delayed, silent} {
			if !p.isClosed() {
				t.Error("a connection is still there")
			}
		}
		wills := map[string]int{}
		for _, e := range d.take() {
			if strings.HasPrefix(e, "will ") {
				wills[e]++
			}
		}
		want := map[string]int{"will five server_shutting_down": 1, "will three server_shutting_down": 1, "will delayed server_shutting_down": 1}
		if fmt.Sprint(wills) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", wills, want)
		}
		if err := s.b.Serve(Listener{Name: "late", Net: newPipeListener()}); err != ErrClosed {
			t.Errorf("Serve after Shutdown: %v", err)
		}
	})
}

// TestClose: at once, without wills.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(diary)
		s := newStage(t, wireOptions(), d)
		p := s.connect("id=a expiry=10 will=w:bye")
		q := s.connect("id=b expiry=10 will=w:bye:q0:delay5")
		q.drop()
		d.take()
		if err := s.b.Close(); err != nil {
			t.Error(err)
		}
		p.expect()
		if !p.isClosed() {
			t.Error("not closed")
		}
		time.Sleep(time.Minute)
		for _, e := range d.take() {
			if strings.HasPrefix(e, "will") {
				t.Errorf("sent: %s", e)
			}
		}
	})
}

// TestWillValidity: the message expiry of a will begins when it is published
// (3.1.3.2.4).
func TestWillValidity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, wireOptions())
		defer s.end()
		w := s.connect("id=w expiry=1000")
		w.send("SUBSCRIBE id=1 f=w:q1")
		w.expect("SUBACK id=1 codes=1")
		w.send("DISCONNECT")
		a := s.connect("id=a expiry=1000 will=w:bye:q1:delay30:expiry10")
		a.drop()
		time.Sleep(34 * time.Second) // 30 for the delay
		w = s.dial()
		w.send("CONNECT id=w expiry=1000")
		w.expect("CONNACK present", "PUBLISH topic=w payload=bye q=1 id=1 msgexpiry=6")
		w.send("PUBACK id=1")
		w.send("DISCONNECT")
		a = s.connect("id=a expiry=1000 will=w:bye:q1:expiry10")
		a.drop()
		time.Sleep(11 * time.Second)
		w = s.dial()
		w.send("CONNECT id=w expiry=1000")
		w.expect("CONNACK present")
	})
}
