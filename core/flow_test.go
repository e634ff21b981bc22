package core

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lunamq/core/packet"
)

// tcpClient is a client over a real socket, whose buffers end.
type tcpClient struct {
	*wireConn
	t testing.TB
}

// serveTCP starts a broker on a socket of the loopback.
func serveTCP(t testing.TB, o Options) (*Broker, string) {
	t.Helper()
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	l := listenTCP(t)
	go b.Serve(Listener{Name: "test", Net: l})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), wirePatience)
		defer cancel()
		if err := b.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return b, l.Addr().String()
}

// dialTCP connects; line is the CONNECT's. More lines are sent, and each is
// answered by one packet.
func dialTCP(t testing.TB, addr, line string, more ...string) *tcpClient {
	t.Helper()
	w, err := netDial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.net.Close() })
	c := &tcpClient{w, t}
	for _, l := range append([]string{"CONNECT " + line}, more...) {
		c.send(l)
		c.next()
	}
	return c
}

func (c *tcpClient) send(line string) {
	c.t.Helper()
	p, v, err := encodeLine(line, c.version)
	if err != nil {
		c.t.Fatal(err)
	}
	c.version = v
	c.write(p)
}

func (c *tcpClient) write(p []byte) {
	c.t.Helper()
	c.net.SetWriteDeadline(time.Now().Add(wirePatience))
	if _, err := c.net.Write(p); err != nil {
		c.t.Error(err)
	}
}

// next returns the next packet.
func (c *tcpClient) next() []byte {
	c.t.Helper()
	p, err := c.read()
	if err != nil {
		c.t.Fatalf("nothing came: %v", err)
	}
	return p
}

// nextPublish returns the next PUBLISH and acknowledges it.
func (c *tcpClient) nextPublish() *packet.Publish {
	c.t.Helper()
	for {
		got := c.next()
		h, _, _ := packet.ParseHeader(got)
		switch h.Type {
		case packet.PUBLISH:
			p := new(packet.Publish)
			if err := p.Decode(c.version, h, got[h.HeaderLen:]); err != nil {
				c.t.Fatal(err)
			}
			switch p.QoS {
			case 1:
				c.write((&packet.Ack{Type: packet.PUBACK, PacketID: p.PacketID}).Append(nil, c.version))
			case 2:
				c.write((&packet.Ack{Type: packet.PUBREC, PacketID: p.PacketID}).Append(nil, c.version))
			}
			return p
		case packet.PUBREL:
			c.write(append([]byte{byte(packet.PUBCOMP) << 4, 2}, got[2:4]...))
		}
	}
}

// TestRetainedFlood: 50 000 retained messages reach a subscriber through a
// window of ten and an outbox of a few packets, each once, whatever the QoS;
// nothing is dropped.
func TestRetainedFlood(t *testing.T) { onDrivers(t, testRetainedFlood) }

func testRetainedFlood(t *testing.T, d Driver) {
	const n = 50_000
	o := wireOptions()
	o.Driver = d
	o.OutboxBytes = 2_000
	o.Queued = 50
	b, addr := serveTCP(t, o)
	for i := range n {
		m := Message{Topic: fmt.Sprintf("r/%d", i), Payload: []byte("x"), QoS: byte(i % 3), Retain: true, Origin: OriginAdmin}
		if err := b.Publish(nil, m, false); err != nil {
			t.Fatal(err)
		}
	}
	for _, filter := range []string{"r/#:q0", "r/+:q2"} {
		c := dialTCP(t, addr, "clean rm=10 id="+filter[:3], "SUBSCRIBE id=1 f="+filter)
		seen := make(map[string]bool, n)
		for len(seen) < n {
			p := c.nextPublish()
			if seen[p.Topic] {
				t.Fatalf("%s came twice", p.Topic)
			}
			if !p.Retain || p.Dup {
				t.Fatalf("retain %v dup %v", p.Retain, p.Dup)
			}
			seen[p.Topic] = true
		}
	}
	if n := b.metrics.Dropped.Total(); n > 0 {
		t.Errorf("%d messages were dropped", n)
	}
}

// TestSlowReader: while one receiver does not read, its QoS 0 messages are
// dropped and counted, its QoS 1 messages wait and come when it reads again;
// another receiver and the publisher do not notice.
func TestSlowReader(t *testing.T) { onDrivers(t, testSlowReader) }

