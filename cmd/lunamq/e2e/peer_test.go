package e2e

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"lunamq/core/packet"
)

// versions are the protocols that every test of a table is run for.
var versions = []packet.Version{packet.V31, packet.V311, packet.V5}

// message is what a client publishes and receives.
type message struct {
	topic, payload string
	qos            byte
	retain         bool
	props          *paho.PublishProperties // nil in 3.x
}

// String is "topic payload", and what is not usual about it.
func (m message) String() string {
	s := m.topic + " " + m.payload
	if m.qos > 0 {
		s += fmt.Sprintf(" q%d", m.qos)
	}
	if m.retain {
		s += " retained"
	}
	return s
}

// user returns the first user property of a name, "" if there is none.
func (m message) user(name string) string {
	if m.props == nil {
		return ""
	}
	return m.props.User.Get(name)
}

// login says who connects, and how. The zero value connects to the listener
// "local" with an identifier of its own and a clean session.
type login struct {
	client   string         // "mosquitto", default Paho
	version  packet.Version // default 5
	url      string         // default that of listener "local"
	trust    *tls.Config    // for tls:// and wss://
	id       string         // default: one of its own
	user     string
	password string
	keep     bool // the session: clean start 0, no expiry
	will     *message
	more     func(*paho.Connect) // what only 5 has
}

// peer is one client. Its calls fail the test when the connection ends where
// an answer is due. Codes of 3.x are as they are on the wire.
type peer interface {
	// subscribe returns the code of SUBACK; more filters must be granted.
	subscribe(filter string, qos byte, more ...string) packet.ReasonCode
	// unsubscribe returns the code of UNSUBACK, 0 in 3.x.
	unsubscribe(filter string) packet.ReasonCode
	// publish returns what PUBACK or PUBREC says, 0 in 3.x.
	publish(m message) (packet.ReasonCode, string)
	// send publishes and does not wait.
	send(m message)
	// next returns the next message that comes.
	next() message
	// gone waits until the broker has ended the connection and returns what
	// DISCONNECT says; 0 in 3.x, which has none from a broker.
	gone() (packet.ReasonCode, string)
	// close sends DISCONNECT, kill sends nothing and closes the socket.
	close()
	kill()
}

// url is the address of a listener as Paho wants it.
func (p *program) url(listener string) string {
	p.t.Helper()
	line := p.waitFor("msg=listening listener=" + listener + " ")
	_, scheme, _ := strings.Cut(line, "addr=")
	scheme, _, _ = strings.Cut(strings.Trim(scheme, `"`), "://")
	return scheme + "://" + p.addr(listener)
}

// answer is how a connection was taken.
type answer struct {
	code    packet.ReasonCode // of CONNACK
	present bool              // session present
	connack *paho.Connack     // nil in 3.x
}

// connect connects a client that is let in.
func (p *program) connect(d login) peer {
	p.t.Helper()
	c, a := p.tryConnect(d)
	if a.code != packet.Success {
		p.t.Fatalf("%s: refused with 0x%02x", d.id, byte(a.code))
	}
	return c
}

// refused connects a client that is not let in, and returns why.
func (p *program) refused(d login) answer {
	p.t.Helper()
	_, a := p.tryConnect(d)
	if a.code == packet.Success {
		p.t.Fatalf("%s was let in", d.id)
	}
	return a
}

func (p *program) tryConnect(d login) (peer, answer) {
	p.t.Helper()
	if d.url == "" {
		d.url = p.url("local")
	}
	if d.version == 0 {
		d.version = packet.V5
	}
	if d.id == "" {
		d.id = fmt.Sprintf("c%d", p.serial.Add(1))
	}
	switch {
	case d.client == "mosquitto":
		return p.dialMosquitto(d)
	case d.version == packet.V5:
		return p.dial5(d)
	}
	return p.dial3(d)
}

// inbox is where a client's messages arrive.
type inbox chan message

func newInbox() inbox { return make(inbox, 100_000) }

func (in inbox) next(t testing.TB) message {
	t.Helper()
	select {
	case m := <-in:
		return m
	case <-time.After(patience):
		t.Fatal("no message came")
		return message{}
	}
}

// expect wants exactly these messages next, written as message.String does.
func expect(t testing.TB, c peer, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := c.next().String(); got != w {
			t.Fatalf("got %q, want %q", got, w)
		}
	}
}

// granted subscribes, and wants it to be granted as asked for.
func granted(t testing.TB, c peer, filter string, qos byte) {
	t.Helper()
	if code := c.subscribe(filter, qos); code != packet.ReasonCode(qos) {
		t.Fatalf("subscribe %s: 0x%02x, want QoS %d", filter, byte(code), qos)
	}
}

// published publishes, and wants it to be acknowledged: taken, in 5 also by
// nobody.
func published(t testing.TB, c peer, m message) {
	t.Helper()
	if code, text := c.publish(m); code.IsError() {
		t.Fatalf("publish %s: %s %q", m, code, text)
	}
}

// eachVersion runs a test for every version of the protocol.
func eachVersion(t *testing.T, p *program, test func(t *testing.T, p *program, v packet.Version)) {
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) { test(t, p.on(t), v) })
	}
}

func ptr[T any](v T) *T { return &v }
