package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eclipse/paho.golang/paho"

	"lunamq/core/packet"
)

const experiments = examples + "/experiments"

// experimentTests has a test for every rule of examples/scripts/experiments;
// each runs in the whole set.
var experimentTests = map[string]func(t *testing.T, p *program){
	"10-lose-puback.lua":   experimentLosePuback,
	"20-delay.lua":         experimentDelay,
	"30-duplicate.lua":     experimentDuplicate,
	"40-flip-property.lua": experimentFlip,
	"50-count.lua":         experimentCount,
	"60-reconnect.lua":     experimentReconnect,
}

func TestExperiments(t *testing.T) {
	dir, err := filepath.Abs(experiments)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.lua"))
	if err != nil {
		t.Fatal(err)
	}
	for name := range experimentTests {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("a test without its experiment: %v", err)
		}
	}
	p := start(t, setup{config: "[scripting]\npackets = true\n", scripts: dir})
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			test := experimentTests[name]
			if test == nil {
				t.Fatalf("%s has no test: write one", name)
			}
			test(t, p.on(t))
		})
	}
	t.Run("others are left alone", func(t *testing.T) { eachVersion(t, p.on(t), notExperimented) })
	t.Run("packets cut short", func(t *testing.T) { experimentCut(t, p.on(t)) })
	if strings.Contains(p.said.text(), "level=ERROR") {
		t.Error("an experiment failed: see the log")
	}
}

// notExperimented: what is neither a client "exp-…" nor a topic exp/… is as
// without the rules; a lost or doubled packet would be seen in the order.
func notExperimented(t *testing.T, p *program, v packet.Version) {
	c := p.connect(login{version: v})
	granted(t, c, "#", 2)
	for qos := range byte(3) {
		for range 7 {
			m := message{topic: "plain/exp/twice", payload: "untouched", qos: qos}
			published(t, c, m)
			expect(t, c, m.String())
		}
	}
}

// publish1 is a PUBLISH of QoS 1.
func publish1(v packet.Version, id uint16, topic, payload string, dup bool) []byte {
	return (&packet.Publish{Topic: topic, QoS: 1, PacketID: id, Dup: dup, Payload: []byte(payload)}).Append(nil, v)
}

// wantAcks wants the acknowledgements of these messages next.
func (s *socket) wantAcks(ids ...uint16) {
	s.t.Helper()
	for _, id := range ids {
		var ack packet.Ack
		s.expect(packet.PUBACK, &ack)
		if ack.PacketID != id {
			s.t.Fatalf("PUBACK of %d, want that of %d", ack.PacketID, id)
		}
	}
}

func experimentLosePuback(t *testing.T, p *program) {
	eachVersion(t, p, func(t *testing.T, p *program, v packet.Version) {
		watch := p.connect(login{})
		granted(t, watch, "home/lost", 1)
		s := connectSocket(t, p.addr("local"), v, "exp-lose-"+v.String())
		letters := []string{"a", "b", "c", "d", "e", "f"}
		for i, m := range letters {
			s.send(publish1(v, uint16(i+1), "home/lost", m, false))
		}
		s.wantAcks(1, 2, 4, 5)
		s.ping() // and no other before its answer
		for _, m := range letters {
			expect(t, watch, "home/lost "+m+" q1")
		}
		s.send(publish1(v, 3, "home/lost", "c", true))
		s.send(publish1(v, 6, "home/lost", "f", true))
		s.wantAcks(3, 6)
		expect(t, watch, "home/lost c q1", "home/lost f q1")
	})
}

