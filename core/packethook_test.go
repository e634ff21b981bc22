package core

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lunamq/core/packet"
)

type packetFunc func(*PacketEvent) Decision

func (f packetFunc) OnPacket(ev *PacketEvent) Decision { return f(ev) }

// tapped runs a test with a broker that shows its packets to a hook.
func tapped(t *testing.T, hook packetFunc, do func(s *stage)) {
	t.Helper()
	o := wireOptions()
	o.Packets = true
	o.Listener.MaxPacketSize = 4096
	bubble(t, o, do, hook)
}

// TestPacketsSeen: every packet in either direction, once, with whom it is of.
func TestPacketsSeen(t *testing.T) {
	for _, on := range []bool{false, true} {
		var d diary
		o := wireOptions()
		o.Packets = on
		bubble(t, o, func(s *stage) {
			a := s.subscriber("clean id=a", "t:q1")
			a.send("PUBLISH topic=t payload=x q=1 id=1")
			a.packets()
			a.send("PUBACK id=1")
			a.send("PINGREQ")
			a.packets()
			a.send("DISCONNECT")
			want := []string{"in  CONNECT", "out a CONNACK", "in a SUBSCRIBE", "out a SUBACK", "in a PUBLISH", "out a PUBLISH", "out a PUBACK", "in a PUBACK", "in a PINGREQ", "out a PINGRESP", "in a DISCONNECT"}
			if !on {
				want = nil
			}
			if got := d.take(); !slices.Equal(got, want) {
				t.Errorf("on %v: seen %q, want %q", on, got, want)
			}
		}, packetFunc(func(ev *PacketEvent) Decision {
			id := ""
			if ev.Client != nil {
				id = ev.Client.ID
			}
			d.note("%s %s %s", ev.Direction, id, ev.Type)
			return Decision{}
		}))
	}
}

// when makes a hook that acts on packets of one direction and type.
func when(d Direction, typ packet.Type, do packetFunc) packetFunc {
	return func(ev *PacketEvent) Decision {
		if ev.Direction == d && ev.Type == typ {
			return do(ev)
		}
		return Decision{}
	}
}

func TestPacketDrop(t *testing.T) {
	drop := func(*PacketEvent) Decision { return Decision{Verdict: Drop} }
	tapped(t, when(PacketIn, packet.PINGREQ, drop), func(s *stage) {
		a := s.connect("clean id=a")
		a.send("PINGREQ")
		a.expect()
	})
	tapped(t, when(PacketOut, packet.PUBACK, drop), func(s *stage) {
		a := s.connect("clean id=a")
		a.send("PUBLISH topic=t q=1 id=1")
		a.send("PINGREQ")
		a.expect("PINGRESP")
	})
	tapped(t, func(ev *PacketEvent) Decision { panic("packet") }, func(s *stage) {
		a := s.dial()
		a.send("CONNECT clean id=a")
		a.expect()
		if n := s.b.metrics.HookPanics.Load(); n != 1 {
			t.Errorf("%d panics", n)
		}
	})
}

func TestPacketDisconnect(t *testing.T) {
	out := func(*PacketEvent) Decision {
		return Decision{Verdict: Disconnect, Reason: packet.AdministrativeAction, Text: "enough"}
	}
	for _, hook := range []packetFunc{when(PacketIn, packet.PINGREQ, out), when(PacketOut, packet.PINGRESP, out)} {
		tapped(t, hook, func(s *stage) {
			a := s.connect("clean id=a")
			a.send("PINGREQ")
			a.expect("DISCONNECT code=0x98 reason=enough")
			if !a.isClosed() {
				t.Error("not closed")
			}
		})
	}
}

