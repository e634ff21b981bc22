package e2e

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
	"github.com/google/go-cmp/cmp"

	"lunamq/core/packet"
)

// What only MQTT 5 has.

func (p *program) connect5(d login) *peer5 {
	p.t.Helper()
	return p.connect(d).(*peer5)
}

// TestProperties: what belongs to a message arrives as it was sent, user
// properties in order and repeated [MQTT-3.3.2-17], [MQTT-3.3.2-18].
func TestProperties(t *testing.T) {
	p := start(t, setup{})
	sub, pub := p.connect5(login{}), p.connect5(login{})
	granted(t, sub, "p/#", 2)
	sent := &paho.PublishProperties{
		ContentType: "text/plain", PayloadFormat: ptr[byte](1), ResponseTopic: "p/answer", CorrelationData: []byte{0, 1, 0xFF},
		User: paho.UserProperties{{Key: "k", Value: "1"}, {Key: "a", Value: "ä"}, {Key: "k", Value: "2"}},
	}
	for qos := range byte(3) {
		published(t, pub, message{topic: "p/x", payload: "y", qos: qos, props: sent})
		if diff := cmp.Diff(sent, sub.next().props); diff != "" {
			t.Errorf("QoS %d: -sent +got:\n%s", qos, diff)
		}
	}
	old := p.connect(login{version: packet.V311})
	granted(t, old, "p/#", 2)
	published(t, pub, message{topic: "p/x", payload: "without", qos: 1, props: sent})
	expect(t, old, "p/x without q1")
}

// TestRequestResponse: a request names where its answer is to go (4.10).
func TestRequestResponse(t *testing.T) {
	p := start(t, setup{})
	server := p.connect5(login{})
	granted(t, server, "add/one", 1)
	answer := func() {
		m := server.next()
		published(t, server, message{topic: m.props.ResponseTopic, payload: m.payload + "+1", qos: 1,
			props: &paho.PublishProperties{CorrelationData: m.props.CorrelationData}})
	}
	t.Run("paho", func(t *testing.T) {
		client := p.on(t).connect5(login{})
		granted(t, client, "answers/1", 1)
		published(t, client, message{topic: "add/one", payload: "1", qos: 1,
			props: &paho.PublishProperties{ResponseTopic: "answers/1", CorrelationData: []byte("q7")}})
		answer()
		if m := client.next(); m.payload != "1+1" || string(m.props.CorrelationData) != "q7" {
			t.Errorf("got %q for %q", m, m.props.CorrelationData)
		}
	})
	t.Run("mosquitto_rr", func(t *testing.T) {
		rr := outside(t, "mosquitto_rr", append(mosquittoArgs(t, login{url: p.url("local")}, ""),
			"-V", "mqttv5", "-t", "add/one", "-e", "answers/2", "-m", "2", "-q", "1", "-W", "20")...)
		answer()
		if code := rr.exit(t); code != 0 || strings.TrimSpace(rr.said.text()) != "2+1" {
			t.Errorf("exit code %d, it said %q", code, rr.said.text())
		}
	})
}

// TestExpiry: a message that waited longer than its expiry is not sent
// [MQTT-3.3.2-5], one that waited less says what is left [MQTT-3.3.2-6].
func TestExpiry(t *testing.T) {
	p := start(t, setup{})
	keep := login{id: "sleeper", keep: true}
	first := p.connect(keep)
	granted(t, first, "e/#", 1)
	first.close()
	p.waitFor("msg=\"client disconnected\" client=sleeper ")

	pub := p.connect(login{})
	expiring := func(topic, payload string, seconds uint32, retain bool) {
		published(t, pub, message{topic: topic, payload: payload, qos: 1, retain: retain,
			props: &paho.PublishProperties{MessageExpiry: ptr(seconds)}})
	}
	expiring("e/1", "short", 1, false)
	expiring("e/1", "long", 1000, false)
	expiring("clock", "ticks", 2, true) // when this one is gone, the short one is, too
	for present := true; present; {
		c := p.connect(login{})
		granted(t, c, "clock", 1)
		published(t, pub, message{topic: "clock", payload: "barrier", qos: 1})
		m := c.next()
		present = m.retain
		if present && (m.props.MessageExpiry == nil || *m.props.MessageExpiry > 2) {
			t.Fatalf("retained with expiry %v", m.props.MessageExpiry)
		}
		c.close()
	}
	again := p.connect(keep)
	m := again.next()
	if m.payload != "long" || m.props.MessageExpiry == nil || *m.props.MessageExpiry >= 1000 || *m.props.MessageExpiry < 900 {
		t.Errorf("got %q with %v s left, want the long one with less than 1000", m, m.props.MessageExpiry)
	}
}

