package scripting

import (
	"bytes"
	"context"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"lunamq/core"
	"lunamq/core/packet"
)

// site is a real broker on a socket, with rules.
type site struct {
	*Engine
	t      testing.TB
	broker *core.Broker
	log    *record
	addr   string
}

// onSocket starts a broker with rules in one file.
func onSocket(t testing.TB, source string, change ...func(*core.Options, *Options)) *site {
	t.Helper()
	r := newRig(t, map[string]string{"10.lua": source})
	o, s := core.DefaultOptions(), r.options
	s.Now = time.Now
	for _, c := range change {
		c(&o, &s)
	}
	b, err := core.New(o)
	must(t, err)
	x := &site{Engine: New(b, s), t: t, broker: b, log: r.log}
	x.timing.settle, x.timing.emptied = time.Microsecond, time.Microsecond
	must(t, x.Reload(context.Background()))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	x.addr = l.Addr().String()
	go b.Serve(core.Listener{Name: "main", Net: l})
	t.Cleanup(func() { b.Close() })
	return x
}

// save replaces the rules and takes them over.
func (x *site) save(source string) {
	x.t.Helper()
	writeFile(x.t, filepath.Join(x.options.Dir, "10.lua"), source)
	must(x.t, x.Reload(context.Background()))
}

// clean fails if a rule failed.
func (x *site) clean() {
	x.t.Helper()
	for _, l := range x.log.errors() {
		x.t.Errorf("logged: %s", l)
	}
}

// wireClient speaks MQTT 5 to a site, a packet at a time.
type wireClient struct {
	t    testing.TB
	conn net.Conn
	got  []byte
}

func (x *site) dial() *wireClient {
	x.t.Helper()
	c, err := net.Dial("tcp", x.addr)
	must(x.t, err)
	must(x.t, c.SetDeadline(time.Now().Add(30*time.Second)))
	x.t.Cleanup(func() { c.Close() })
	return &wireClient{t: x.t, conn: c}
}

// connect dials and is accepted.
func (x *site) connect(id string) *wireClient {
	x.t.Helper()
	c := x.dial()
	c.write((&packet.Connect{Version: packet.V5, CleanStart: true, ClientID: id}).Append(nil))
	if h, body := c.read(); h.Type != packet.CONNACK || body[1] != 0 {
		x.t.Fatalf("CONNECT was answered with %v % x", h.Type, body)
	}
	return c
}

func (c *wireClient) write(p []byte) {
	c.t.Helper()
	_, err := c.conn.Write(p)
	must(c.t, err)
}

// next is the next packet, nil at the end of the connection.
func (c *wireClient) next() []byte {
	c.t.Helper()
	buf := make([]byte, 4096)
	for {
		h, ok, err := packet.ParseHeader(c.got)
		must(c.t, err)
		if ok && len(c.got) >= h.Size {
			p := bytes.Clone(c.got[:h.Size])
			c.got = c.got[h.Size:]
			return p
		}
		n, err := c.conn.Read(buf)
		c.got = append(c.got, buf[:n]...)
		if err == io.EOF || err != nil && n == 0 {
			return nil
		}
	}
}

// read is the next packet, taken apart.
func (c *wireClient) read() (h packet.Header, body []byte) {
	c.t.Helper()
	p := c.next()
	if p == nil {
		c.t.Fatal("the connection has ended")
	}
	h, _, err := packet.ParseHeader(p)
	must(c.t, err)
	return h, p[h.HeaderLen:]
}

// expect wants a packet of a type.
func (c *wireClient) expect(want packet.Type) (body []byte) {
	c.t.Helper()
	h, body := c.read()
	if h.Type != want {
		c.t.Fatalf("got %v % x, want %v", h.Type, body, want)
	}
	return body
}

// message wants a PUBLISH and returns its topic and payload.
func (c *wireClient) message() (topic, payload string) {
	c.t.Helper()
	h, body := c.read()
	var p packet.Publish
	if h.Type != packet.PUBLISH {
		c.t.Fatalf("got %v % x, want a message", h.Type, body)
	}
	must(c.t, p.Decode(packet.V5, h, body))
	return p.Topic, string(p.Payload)
}

func (c *wireClient) wantMessage(topic, payload string) {
	c.t.Helper()
	if gotTopic, got := c.message(); gotTopic != topic || got != payload {
		c.t.Errorf("got %s %q, want %s %q", gotTopic, got, topic, payload)
	}
}

func (c *wireClient) publish(topic, payload string) {
	c.t.Helper()
	c.write((&packet.Publish{Topic: topic, Payload: []byte(payload)}).Append(nil, packet.V5))
}

// publish1 publishes with QoS 1 and waits for the acknowledgement.
func (c *wireClient) publish1(topic, payload string) {
	c.t.Helper()
	c.write((&packet.Publish{Topic: topic, Payload: []byte(payload), QoS: 1, PacketID: 1}).Append(nil, packet.V5))
	c.expect(packet.PUBACK)
}

func (c *wireClient) subscribe(filter string, qos byte) {
	c.t.Helper()
	c.write((&packet.Subscribe{PacketID: 1, Filters: []packet.FilterOptions{{Filter: filter, QoS: qos}}}).Append(nil, packet.V5))
	c.expect(packet.SUBACK)
}

// ping wants nothing but the answer.
func (c *wireClient) ping() {
	c.t.Helper()
	c.write([]byte{0xC0, 0})
	c.expect(packet.PINGRESP)
}