func testSlowReader(t *testing.T, d Driver) {
	const n = 400
	o := wireOptions()
	o.Driver = d
	o.OutboxBytes = 256 << 10
	o.QueuedBytes = 1 << 30
	b, addr := serveTCP(t, o)
	slow := dialTCP(t, addr, "clean id=slow rm=50", "SUBSCRIBE id=1 f=#:q1")
	fast := dialTCP(t, addr, "clean id=fast", "SUBSCRIBE id=1 f=#:q1")
	p := dialTCP(t, addr, "clean id=p")
	payload := bytes.Repeat([]byte("x"), 64<<10)
	for range n {
		zero := packet.Publish{Topic: "t", Payload: payload}
		one := packet.Publish{Topic: "t", Payload: payload, QoS: 1, PacketID: 1}
		p.write(one.Append(zero.Append(nil, packet.V5), packet.V5))
		p.next() // the publisher is acknowledged
		fast.nextPublish()
		fast.nextPublish()
	}
	lost := int(b.metrics.Dropped.Get(CauseSlowConsumer))
	if lost == 0 {
		t.Error("nothing was dropped: the reader was not slow")
	}
	if total := int(b.metrics.Dropped.Total()); total != lost {
		t.Errorf("%d drops, %d of them for slowness", total, lost)
	}
	ones := 0
	for range 2*n - lost {
		if slow.nextPublish().QoS == 1 {
			ones++
		}
	}
	if ones != n {
		t.Errorf("%d of %d QoS 1 messages came", ones, n)
	}
}

// TestNeverReads: a client that asks and asks and never reads is not read from,
// so that what it costs is bounded; others go on.
func TestNeverReads(t *testing.T) { onDrivers(t, testNeverReads) }

func testNeverReads(t *testing.T, d Driver) {
	o := wireOptions()
	o.Driver = d
	o.OutboxBytes = 64 << 10
	_, addr := serveTCP(t, o)
	before := heapInUse()
	rude := dialTCP(t, addr, "clean id=rude", "SUBSCRIBE id=1 f=rude")
	rude.net.(*net.TCPConn).SetReadBuffer(4 << 10)
	flood := (&packet.Publish{Topic: "rude", QoS: 1, PacketID: 1}).Append(nil, packet.V5)
	flood = append(flood, (&packet.Pingreq{}).Append(nil, packet.V5)...)
	flood = bytes.Repeat(flood, 1000)
	sent := 0
	for ; sent < 256<<20; sent += len(flood) {
		rude.net.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := rude.net.Write(flood); err != nil {
			break // its own socket is full: it is not read from
		}
	}
	if sent >= 256<<20 {
		t.Error("all of it was read")
	}
	if grown := heapInUse() - before; grown > 4<<20 {
		t.Errorf("the heap has grown by %d KiB", grown>>10)
	}
	other := dialTCP(t, addr, "clean id=other", "SUBSCRIBE id=1 f=t")
	other.send("PUBLISH topic=t payload=x")
	other.nextPublish()
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestWriteTimeout: a client whose socket takes nothing for so long is
// disconnected; one that takes a little now and then is not.
func TestWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wireOptions()
		o.WriteTimeout = 30 * time.Second
		o.OutboxBytes = 1 << 20
		d := new(diary)
		s := newStage(t, o, d)
		defer s.end()
		mute := s.mute("CONNECT clean id=mute", "SUBSCRIBE id=1 f=t")
		defer mute.Close()
		p := s.connect("clean id=p")
		d.take()
		p.send("PUBLISH topic=t payload=" + strings.Repeat("x", 300_000))
		time.Sleep(30*time.Second - time.Millisecond)
		if log := d.take(); len(log) != 1 {
			t.Errorf("too early: %q", log)
		}
		time.Sleep(time.Millisecond)
		if log := d.take(); len(log) != 1 || !strings.HasPrefix(log[0], "disconnected mute unspecified_error by broker") {
			t.Errorf("too late: %q", log)
		}

		slow := s.mute("CONNECT clean id=slow", "SUBSCRIBE id=1 f=t")
		defer slow.Close()
		d.take()
		p.send("PUBLISH topic=t payload=" + strings.Repeat("x", 300_000))
		buf := make([]byte, 64<<10)
		for range 4 {
			time.Sleep(29 * time.Second)
			for n := 0; n < len(buf); {
				k, err := slow.Read(buf[n:])
				if err != nil {
					t.Fatal(err)
				}
				n += k
			}
		}
		if log := d.take(); len(log) != 1 { // the publish
			t.Errorf("a slow reader: %q", log)
		}
	})
}