func experimentDelay(t *testing.T, p *program) {
	eachVersion(t, p, func(t *testing.T, p *program, v packet.Version) {
		s := connectSocket(t, p.addr("local"), v, "delay"+v.String())
		watch := p.connect(login{version: v})
		granted(t, watch, "exp/delay/#", 1)
		granted(t, watch, "home/"+v.String(), 1)
		s.send(publish1(v, 1, "exp/delay/3600/x", "in an hour", false))
		s.send(publish1(v, 2, "exp/delay/0.05/x", "soon", false))
		s.wantAcks(2) // it has overtaken the first
		expect(t, watch, "exp/delay/0.05/x soon q1")
		s.send(publish1(v, 3, "home/"+v.String(), "at once", false))
		s.wantAcks(3)
		s.ping()
		expect(t, watch, "home/"+v.String()+" at once q1")
	})
}

func experimentDuplicate(t *testing.T, p *program) {
	eachVersion(t, p, func(t *testing.T, p *program, v packet.Version) {
		c := p.connect(login{version: v})
		granted(t, c, "exp/twice/#", 2)
		for range 3 {
			published(t, c, message{topic: "exp/twice/x", payload: "y", qos: 1})
			expect(t, c, "exp/twice/x y q1", "exp/twice/x y q1")
			for _, qos := range []byte{0, 2} { // a third of QoS 1 would come before
				m := message{topic: "exp/twice/x", payload: "once", qos: qos}
				published(t, c, m)
				expect(t, c, m.String())
			}
		}
		s := connectSocket(t, p.addr("local"), v, "twice"+v.String())
		s.subscribe(1, "exp/twice/#")
		published(t, c, message{topic: "exp/twice/x", payload: "z", qos: 1})
		if first, second := s.message(), s.message(); first.PacketID == 0 || first.PacketID != second.PacketID {
			t.Errorf("packet identifiers %d and %d", first.PacketID, second.PacketID)
		}
		s.ping() // the second PUBACK does no harm
	})
}

func experimentFlip(t *testing.T, p *program) {
	c := p.connect5(login{})
	granted(t, c, "exp/flip/#", 1)
	for format := range byte(2) {
		props := &paho.PublishProperties{
			PayloadFormat: ptr(format), ContentType: "text/plain", ResponseTopic: "answers", CorrelationData: []byte{1, 1},
			MessageExpiry: ptr[uint32](1000), User: paho.UserProperties{{Key: "a", Value: "b"}},
		}
		published(t, c, message{topic: "exp/flip/x", payload: "21", qos: 1, props: props})
		m := c.next()
		if m.String() != "exp/flip/x 21 q1" || m.props.PayloadFormat == nil || *m.props.PayloadFormat != 1-format {
			t.Fatalf("got %q with %+v, want format %d", m, m.props, 1-format)
		}
		if m.props.ContentType != "text/plain" || m.user("a") != "b" || m.props.ResponseTopic != "answers" {
			t.Errorf("other properties are %+v", m.props)
		}
	}
	eachVersion(t, p, func(t *testing.T, p *program, v packet.Version) {
		d := p.connect(login{version: v})
		for qos := range byte(3) {
			published(t, d, message{topic: "exp/flip/x", payload: "20", qos: qos})
			m := c.next()
			if m.payload != "21" {
				t.Errorf("20 of QoS %d became %q", qos, m)
			}
			published(t, d, message{topic: "exp/flip/x", payload: "a", qos: qos})
			published(t, d, message{topic: "exp/flip/x", qos: qos}) // nothing to flip
			if m := c.next(); m.payload != "`" {
				t.Errorf("a of QoS %d became %q", qos, m)
			}
			if m := c.next(); m.payload != "" {
				t.Errorf("an empty message became %q", m)
			}
		}
	})
}

