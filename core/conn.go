package core

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"lunamq/core/packet"
)

// conn is one client's connection: the protocol as a machine that is fed
// bytes. How bytes come is the driver's affair (driver.go), how they go the
// outbox's.
type conn struct {
	// Immutable:
	b        *Broker
	listener *listening
	remote   string
	tls      *TLSInfo
	tap      *tap // nil unless packets are shown to hooks

	poll pollSocket // of the poller
	out  outbox

	// Owned by the reader:
	rest           rest // an unfinished packet
	rates          *rates
	aliasesIn      map[uint16]string
	routes         *routeCache
	auth           *authState
	need           int32 // size of the unfinished packet, where known
	maxPacket      int32 // bytes of a packet we accept
	receiveMaximum int32 // QoS 1 and 2 messages unacknowledged from the client
	state          connState
	problem        bool // reason strings and user properties may be sent [MQTT-3.1.2-29]

	// Set before the session has the connection, immutable after:
	sess         *session
	client       *Client
	version      packet.Version
	windowOut    uint16 // QoS 1 and 2 messages unacknowledged towards the client
	aliasMaximum uint16 // towards the client
	keepAlive    uint16 // seconds; 0 none
	maxPacketOut int32  // bytes of a packet the client accepts
	expiryAsked  uint32 // of the session, in CONNECT
	expiryMax    uint32 // what DISCONNECT may ask for

	// Atomic:
	busy          atomic.Bool // the reader handles what came
	handshakeOver atomic.Bool
	timeless      atomic.Bool          // no deadline is set any more
	lastPacket    atomic.Int64         // by the broker's deadlines
	posted        atomic.Pointer[stop] // why others ended it

	// Guarded by sess.mu:
	aliasesOut map[string]uint16

	acks completions

	due // the end of the handshake, then of the keep alive
}

// rates bound what a client sends; nil lets everything pass.
type rates struct{ messages, bytes bucket }

func newRates(l *Limits) *rates {
	if l.PublishRate <= 0 && l.PublishBytes <= 0 {
		return nil
	}
	return &rates{newBucket(l.PublishRate), newBucket(l.PublishBytes)}
}

// allow takes one message with a payload of n bytes if it may pass.
func (r *rates) allow(n int) bool {
	return r == nil || r.messages.allow(1) && r.bytes.allow(float64(n))
}

// leaveHandshake makes room for another connection in the handshake.
func (c *conn) leaveHandshake() {
	if !c.handshakeOver.Swap(true) {
		c.b.pending.Add(-1)
	}
}

type connState uint8

const (
	stateNew      connState = iota // waits for CONNECT
	stateAuth                      // in enhanced authentication
	stateAccepted                  // CONNACK sent
	stateEnded
)

// stop is why a connection ends.
type stop struct {
	reason packet.ReasonCode
	text   string
	by     By
	who    string // rule file:line, plugin name; "" the broker's own rules
	silent bool   // nothing is sent
}

func (s *stop) Error() string { return fmt.Sprintf("%s: %s", s.reason, s.text) }

func refuse(reason packet.ReasonCode, text string) error {
	return &stop{reason: reason, text: text, by: ByBroker}
}

var errEnded = errors.New("the connection has ended")

// hasRoom says whether a message would be sent at once, roughly: it is asked
// without the session's lock.
func (c *conn) hasRoom() bool { return !c.sess.waits.Load() && c.out.hasRoom(1<<10) }

// receive takes what a read brought and answers it.
func (c *conn) receive(r *round, buf []byte) (consumed int, err error) {
	if c.tap != nil { // asked here, too: a deferred call costs each read
		defer c.lockFeeding(r)()
	}
	c.busy.Store(true)
	defer func() {
		c.busy.Store(false)
		if p := recover(); p != nil {
			c.b.metrics.Panics.Add(1)
			c.b.log.Error("a connection panicked and is closed", "client", c.id(), "addr", c.remote, "err", p, "stack", string(debug.Stack()))
			err = refuse(packet.UnspecifiedError, "internal error")
		}
		if err != nil && err != errWaitForEnd {
			c.end(r, err)
		}
	}()
	return c.feed(r, buf)
}