// TestPacketBytes: what a hook makes of a packet is handled, or sent, as it is.
func TestPacketBytes(t *testing.T) {
	replace := func(old, new string) packetFunc {
		return func(ev *PacketEvent) Decision {
			ev.Bytes = bytes.ReplaceAll(ev.Bytes, []byte(old), []byte(new))
			return Decision{}
		}
	}
	for _, c := range []struct {
		name string
		hook packetFunc
		want []string
	}{
		{"in", when(PacketIn, packet.PUBLISH, replace("x", "y")), []string{"PUBLISH topic=t payload=y"}},
		{"out", when(PacketOut, packet.PUBLISH, replace("x", "y")), []string{"PUBLISH topic=t payload=y"}},
		{"two of one", when(PacketIn, packet.PUBLISH, func(ev *PacketEvent) Decision {
			ev.Bytes = append(bytes.Clone(ev.Bytes), 0xC0, 0)
			return Decision{}
		}), []string{"PUBLISH topic=t payload=x", "PINGRESP"}},
		{"nothing left", when(PacketIn, packet.PUBLISH, func(ev *PacketEvent) Decision { ev.Bytes = nil; return Decision{} }), nil},
		{"cut short", when(PacketIn, packet.PUBLISH, func(ev *PacketEvent) Decision {
			ev.Bytes = ev.Bytes[:3]
			return Decision{}
		}), []string{"DISCONNECT code=0x81 reason=*"}},
		{"nonsense", when(PacketIn, packet.PUBLISH, func(ev *PacketEvent) Decision {
			ev.Bytes = []byte{0, 0}
			return Decision{}
		}), []string{"DISCONNECT code=0x81 reason=*"}},
		{"too large", when(PacketIn, packet.PUBLISH, func(ev *PacketEvent) Decision {
			ev.Bytes, _ = packet.AppendPublish(nil, packet.V5, &packet.Publish{Topic: "t", Payload: make([]byte, 8192)})
			return Decision{}
		}), []string{"DISCONNECT code=0x95 reason=*"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tapped(t, c.hook, func(s *stage) {
				a := s.subscriber("clean id=a", "t")
				a.send("PUBLISH topic=t payload=x")
				a.expect(c.want...)
			})
		})
	}
	tapped(t, when(PacketIn, packet.CONNECT, func(ev *PacketEvent) Decision { ev.Bytes = []byte{0xC0, 0}; return Decision{} }), func(s *stage) {
		a := s.dial()
		a.send("CONNECT clean id=a")
		a.expect()
		if !a.isClosed() {
			t.Error("a PINGREQ was taken for a CONNECT")
		}
	})
}

// delayed is a hook that holds back messages by the seconds in their payload.
func delayed(d Direction) packetFunc {
	return when(d, packet.PUBLISH, func(ev *PacketEvent) Decision {
		ev.Delay = time.Duration(ev.Bytes[len(ev.Bytes)-1]-'0') * time.Second
		return Decision{}
	})
}

// TestPacketDelay: what is delayed is overtaken, and what is delayed alike keeps
// its order.
func TestPacketDelay(t *testing.T) {
	for _, d := range []Direction{PacketIn, PacketOut} {
		tapped(t, delayed(d), func(s *stage) {
			a := s.subscriber("clean id=a", "#")
			for i, seconds := range []int{3, 1, 0, 1, 1} {
				a.send(fmt.Sprintf("PUBLISH topic=t%d payload=%d", i, seconds))
			}
			a.expect("PUBLISH topic=t2 payload=0")
			time.Sleep(time.Second - time.Millisecond)
			a.expect()
			time.Sleep(time.Millisecond)
			a.expect("PUBLISH topic=t1 payload=1", "PUBLISH topic=t3 payload=1", "PUBLISH topic=t4 payload=1")
			time.Sleep(2 * time.Second)
			a.expect("PUBLISH topic=t0 payload=3")
		})
	}
}

// TestPacketDelayedToTheEnd: what is still held when the connection ends is
// gone with it, in either direction.
func TestPacketDelayedToTheEnd(t *testing.T) {
	for _, d := range []Direction{PacketIn, PacketOut} {
		tapped(t, delayed(d), func(s *stage) {
			b := s.subscriber("clean id=b", "#")
			a := s.subscriber("clean id=a", "#")
			a.send("PUBLISH topic=t payload=5")
			synctest.Wait()
			a.send("DISCONNECT")
			a.expect()
			if !a.isClosed() {
				t.Error("not closed")
			}
			time.Sleep(time.Minute)
			if got := len(b.packets()); d == PacketIn && got != 0 || d == PacketOut && got != 1 {
				t.Errorf("%s: the other client got %d packets", d, got)
			}
		})
	}
}

// TestDelayedConnect: the whole of a connection may begin late.
func TestDelayedConnect(t *testing.T) {
	tapped(t, when(PacketIn, packet.CONNECT, func(ev *PacketEvent) Decision { ev.Delay = time.Second; return Decision{} }), func(s *stage) {
		a := s.dial()
		a.send("CONNECT clean id=a")
		a.expect()
		time.Sleep(time.Second)
		a.expect("CONNACK maxpacket=4096")
		a.send("PINGREQ")
		a.expect("PINGRESP")
		b := s.dial()
		b.send("CONNECT clean id=b auth=nobody")
		time.Sleep(time.Second)
		b.expect("CONNACK code=0x8C reason=*")
		if !b.isClosed() {
			t.Error("not closed")
		}
	})
}