// mute connects a client that reads only what answers its lines.
func (s *stage) mute(lines ...string) net.Conn {
	s.t.Helper()
	ours, theirs := net.Pipe()
	s.l.conns <- theirs
	buf := make([]byte, 1000)
	for _, line := range lines {
		p, _, err := encodeLine(line, packet.V5)
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := ours.Write(p); err != nil {
			s.t.Fatal(err)
		}
		if _, err := ours.Read(buf); err != nil {
			s.t.Fatal(err)
		}
	}
	return ours
}

// TestShutIsBounded: a client that reads drop by drop does not keep the socket
// of an ended connection longer than the shutdown timeout.
func TestShutIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wireOptions()
		o.ShutdownTimeout = 5 * time.Second
		s := newStage(t, o)
		defer s.end()
		slow := s.mute("CONNECT clean id=slow", "SUBSCRIBE id=1 f=t")
		defer slow.Close()
		p := s.connect("clean id=p")
		p.send("PUBLISH topic=t payload=" + strings.Repeat("x", 900_000))
		p.packets()
		start := time.Now()
		if !s.b.Kick("", "slow", packet.AdministrativeAction, "", "test") {
			t.Fatal("not connected")
		}
		buf := make([]byte, 64<<10)
		for {
			time.Sleep(time.Second)
			if _, err := slow.Read(buf); err != nil {
				break
			}
		}
		if took := time.Since(start); took > 7*time.Second {
			t.Errorf("closed after %s", took)
		}
	})
}

// TestMessageExpiry: the seconds left are counted down on delivery, and what
// has expired is dropped and counted, from a queue and from the retained
// messages [MQTT-3.3.2-5], [MQTT-3.3.2-6].
func TestMessageExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, wireOptions())
		defer s.end()
		a := s.subscriber("id=a expiry=1000", "t:q1")
		a.drop()
		p := s.connect("clean id=p")
		p.send("PUBLISH topic=t payload=short q=1 id=1 msgexpiry=10")
		p.send("PUBLISH topic=t payload=long q=1 id=2 msgexpiry=100")
		p.send("PUBLISH topic=r/short payload=1 retain msgexpiry=10")
		p.send("PUBLISH topic=r/long payload=2 retain msgexpiry=100")
		p.send("PUBLISH topic=r/never payload=3 retain")
		p.packets()
		time.Sleep(5 * time.Second)
		b := s.connect("clean id=b")
		b.send("SUBSCRIBE id=1 f=r/#")
		b.expect("SUBACK id=1 codes=0", "PUBLISH topic=r/long payload=2 retain msgexpiry=95",
			"PUBLISH topic=r/never payload=3 retain", "PUBLISH topic=r/short payload=1 retain msgexpiry=5")
		time.Sleep(4 * time.Second) // 9 s
		if n := s.b.retained.tree.Len(); n != 3 {
			t.Errorf("%d retained messages after 9 s", n)
		}
		time.Sleep(2 * time.Second) // 11 s
		if n := s.b.retained.tree.Len(); n != 2 {
			t.Errorf("%d retained messages after 11 s", n)
		}
		s.resume("id=a expiry=1000", "PUBLISH topic=t payload=long q=1 id=1 msgexpiry=89")
		b.send("SUBSCRIBE id=2 f=r/#")
		b.expect("SUBACK id=2 codes=0", "PUBLISH topic=r/long payload=2 retain msgexpiry=89", "PUBLISH topic=r/never payload=3 retain")
		s.wantDrops(map[Cause]int64{CauseExpired: 2})
	})
}

// TestRetainedExpiryOrder: a retained message that expires sooner than those
// there are is removed in its own time; a replaced one expires no more.
func TestRetainedExpiryOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, wireOptions())
		defer s.end()
		p := s.connect("clean id=p")
		for i, seconds := range []int{1000, 500, 20, 10, 30} {
			p.send(fmt.Sprintf("PUBLISH topic=r/%d payload=x retain msgexpiry=%d", i, seconds))
		}
		p.send("PUBLISH topic=r/2 payload=x retain")
		p.packets()
		for _, step := range []struct {
			seconds time.Duration
			left    int
		}{{9, 5}, {2, 4}, {15, 4}, {5, 3}, {465, 3}, {5, 2}, {500, 1}} {
			time.Sleep(step.seconds * time.Second)
			synctest.Wait()
			if n := s.b.retained.tree.Len(); n != step.left {
				t.Errorf("%d retained messages, want %d", n, step.left)
			}
		}
		if s.b.retained.bytes != int64((&Message{Topic: "r/2", Payload: []byte("x")}).Weight()) {
			t.Errorf("%d bytes are counted", s.b.retained.bytes)
		}
	})
}