// feed handles every whole packet in buf and returns how much that was.
func (c *conn) feed(r *round, buf []byte) (consumed int, err error) {
	handled := false
	for consumed < len(buf) {
		rest := buf[consumed:]
		if err := c.checkFirst(rest[0]); err != nil {
			return consumed, err
		}
		h, ok, err := c.parseHeader(rest)
		if err != nil {
			return consumed, err
		}
		if !ok {
			c.need = 0
			break
		}
		if err := c.checkSize(h); err != nil {
			return consumed, err
		}
		if len(rest) < h.Size {
			c.need = int32(h.Size)
			break
		}
		if c.state == stateAccepted && c.b.closing.Load() {
			return consumed, c.awaitEnd()
		}
		if p := c.posted.Load(); p != nil { // what comes after our DISCONNECT is not handled [MQTT-3.14.4-1]
			return consumed, p
		}
		c.need = 0
		handled = true
		if c.tap != nil {
			err = c.handleTapped(r, h, rest[:h.Size])
		} else {
			err = c.handle(r, h, rest[h.HeaderLen:h.Size])
		}
		if err != nil {
			return consumed, err
		}
		consumed += h.Size
	}
	if handled {
		c.spoke()
	}
	return consumed, c.commitRead(r)
}

// awaitEnd leaves what comes to the next broker, while every client is told
// that this one ends: it is not handled, so that it is sent again.
func (c *conn) awaitEnd() error {
	select {
	case <-c.b.told:
	default:
		return errWaitForEnd
	}
	if p := c.posted.Load(); p != nil {
		return p
	}
	return &shuttingDown
}

// errWaitForEnd says that the connection is not read from any more, until the
// broker has ended it.
var errWaitForEnd = errors.New("the broker ends")

// checkFirst refuses what is not a CONNECT where one must come [MQTT-3.1.0-1].
func (c *conn) checkFirst(first byte) error {
	if c.state == stateNew && packet.Type(first>>4) != packet.CONNECT {
		return &stop{reason: packet.ProtocolError, text: "the first packet is not CONNECT", by: ByBroker, silent: true}
	}
	return nil
}

func (c *conn) checkSize(h packet.Header) error {
	if h.Size > int(c.maxPacket) {
		return refuse(packet.PacketTooLarge, fmt.Sprintf("a %s of %d bytes; at most %d are accepted", h.Type, h.Size, c.maxPacket))
	}
	return nil
}

func (c *conn) parseHeader(buf []byte) (packet.Header, bool, error) {
	if c.version == packet.V31 {
		return packet.ParseHeaderV31(buf)
	}
	return packet.ParseHeader(buf)
}

// handle does what one packet asks for.
func (c *conn) handle(r *round, h packet.Header, body []byte) error {
	r.counts.packetsReceived++
	switch c.state {
	case stateNew:
		return c.handleConnect(r, body)
	case stateAuth:
		switch h.Type {
		case packet.AUTH:
			return c.handleAuth(r, h, body)
		case packet.DISCONNECT:
			return c.handleDisconnect(h, body)
		}
		return refuse(packet.ProtocolError, h.Type.String()+" before the authentication has ended") // [MQTT-3.1.2-30]
	case stateEnded:
		return errEnded
	}
	switch h.Type {
	case packet.PUBLISH:
		return c.handlePublish(r, h, body)
	case packet.PUBACK, packet.PUBREC, packet.PUBREL, packet.PUBCOMP:
		return c.handleAck(r, h, body)
	case packet.SUBSCRIBE:
		return c.handleSubscribe(r, h, body)
	case packet.UNSUBSCRIBE:
		return c.handleUnsubscribe(r, h, body)
	case packet.PINGREQ:
		if err := new(packet.Pingreq).Decode(c.version, h, body); err != nil {
			return err
		}
		return c.answer(r, (&packet.Pingresp{}).Append(r.scratch[:0], c.version))
	case packet.DISCONNECT:
		return c.handleDisconnect(h, body)
	case packet.AUTH:
		return c.handleAuth(r, h, body)
	case packet.CONNECT:
		return refuse(packet.ProtocolError, "a second CONNECT") // [MQTT-3.1.0-2]
	}
	return refuse(packet.ProtocolError, h.Type.String()+" is not for a server")
}

// answer appends a packet to the connection's own outbox; p may be r.scratch.
func (c *conn) answer(r *round, p []byte) error {
	if err := c.checkAnswer(p); err != nil {
		return err
	}
	c.out.force(r, p)
	r.scratch = p[:0]
	return nil
}

// checkAnswer ends a connection that could not take what it is to be answered
// [MQTT-3.1.2-24].
func (c *conn) checkAnswer(p []byte) error {
	if len(p) > int(c.maxPacketOut) {
		return refuse(packet.PacketTooLarge, fmt.Sprintf("an answer of %d bytes; the client accepts %d", len(p), c.maxPacketOut))
	}
	return nil
}

// stop ends the connection from another goroutine: it posts why and never
// waits. The session is taken from it at once.
func (c *conn) stop(why stop) {
	c.posted.CompareAndSwap(nil, &why)
	r := c.b.newRound()
	c.end(r, &why)
	r.end()
}

