package e2e

import (
	"fmt"
	"testing"

	"lunamq/core/packet"
)

// resumer is a receiver whose session outlives its connections: it knows which
// QoS 2 identifiers it has acknowledged and awaits PUBREL of.
type resumer struct {
	*receiver
	held map[uint16]bool // owned by the reader
}

// resume connects to the session, which must be there but for the first time.
func (r *resumer) resume(t *testing.T, addr string, present bool) {
	t.Helper()
	s := openSocket(t, addr)
	c := packet.Connect{Version: packet.V5, ClientID: "resumer"}
	c.Props.Set(packet.SessionExpiry)
	c.Props.SessionExpiry = 3600
	s.send(c.Append(nil))
	var ack packet.Connack
	s.expect(packet.CONNACK, &ack)
	if ack.Code != packet.Success || ack.SessionPresent != present {
		t.Fatalf("CONNACK %s, session present %t", ack.Code, ack.SessionPresent)
	}
	r.socket = s
}

// run receives until the connection ends, which a resumer does itself.
func (r *resumer) run() {
	s := r.socket
	r.loops.Go(func() {
		for {
			h, b, err := s.read()
			if err != nil {
				return // a message that is missing is missed by the ledger
			}
			if h.Type == packet.PUBLISH && r.isAgain(h, b) {
				continue
			}
			if h.Type == packet.PUBREL {
				delete(r.held, uint16(b[0])<<8|uint16(b[1]))
			}
			if err := r.handle(h, b); err != nil {
				r.view.fail(err)
				return
			}
		}
	})
}

// isAgain acknowledges a message that has come before: it must have DUP
// [MQTT-3.3.1-1]. Of QoS 1 it may come while the broker has no PUBACK, of QoS 2
// only under an identifier that is held [MQTT-4.3.3-10].
func (r *resumer) isAgain(h packet.Header, b []byte) bool {
	var m packet.Publish
	if err := m.Decode(packet.V5, h, b); err != nil {
		return false // for handle to say
	}
	again := m.QoS == 1 && m.Dup && r.view.has(m.Payload)
	ack := packet.Ack{Type: packet.PUBACK, PacketID: m.PacketID}
	if m.QoS == 2 {
		again = m.Dup && r.held[m.PacketID]
		r.held[m.PacketID] = true
		ack.Type = packet.PUBREC
	}
	if again {
		r.socket.write(ack.Append(nil, packet.V5)) // of an error the next read tells
	}
	return again
}

// TestResume kills the connection of a receiver again and again while
// publishers of QoS 1 and 2 run at full speed, with a reload each time: of what
// was acknowledged to them it misses nothing, and has nothing of QoS 2 twice.
func TestResume(t *testing.T) {
	p := start(t, setup{config: roomy, rules: map[string]string{"10-any.lua": "-- none"}})
	addr, l := p.addr("local"), newLedger()
	stop := make(chan struct{})
	names := []string{"p0", "p1", "p2", "p3", "p4", "p5"}
	r := &resumer{held: make(map[uint16]bool)}
	r.receiver = &receiver{view: l.view("resumer", names...), loaders: make(map[string]*loader), again: true}
	r.resume(t, addr, false)
	r.socket.subscribe(2, "load/#", barrierTopic)
	var loaders []*loader
	for i, name := range names {
		one := newLoader(t, l, addr, name, packet.V311+packet.Version(i%2), byte(1+i/3), stop)
		r.paces(one)
		loaders = append(loaders, one)
	}
	r.run()
	for _, one := range loaders {
		one.run()
	}
	for i := range 10 {
		l.awaitMore(t, 50)
		p.reloaded(func() {
			p.write("rules/10-any.lua", fmt.Sprintf("-- %d\nmqtt.on('publish', 'load/#', function(msg) msg.qos = msg.qos end)\n", i))
			r.close()
			r.resume(t, addr, true)
			r.run()
		})
	}
	l.awaitMore(t, 50)
	close(stop)
	sent := make(map[string]int)
	for _, one := range loaders {
		if sent[one.name] = one.wait(); one.acked != one.sent {
			t.Errorf("%s: %d of %d messages acknowledged", one.name, one.acked, one.sent)
		}
	}
	connectSocket(t, addr, packet.V5, "last").publish(barrierTopic, []byte(barrierTopic))
	l.awaitAll(t, sent)
	r.close()
}