// TestRetainedInOrder: whoever reaches the store last brings it what is
// retained in memory: of two publishers, and of one and the expiry of what was there.
func TestRetainedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := NewMemoryStore()
		o := wireOptions()
		o.Store = store
		s := newStage(t, o)
		defer s.end()
		retain := func(payload string) *round {
			r := s.b.newRound()
			s.b.retain(r, &Message{Topic: "r", Payload: []byte(payload), Retain: true})
			return r
		}
		stored := func(want string) {
			t.Helper()
			got := "nothing"
			if op, ok := store.retained["r"]; ok {
				got = string(op.Queued.Message.Payload)
			}
			if got != want {
				t.Errorf("%s is stored, want %s", got, want)
			}
		}
		for _, c := range []struct{ first, second, want string }{
			{"1", "2", "2"}, {"3", "", "nothing"}, {"", "4", "4"},
		} {
			first, second := retain(c.first), retain(c.second)
			second.end()
			first.end()
			stored(c.want)
		}
		late := s.b.newRound()
		late.batch.add(Op{Kind: DeleteRetained, Topic: "r"}) // of one that has expired
		retain("5").end()
		late.end()
		stored("5")
	})
}

// TestRetainedExpireAll: more retained messages than expire in one go do, in
// memory and in the store.
func TestRetainedExpireAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := NewMemoryStore()
		o := wireOptions()
		o.Store = store
		s := newStage(t, o)
		defer s.end()
		for i := range 3*expireSlice + 1 {
			m := Message{Topic: fmt.Sprint("r/", i), Payload: []byte("x"), Retain: true, HasExpiry: true, Expiry: 1}
			if err := s.b.Publish(nil, m, false); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := s.b.retained.tree.Len(); n != 0 || len(store.retained) != 0 || s.b.retainedBytes() != 0 {
			t.Errorf("%d are left, %d stored", n, len(store.retained))
		}
	})
}

// TestRates: what exceeds the rates is refused and counted, and they recover.
func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wireOptions()
		o.Listener.PublishRate = 2
		o.Listener.PublishBytes = 100
		s := newStage(t, o)
		defer s.end()
		p := s.subscriber("clean id=p", "t")
		for i := 1; i <= 3; i++ {
			p.send(fmt.Sprintf("PUBLISH topic=t payload=x q=1 id=%d", i))
		}
		p.expect("PUBLISH topic=t payload=x", "PUBACK id=1", "PUBLISH topic=t payload=x", "PUBACK id=2", "PUBACK id=3 code=0x97 reason=*")
		time.Sleep(time.Second)
		p.send("PUBLISH topic=t q=1 id=1 payload=" + strings.Repeat("x", 90))
		p.packets()
		p.send("PUBLISH topic=t q=1 id=2 payload=" + strings.Repeat("x", 90))
		p.expect("PUBACK id=2 code=0x97 reason=*")
		v3 := s.connect("v311 clean id=v3")
		for range 3 {
			v3.send("PUBLISH topic=t payload=x")
		}
		if got := p.packets(); len(got) != 2 {
			t.Errorf("%d of 3 messages came", len(got))
		}
		s.wantDrops(map[Cause]int64{CauseRate: 3})
	})
}

// TestQoS0KeepsOrder: QoS 0 messages that had to wait are not overtaken by
// later ones, and all come [MQTT-4.6.0-6].
func TestQoS0KeepsOrder(t *testing.T) { onDrivers(t, testQoS0KeepsOrder) }