func TestPacketCopies(t *testing.T) {
	for _, d := range []Direction{PacketIn, PacketOut} {
		tapped(t, when(d, packet.PUBLISH, func(ev *PacketEvent) Decision {
			ev.Copies = 2
			if strings.Contains(string(ev.Bytes), "late") {
				ev.Delay = time.Second
			}
			return Decision{}
		}), func(s *stage) {
			a := s.subscriber("clean id=a", "#")
			a.send("PUBLISH topic=t payload=x")
			a.expect("PUBLISH topic=t payload=x", "PUBLISH topic=t payload=x", "PUBLISH topic=t payload=x")
			a.send("PUBLISH topic=late")
			a.expect()
			time.Sleep(time.Second)
			a.expect("PUBLISH topic=late", "PUBLISH topic=late", "PUBLISH topic=late")
		})
	}
}

// TestPacketsAreBounded: what is held back and what is doubled of a connection.
func TestPacketsAreBounded(t *testing.T) {
	o := wireOptions()
	o.Packets = true
	o.OutboxBytes = 4096
	bubble(t, o, func(s *stage) {
		a := s.subscriber("clean id=a", "#")
		payload := strings.Repeat("x", 1000)
		for range 5 {
			a.send("PUBLISH topic=hold payload=" + payload)
			synctest.Wait() // else they are too many for the outbox
		}
		if n := len(a.packets()); n != 2 { // three are held, the others go at once
			t.Errorf("%d packets came at once", n)
		}
		time.Sleep(MaxPacketDelay)
		if n := len(a.packets()); n != 3 {
			t.Errorf("%d packets came late", n)
		}
		a.send("PUBLISH topic=copy payload=" + payload)
		if n := len(a.packets()); n != 1 {
			t.Errorf("%d packets, want one: its copies are too large", n)
		}
		a.send("PUBLISH topic=copy")
		if n := len(a.packets()); n != 1+MaxPacketCopies {
			t.Errorf("%d packets, want %d", n, 1+MaxPacketCopies)
		}
	}, when(PacketOut, packet.PUBLISH, func(ev *PacketEvent) Decision {
		if strings.Contains(string(ev.Bytes), "hold") {
			ev.Delay = 1000 * time.Hour
		} else {
			ev.Copies = 1000
		}
		return Decision{}
	}))
}

// TestSlowTapHoldsItsConnectionAlone: a hook that waits, waits for one client.
func TestSlowTapHoldsItsConnectionAlone(t *testing.T) {
	let := make(chan struct{})
	var once sync.Once
	synctest.Test(t, func(t *testing.T) {
		let = make(chan struct{})
		o := wireOptions()
		o.Packets = true
		s := newStage(t, o, packetFunc(func(ev *PacketEvent) Decision {
			if ev.Direction == PacketOut && ev.Client != nil && ev.Client.ID == "slow" && ev.Type == packet.PUBLISH {
				once.Do(func() { <-let })
			}
			return Decision{}
		}))
		defer s.end()
		slow, quick := s.subscriber("clean id=slow", "t"), s.subscriber("clean id=quick", "t")
		for i := range 3 {
			quick.send(fmt.Sprintf("PUBLISH topic=t payload=%d", i))
			quick.expect(fmt.Sprintf("PUBLISH topic=t payload=%d", i))
		}
		slow.expect()
		close(let)
		slow.expect("PUBLISH topic=t payload=0", "PUBLISH topic=t payload=1", "PUBLISH topic=t payload=2")
	})
}

// TestPacketEffects: what a hook queues happens, and is discarded with a refusal.
func TestPacketEffects(t *testing.T) {
	var b *Broker
	verdict := Drop
	tapped(t, when(PacketIn, packet.PINGREQ, func(ev *PacketEvent) Decision {
		ev.After(false, func() { _ = b.Publish(&ev.Turn, Message{Topic: "ping", Origin: OriginScript}, false) })
		return Decision{Verdict: verdict}
	}), func(s *stage) {
		b = s.b
		a := s.subscriber("clean id=a", "ping")
		a.send("PINGREQ")
		a.expect("PUBLISH topic=ping")
		verdict = Disconnect
		a.send("PINGREQ")
		a.expect("DISCONNECT code=0x87")
	})
}