// end ends the connection, whoever calls first: the client is told, the
// session is released, the will is decided, hooks are told. The caller holds
// no lock.
func (c *conn) end(r *round, err error) {
	why := c.why(err)
	if c.sess == nil {
		c.endUnaccepted(r, why)
		return
	}
	e, mine := c.release(r, why)
	if !mine {
		c.out.shut(nil, c.b.o.ShutdownTimeout)
		return
	}
	if why.by == ByClient { // it sends nothing more that we would have to read [MQTT-3.14.4-1]
		c.out.readNoMore()
	}
	c.out.shut(c.lastPacketFor(why), c.b.o.ShutdownTimeout)
	c.b.finish(r, e)
}

// why turns what ended the connection into a stop, in one place.
func (c *conn) why(err error) stop {
	if p := c.posted.Load(); p != nil {
		return *p
	}
	var s *stop
	var pe *packet.Error
	switch {
	case errors.As(err, &s):
		return *s
	case errors.As(err, &pe):
		c.b.metrics.ProtocolErrors.Add(1)
		return stop{reason: pe.Code, text: pe.Text, by: ByBroker}
	}
	return stop{reason: packet.UnspecifiedError, text: "connection lost: " + errText(err), by: ByNetwork, silent: true}
}

func errText(err error) string {
	if err == nil {
		return "closed"
	}
	return strings.TrimPrefix(err.Error(), "read ")
}

// lastPacketFor encodes the DISCONNECT of MQTT 5; 3.x has none from a server.
// Who has not been sent CONNACK yet gets one that refuses [MQTT-3.14.0-1].
func (c *conn) lastPacketFor(why stop) []byte {
	if why.silent || why.by == ByClient {
		return nil
	}
	if c.out.takeBack() {
		return c.refusal(why)
	}
	if c.version != packet.V5 {
		return nil
	}
	code := why.reason
	if !code.AllowedIn(packet.DISCONNECT) {
		code = packet.UnspecifiedError
	}
	d := packet.Disconnect{Code: code}
	if c.problem && why.text != "" {
		d.Props.Set(packet.ReasonString)
		d.Props.ReasonString = why.text
		if d.Size(c.version) > int(c.maxPacketOut) { // [MQTT-3.14.2-3]
			d.Props.Reset() // three bytes are left: whoever took the CONNACK takes those
		}
	}
	return d.Append(nil, c.version)
}

// endUnaccepted ends a connection that has no session: where a CONNECT was
// understood, with a CONNACK.
func (c *conn) endUnaccepted(r *round, why stop) {
	c.stopTimer()
	var last []byte
	if !why.silent && c.version != 0 && why.by != ByClient {
		last = c.refusal(why)
	}
	c.out.shut(last, c.b.o.ShutdownTimeout)
	level := c.b.log.Debug
	if c.version != 0 || why.reason != packet.UnspecifiedError {
		level = c.b.log.Info
	}
	level("connection refused", "client", c.id(), "addr", c.remote, "listener", c.listener.Name, "reason", why.reason.String(), "text", why.text, "by", whoDecided(why))
}

func whoDecided(why stop) string {
	if why.who != "" {
		return why.who
	}
	return string(why.by)
}

func (c *conn) id() string {
	if c.client != nil {
		return c.client.ID
	}
	return ""
}

// onDue ends a connection that is late with its CONNECT, or has been silent.
func (c *conn) onDue() {
	if c.handshakeOver.Load() {
		c.onKeepAlive()
	} else {
		c.onHandshakeTimeout()
	}
}

// spoke notes that the client has sent something.
func (c *conn) spoke() { c.lastPacket.Store(c.b.deadlines.now()) }

// stopTimer ends what the connection is held to.
func (c *conn) stopTimer() {
	c.timeless.Store(true)
	c.b.deadlines.clear(c)
}

// patience is how long the client may be silent [MQTT-3.1.2-22].
func (c *conn) patience() time.Duration { return time.Duration(c.keepAlive) * time.Second * 3 / 2 }

// onKeepAlive ends the connection if no packet has come for one and a half
// times the keep alive [MQTT-3.1.2-22], else waits for the rest of it. While the
// reader is held up by a hook, what the client has sent meanwhile is not known.
func (c *conn) onKeepAlive() {
	if c.timeless.Load() { // since it was due
		return
	}
	left := c.patience() - time.Duration(c.b.deadlines.now()-c.lastPacket.Load())
	if c.busy.Load() || c.poll.isPaused() {
		left = c.patience()
	}
	if left <= 0 { // hooks are told, and may wait
		go c.stop(stop{reason: packet.KeepAliveTimeout, text: fmt.Sprintf("no packet for %s", c.patience()), by: ByBroker})
		return
	}
	c.b.deadlines.set(c, left)
	if c.timeless.Load() { // since then
		c.b.deadlines.clear(c)
	}
}
