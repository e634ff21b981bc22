package e2e

import (
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"lunamq/core/packet"
)

// peer3 is Paho for 3.1.1, which speaks 3.1 as well.
type peer3 struct {
	t      testing.TB
	client mqtt.Client
	conn   net.Conn // nil where Paho has made its own
	in     inbox
	lost   chan error
}

func (p *program) dial3(d login) (peer, answer) {
	p.t.Helper()
	c := &peer3{t: p.t, in: newInbox(), lost: make(chan error, 1)}
	o := mqtt.NewClientOptions().AddBroker(pahoURL(d.url)).SetClientID(d.id).SetProtocolVersion(uint(d.version)).
		SetUsername(d.user).SetPassword(d.password).SetCleanSession(!d.keep).SetTLSConfig(d.trust).
		SetAutoReconnect(false).SetConnectTimeout(patience).SetKeepAlive(patience).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			c.in <- message{topic: m.Topic(), payload: string(m.Payload()), qos: m.Qos(), retain: m.Retained()}
		}).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { c.lost <- err })
	if d.will != nil {
		o.SetWill(d.will.topic, d.will.payload, d.will.qos, d.will.retain)
	}
	if address, ok := strings.CutPrefix(d.url, "tcp://"); ok {
		o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
			conn, err := net.Dial("tcp", address)
			c.conn = conn
			return conn, err
		})
	}
	c.client = mqtt.NewClient(o)
	token := c.client.Connect().(*mqtt.ConnectToken)
	if !token.WaitTimeout(patience) {
		p.t.Fatalf("%s: no CONNACK", d.id)
	}
	a := answer{code: packet.ReasonCode(token.ReturnCode()), present: token.SessionPresent()}
	if token.Error() != nil && a.code == 0 {
		p.t.Fatalf("%s: %v", d.id, token.Error())
	}
	if token.Error() == nil {
		p.t.Cleanup(c.kill)
	}
	return c, a
}

// pahoURL is a listener's URL in Paho's words.
func pahoURL(url string) string {
	if rest, ok := strings.CutPrefix(url, "tls://"); ok {
		return "ssl://" + rest
	}
	if strings.HasPrefix(url, "ws") {
		return url + "/mqtt"
	}
	return url
}

// finish waits for a token, whose error is what ended the connection.
func (c *peer3) finish(what string, token mqtt.Token) {
	c.t.Helper()
	switch {
	case !token.WaitTimeout(patience):
		c.t.Fatalf("%s: no answer", what)
	case token.Error() != nil:
		c.t.Fatalf("%s: %v", what, token.Error())
	}
}

func (c *peer3) subscribe(filter string, qos byte, more ...string) packet.ReasonCode {
	c.t.Helper()
	for _, f := range more {
		granted(c.t, c, f, qos)
	}
	token := c.client.Subscribe(filter, qos, nil).(*mqtt.SubscribeToken)
	c.finish("subscribe "+filter, token)
	for _, code := range token.Result() { // one, under a name that may lack $share
		return packet.ReasonCode(code)
	}
	c.t.Fatalf("subscribe %s: SUBACK without a code", filter)
	return 0
}

func (c *peer3) unsubscribe(filter string) packet.ReasonCode {
	c.t.Helper()
	c.finish("unsubscribe "+filter, c.client.Unsubscribe(filter))
	return packet.Success
}

func (c *peer3) publish(m message) (packet.ReasonCode, string) {
	c.t.Helper()
	c.finish("publish "+m.String(), c.client.Publish(m.topic, m.qos, m.retain, m.payload))
	return packet.Success, ""
}

func (c *peer3) send(m message) { c.client.Publish(m.topic, m.qos, m.retain, m.payload) }

func (c *peer3) next() message {
	c.t.Helper()
	return c.in.next(c.t)
}

func (c *peer3) gone() (packet.ReasonCode, string) {
	c.t.Helper()
	select {
	case err := <-c.lost:
		if err == nil {
			err = errors.New("")
		}
		return packet.Success, err.Error()
	case <-time.After(patience):
		c.t.Fatal("the connection was not ended")
		return 0, ""
	}
}

func (c *peer3) close() { c.client.Disconnect(uint(patience.Milliseconds())) }

func (c *peer3) kill() {
	if c.conn != nil {
		c.conn.Close()
		return
	}
	c.client.Disconnect(0)
}