func testQoS0KeepsOrder(t *testing.T, d Driver) {
	o := wireOptions()
	o.Driver = d
	o.OutboxBytes = 500
	o.QueueQoS0Offline = true
	_, addr := serveTCP(t, o)
	const n = 900
	for try := range 5 {
		id := fmt.Sprint("id=a", try)
		a := dialTCP(t, addr, id+" expiry=100", "SUBSCRIBE id=1 f=t")
		a.send("DISCONNECT")
		if _, err := a.read(); err == nil {
			t.Fatal("not closed")
		}
		p := dialTCP(t, addr, "clean id=p")
		for i := range n {
			p.send(fmt.Sprintf("PUBLISH topic=t payload=%d", i))
		}
		p.send("PINGREQ")
		p.next()
		a = dialTCP(t, addr, id+" expiry=100")
		for i := range n {
			if got := string(a.nextPublish().Payload); got != fmt.Sprint(i) {
				t.Fatalf("got %s, want %d", got, i)
			}
		}
		a.send("DISCONNECT")
	}
}

// TestQoS0IsHeldUntilSent: a QoS 0 message that has left its queue and is not
// in the outbox yet still holds back those behind it [MQTT-4.6.0-6].
func TestQoS0IsHeldUntilSent(t *testing.T) {
	bubble(t, wireOptions(), func(s *stage) {
		s.subscriber("clean id=a", "t")
		a := s.b.sessions.find("", "a")
		r := s.b.newRound()
		defer r.end()
		a.mu.Lock()
		defer a.mu.Unlock()
		a.pushLocked(queued{msg: &Message{Topic: "t", Publisher: anonymous[OriginBroker]}, sub: a.subs.get("t")})
		q, ok := a.nextLocked(r, a.conn.Load())
		if !ok || !a.held0.Load() {
			t.Errorf("the next message may go: %v", ok)
		}
		a.giveBackLocked(q)
		a.pumpLocked(r)
		if a.queue0.len() != 0 || a.held0.Load() {
			t.Errorf("%d messages wait, held: %v", a.queue0.len(), a.held0.Load())
		}
	})
}

// TestSlowOnce: a client that was slow once is not disconnected by the deadline
// of what it has taken long since.
func TestSlowOnce(t *testing.T) { onDrivers(t, testSlowOnce) }

func testSlowOnce(t *testing.T, d Driver) {
	o := wireOptions()
	o.Driver = d
	o.WriteTimeout = 2 * time.Second
	o.OutboxBytes = 64 << 20
	b, addr := serveTCP(t, o)
	a := dialTCP(t, addr, "clean id=a", "SUBSCRIBE id=1 f=t")
	out := &b.sessions.find("", "a").conn.Load().out
	payload := make([]byte, 1<<20)
	slow := 0
	for wrote := false; !wrote; slow++ {
		if err := b.Publish(nil, Message{Topic: "t", Payload: payload, Origin: OriginScript}, false); err != nil {
			t.Fatal(err)
		}
		out.mu.Lock()
		wrote = out.full
		out.mu.Unlock()
	}
	for range slow {
		a.nextPublish()
	}
	time.Sleep(o.WriteTimeout) // of a real socket, which knows no virtual time
	if err := b.Publish(nil, Message{Topic: "t", Payload: payload[:1], Origin: OriginScript}, false); err != nil {
		t.Fatal(err)
	}
	if p := a.nextPublish(); len(p.Payload) != 1 {
		t.Errorf("got %d bytes", len(p.Payload))
	}
}

func listenTCP(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func netDial(addr string) (*wireConn, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &wireConn{net: nc, in: bufio.NewReader(nc), version: packet.V5}, nil
}

// TestRetainedLimit: as many messages are retained as the limit says, beside the
// broker's own, and one in the place of another is none more.
func TestRetainedLimit(t *testing.T) {
	o := wireOptions()
	o.Retained = 2
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	keep := func(topic string, origin Origin, want bool) {
		t.Helper()
		if got := b.keepRetained(&Message{Topic: topic, Payload: []byte("x"), Origin: origin}) != nil; got != want {
			t.Errorf("%s is retained: %v", topic, got)
		}
	}
	keep("$SYS/a", OriginBroker, true)
	keep("a", OriginClient, true)
	keep("$SYS/b", OriginBroker, true)
	keep("$SYS/b", OriginBroker, true)
	keep("b", OriginClient, true)
	keep("c", OriginClient, false)
	keep("b", OriginClient, true)
	if !b.unretain("$SYS/a") || !b.unretain("a") {
		t.Error("there was nothing to remove")
	}
	keep("c", OriginClient, true)
	keep("d", OriginClient, false)
	keep("$SYS/c", OriginBroker, true)
}