// experimentCut: rules see packets before they are checked. None fails by one
// that ends too early, wherever that is; the broker refuses it as ever.
func experimentCut(t *testing.T, p *program) {
	m := packet.Publish{Topic: "exp/flip/x", QoS: 1, PacketID: 1}
	for _, id := range []packet.PropertyID{packet.PayloadFormat, packet.MessageExpiry, packet.ContentType, packet.ResponseTopic, packet.CorrelationData} {
		m.Props.Set(id)
	}
	m.Props.ContentType, m.Props.ResponseTopic, m.Props.CorrelationData = "text", "answers", []byte("1")
	m.Props.User = []packet.UserProperty{{Key: "a", Value: "b"}}
	whole := m.Append(nil, packet.V5)
	if len(whole) > 127 {
		t.Fatalf("%d bytes need a longer header", len(whole))
	}
	for n := 2; n < len(whole); n++ {
		s := connectSocket(t, p.addr("local"), packet.V5, "cut")
		s.send(append([]byte{whole[0], byte(n - 2)}, whole[2:n]...))
		var d packet.Disconnect
		s.expect(packet.DISCONNECT, &d)
		if d.Code != packet.MalformedPacket && d.Code != packet.ProtocolError {
			t.Errorf("%d bytes: %s", n, d.Code)
		}
	}
}

func experimentCount(t *testing.T, p *program) {
	watch := p.connect(login{})
	granted(t, watch, "exp/counts", 0)
	s := connectSocket(t, p.addr("local"), packet.V5, "exp-count-1")
	s.subscribe(0, "home/nothing")
	size := 0
	for range 2 {
		m := publish1(packet.V5, 1, "home/counted", "0123456789", false)
		size += len(m)
		s.send(m)
		s.wantAcks(1)
	}
	s.ping()
	type sum struct{ Packets, Bytes int }
	var got struct{ In, Out map[string]sum }
	if m := watch.next(); json.Unmarshal([]byte(m.payload), &got) != nil {
		t.Fatalf("got %q", m)
	}
	if want := (sum{2, size}); got.In["PUBLISH"] != want {
		t.Errorf("PUBLISH in: %v, want %v", got.In["PUBLISH"], want)
	}
	if want := (sum{1, 2}); got.In["PINGREQ"] != want {
		t.Errorf("PINGREQ in: %v, want %v", got.In["PINGREQ"], want)
	}
	if out := got.Out["PUBACK"]; out.Packets != 2 || out.Bytes < 8 {
		t.Errorf("PUBACK out: %v, want two of 4 bytes or more", out)
	}
	if got.Out["SUBACK"].Packets != 1 || got.In["SUBSCRIBE"].Packets != 1 {
		t.Errorf("in %v, out %v", got.In, got.Out)
	}
}

func experimentReconnect(t *testing.T, p *program) {
	watch := p.connect(login{})
	granted(t, watch, "home/again", 1)
	login := &packet.Connect{Version: packet.V5, ClientID: "exp-again-1"}
	login.Props.Set(packet.SessionExpiry)
	login.Props.SessionExpiry = never
	reconnect := func() *socket {
		s := openSocket(t, p.addr("local"))
		s.connect(login)
		return s
	}
	s := reconnect()
	for _, m := range []string{"a", "b", "c", "d", "e", "f"} {
		s.send(publish1(packet.V5, 1, "home/again", m, false))
		if m == "c" || m == "e" { // the third and the sixth, c being sent again
			var d packet.Disconnect
			s.expect(packet.DISCONNECT, &d)
			if d.Code != packet.AdministrativeAction {
				t.Errorf("DISCONNECT with %s", d.Code)
			}
			if rest := s.rest(); len(rest) > 0 {
				t.Errorf("after DISCONNECT came % x", rest)
			}
			s = reconnect()
			s.send(publish1(packet.V5, 1, "home/again", m, true))
		}
		s.wantAcks(1)
		expect(t, watch, "home/again "+m+" q1")
	}
	old := connectSocket(t, p.addr("local"), packet.V311, "exp-again-2")
	for range 3 {
		old.send(publish1(packet.V311, 1, "home/again", "old", false))
	}
	old.wantAcks(1, 1)
	if rest := old.rest(); len(rest) > 0 {
		t.Errorf("3.1.1 got % x", rest)
	}
}
