package e2e

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"lunamq/core/packet"
)

// peer5 is Paho for 5.
type peer5 struct {
	t      testing.TB
	client *paho.Client
	conn   net.Conn
	in     inbox
	ends   chan *paho.Disconnect // from the broker
	lost   chan error            // without DISCONNECT
}

func (p *program) dial5(d login) (peer, answer) {
	p.t.Helper()
	conn, err := openConn(d)
	if err != nil {
		p.t.Fatal(err)
	}
	c := &peer5{t: p.t, conn: conn, in: newInbox(), ends: make(chan *paho.Disconnect, 1), lost: make(chan error, 16)}
	c.client = paho.NewClient(paho.ClientConfig{
		Conn: packets.NewThreadSafeConn(conn), PacketTimeout: patience,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) {
			m := r.Packet
			c.in <- message{topic: m.Topic, payload: string(m.Payload), qos: m.QoS, retain: m.Retain, props: m.Properties}
			return true, nil
		}},
		OnServerDisconnect: func(d *paho.Disconnect) { c.ends <- d },
		OnClientError: func(err error) {
			select {
			case c.lost <- err:
			default:
			}
		},
	})
	ack, err := c.client.Connect(p.t.Context(), connect5(d))
	if ack == nil {
		p.t.Fatalf("%s: %v", d.id, err)
	}
	if err == nil {
		p.t.Cleanup(c.kill)
	}
	return c, answer{code: packet.ReasonCode(ack.ReasonCode), present: ack.SessionPresent, connack: ack}
}

func openConn(d login) (net.Conn, error) {
	if address, ok := strings.CutPrefix(d.url, "tls://"); ok {
		return tls.Dial("tcp", address, d.trust)
	}
	network, address, _ := strings.Cut(d.url, "://")
	return net.Dial(network, address)
}

// never is a session expiry: the session does not end (3.1.2.11.2).
const never = 0xFFFFFFFF

func connect5(d login) *paho.Connect {
	cp := &paho.Connect{
		ClientID: d.id, CleanStart: !d.keep, KeepAlive: uint16(patience / time.Second),
		Username: d.user, UsernameFlag: d.user != "", Password: []byte(d.password), PasswordFlag: d.password != "",
		Properties: &paho.ConnectProperties{RequestProblemInfo: true},
	}
	if d.keep {
		cp.Properties.SessionExpiryInterval = ptr[uint32](never)
	}
	if d.will != nil {
		cp.WillMessage = &paho.WillMessage{Topic: d.will.topic, Payload: []byte(d.will.payload), QoS: d.will.qos, Retain: d.will.retain}
	}
	if d.more != nil {
		d.more(cp)
	}
	return cp
}

func (c *peer5) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

func (c *peer5) subscribe(filter string, qos byte, more ...string) packet.ReasonCode {
	c.t.Helper()
	for _, f := range more {
		granted(c.t, c, f, qos)
	}
	return c.subscribeWith(&paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: filter, QoS: qos}}})[0]
}

// subscribeWith subscribes with what only 5 has, and returns all codes.
func (c *peer5) subscribeWith(s *paho.Subscribe) []packet.ReasonCode {
	c.t.Helper()
	ack := c.suback(s)
	codes := make([]packet.ReasonCode, len(ack.Reasons))
	for i, r := range ack.Reasons {
		codes[i] = packet.ReasonCode(r)
	}
	return codes
}

func (c *peer5) suback(s *paho.Subscribe) *paho.Suback {
	c.t.Helper()
	ctx, cancel := c.context()
	defer cancel()
	ack, err := c.client.Subscribe(ctx, s) // the error says what the codes say
	if ack == nil {
		c.t.Fatalf("subscribe %v: %v", s.Subscriptions, err)
	}
	return ack
}

func (c *peer5) unsubscribe(filter string) packet.ReasonCode {
	c.t.Helper()
	ctx, cancel := c.context()
	defer cancel()
	ack, err := c.client.Unsubscribe(ctx, &paho.Unsubscribe{Topics: []string{filter}})
	if ack == nil {
		c.t.Fatalf("unsubscribe %s: %v", filter, err)
	}
	return packet.ReasonCode(ack.Reasons[0])
}

func (m message) packet5() *paho.Publish {
	return &paho.Publish{Topic: m.topic, Payload: []byte(m.payload), QoS: m.qos, Retain: m.retain, Properties: m.props}
}

func (c *peer5) publish(m message) (packet.ReasonCode, string) {
	c.t.Helper()
	ctx, cancel := c.context()
	defer cancel()
	r, err := c.client.Publish(ctx, m.packet5())
	switch {
	case r == nil:
		c.t.Fatalf("publish %s: %v", m, err)
	case r.Properties != nil:
		return packet.ReasonCode(r.ReasonCode), r.Properties.ReasonString
	}
	return packet.ReasonCode(r.ReasonCode), ""
}

func (c *peer5) send(m message) {
	ctx, cancel := c.context()
	defer cancel()
	c.client.PublishWithOptions(ctx, m.packet5(), paho.PublishOptions{Method: paho.PublishMethod_AsyncSend})
}

func (c *peer5) next() message {
	c.t.Helper()
	return c.in.next(c.t)
}

func (c *peer5) gone() (packet.ReasonCode, string) {
	c.t.Helper()
	select {
	case d := <-c.ends:
		return packet.ReasonCode(d.ReasonCode), d.Properties.ReasonString
	case err := <-c.lost:
		c.t.Fatalf("ended without DISCONNECT: %v", err)
	case <-time.After(patience):
		c.t.Fatal("the connection was not ended")
	}
	return 0, ""
}

func (c *peer5) close() { c.client.Disconnect(&paho.Disconnect{}) }

func (c *peer5) kill() { c.conn.Close() }