// TestTopicAlias: a number stands for a topic, from the client (3.3.2.3.4) and
// towards one that allows it [MQTT-3.1.2-27].
func TestTopicAlias(t *testing.T) {
	p := start(t, setup{})
	sub := p.connect5(login{more: func(c *paho.Connect) { c.Properties.TopicAliasMaximum = ptr[uint16](1) }})
	granted(t, sub, "alias/#", 1)
	pub := p.connect5(login{})
	alias := &paho.PublishProperties{TopicAlias: ptr[uint16](7)}
	published(t, pub, message{topic: "alias/x", payload: "1", qos: 1, props: alias})
	published(t, pub, message{payload: "2", qos: 1, props: alias})
	published(t, pub, message{topic: "alias/y", payload: "3", qos: 1, props: alias})
	published(t, pub, message{payload: "4", qos: 1, props: alias})
	known := make(map[uint16]string)
	for _, want := range []string{"alias/x 1 q1", "alias/x 2 q1", "alias/y 3 q1", "alias/y 4 q1"} {
		m := sub.next()
		if a := m.props.TopicAlias; a != nil {
			if *a != 1 {
				t.Fatalf("alias %d; 1 is the most that was allowed", *a)
			}
			if m.topic == "" {
				m.topic = known[*a]
			}
			known[*a] = m.topic
		}
		if m.String() != want {
			t.Errorf("got %q, want %q", m, want)
		}
	}
	if len(known) == 0 {
		t.Error("the broker used no alias")
	}
	plain := p.connect5(login{})
	granted(t, plain, "alias/#", 1)
	published(t, pub, message{payload: "5", qos: 1, props: alias})
	if m := plain.next(); m.String() != "alias/y 5 q1" || m.props.TopicAlias != nil {
		t.Errorf("a client that allows no alias got %q with %v", m, m.props.TopicAlias)
	}
}

// TestSubscriptionOptions: no local [MQTT-3.8.3-3], retain as published
// [MQTT-3.3.1-13], retain handling [MQTT-3.3.1-9] to [MQTT-3.3.1-11] and
// identifiers [MQTT-3.3.4-3].
func TestSubscriptionOptions(t *testing.T) {
	p := start(t, setup{})
	c, other := p.connect5(login{}), p.connect5(login{})
	published(t, other, message{topic: "o/kept", payload: "old", qos: 1, retain: true})
	subscribe := func(id int, o paho.SubscribeOptions) {
		o.QoS = 1
		if code := c.subscribeWith(&paho.Subscribe{Subscriptions: []paho.SubscribeOptions{o}, Properties: &paho.SubscribeProperties{SubscriptionIdentifier: &id}})[0]; code != 1 {
			t.Fatalf("subscribe %v: %s", o, code)
		}
	}
	options := paho.SubscribeOptions{Topic: "o/+", NoLocal: true, RetainAsPublished: true, RetainHandling: 1}
	subscribe(11, options)
	expect(t, c, "o/kept old q1 retained")
	subscribe(12, options) // 1: not once more, for it existed
	published(t, c, message{topic: "o/own", payload: "not for me", qos: 1})
	published(t, other, message{topic: "o/kept", payload: "new", qos: 1, retain: true})
	m := c.next()
	if m.String() != "o/kept new q1 retained" || m.props.SubscriptionIdentifier == nil || *m.props.SubscriptionIdentifier != 12 {
		t.Errorf("got %q by subscription %v", m, m.props.SubscriptionIdentifier)
	}
	options.RetainHandling = 2
	options.Topic = "o/kept/#"
	subscribe(13, options)
	published(t, other, message{topic: "o/kept/x", payload: "barrier", qos: 1})
	expect(t, c, "o/kept/x barrier q1")
}

// TestReconnect: a client that comes back by itself, over WebSocket, gets what
// it missed.
func TestReconnect(t *testing.T) {
	p := start(t, setup{
		listeners: "[[listener]]\nname = \"local\"\nurl = \"tcp://127.0.0.1:0\"\n[[listener]]\nname = \"web\"\nurl = \"ws://127.0.0.1:0\"\n",
		rules: map[string]string{"kick.lua": `mqtt.on("publish", "kick/+", function(msg)
			mqtt.publish{ topic = "missed/1", payload = "while away", qos = 1 }
			mqtt.kick(msg.level[2])
			mqtt.publish{ topic = "missed/2", payload = "while away", qos = 1 }
		end)`},
	})
	address, err := url.Parse(p.url("web") + "/mqtt")
	if err != nil {
		t.Fatal(err)
	}
	in, up := newInbox(), make(chan bool, 10)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	auto, err := autopaho.NewConnection(ctx, autopaho.ClientConfig{
		ServerUrls: []*url.URL{address}, KeepAlive: 20, SessionExpiryInterval: never,
		ReconnectBackoff: func(int) time.Duration { return 0 },
		OnConnectionUp:   func(_ *autopaho.ConnectionManager, ack *paho.Connack) { up <- ack.SessionPresent },
		ClientConfig: paho.ClientConfig{ClientID: "roamer", OnPublishReceived: []func(paho.PublishReceived) (bool, error){
			func(r paho.PublishReceived) (bool, error) {
				in <- message{topic: r.Packet.Topic, payload: string(r.Packet.Payload), qos: r.Packet.QoS}
				return true, nil
			}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if present := <-up; present {
		t.Error("a session was there before the first connection")
	}
	if _, err := auto.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "missed/#", QoS: 1}}}); err != nil {
		t.Fatal(err)
	}
	pub := p.connect(login{})
	published(t, pub, message{topic: "kick/roamer", qos: 1})
	if present := <-up; !present {
		t.Error("the session was lost")
	}
	for got := map[string]bool{}; len(got) < 2; { // the first may come twice: the kick may overtake its PUBACK
		got[in.next(t).topic] = true
	}
	if err := auto.Disconnect(ctx); err != nil {
		t.Error(err)
	}
}
