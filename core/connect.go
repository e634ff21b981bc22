package core

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

	"lunamq/core/packet"
	"lunamq/core/topic"
)

// pending is a CONNECT on its way from the hooks to its session.
type pending struct {
	ev         *ConnectEvent
	in         packet.Connect // its strings are our own
	assigned   bool           // the client identifier is ours
	authMethod string
	authData   []byte
	ack        packet.Connack
	stored     bool // the store knows a session of this name, perhaps one that has ended
}

// handleConnect judges a CONNECT (3.1). What refuses it is answered with a
// CONNACK, by endUnaccepted.
func (c *conn) handleConnect(r *round, body []byte) error {
	var in packet.Connect
	body = slices.Clone(body) // what the session keeps of it outlives the read buffer
	err := in.Decode(body)
	c.version = in.Version
	c.maxPacketOut = math.MaxInt32
	if err != nil {
		return c.connectMalformed(err)
	}
	c.problem = !in.Props.Has(packet.RequestProblemInfo) || in.Props.RequestProblemInfo == 1
	if in.Props.Has(packet.MaximumPacketSize) {
		c.maxPacketOut = int32(min(in.Props.MaximumPacketSize, math.MaxInt32))
	}
	if len(c.listener.Options.Protocols) > 0 && !slices.Contains(c.listener.Options.Protocols, int(in.Version)) {
		return refuse(packet.UnsupportedProtocolVersion, "this listener does not speak MQTT "+in.Version.String())
	}
	if in.ClientID == "" && in.Version != packet.V5 && (!in.CleanStart || in.Version == packet.V31) { // [MQTT-3.1.3-8] of 3.1.1
		return refuse(packet.ClientIDNotValid, "an empty client identifier needs a clean session")
	}
	if err := c.checkWill(&in); err != nil {
		return err
	}
	ev := c.connectEvent(&in)
	ev.round = r
	d := ask(r, c.b.hooks.Load().connect, func(h ConnectHook) Decision { return h.OnConnect(ev) })
	if d.Verdict == Pass && c.b.o.AuthDefaultDeny && !in.Props.Has(packet.AuthMethod) {
		d = Decision{Verdict: Deny, Reason: packet.NotAuthorized, Text: "nobody allowed the connection", By: "auth.default"}
	}
	if d.refuses() {
		ev.settle(true)
		return c.connectDenied(ev, d)
	}
	p := &pending{ev: ev, in: in}
	if err := c.checkConnect(p); err != nil {
		ev.settle(true)
		return err
	}
	if in.Props.Has(packet.AuthMethod) {
		return c.startAuth(r, p)
	}
	return c.accept(r, p)
}

// connectMalformed answers a CONNECT that is not one: MQTT 5 with the code,
// 3.x with a close, an unknown version with return code 1 [MQTT-3.1.2-2].
func (c *conn) connectMalformed(err error) error {
	why := c.why(err)
	c.problem = true // until the CONNECT says otherwise
	switch {
	case why.reason == packet.UnsupportedProtocolVersion:
		c.version = packet.V311
	case c.version != packet.V5:
		why.silent = true
	}
	return &why
}

// connectDenied makes the refusal of a connect hook.
func (c *conn) connectDenied(ev *ConnectEvent, d Decision) error {
	c.client = &Client{ID: ev.ClientID, Username: ev.Username}
	c.b.metrics.ConnectsDenied.Add(1)
	if checkReply(&ev.Reply) == nil {
		c.auth = &authState{reply: ev.Reply}
	}
	return &stop{reason: d.code(), text: d.Text, by: ByScript, who: d.By}
}

func (c *conn) checkWill(in *packet.Connect) error {
	if !in.HasWill {
		return nil
	}
	if in.Will.QoS > c.listener.Options.MaxQoS {
		return refuse(packet.QoSNotSupported, fmt.Sprintf("a will of QoS %d; at most %d is served", in.Will.QoS, c.listener.Options.MaxQoS)) // [MQTT-3.2.2-12]
	}
	if in.Will.Retain && !c.listener.Options.RetainAvailable {
		return refuse(packet.RetainNotSupported, "retained messages are not served") // [MQTT-3.2.2-13]
	}
	if err := c.b.checkTopic(in.Will.Topic); err != nil {
		return refuse(packet.TopicNameInvalid, "will topic: "+err.Error())
	}
	return nil
}

// connectEvent puts a CONNECT into the words of the hooks.
func (c *conn) connectEvent(in *packet.Connect) *ConnectEvent {
	o := &c.b.o
	ev := &ConnectEvent{
		// cloned, so that a session does not hold on to the whole CONNECT
		ClientID: strings.Clone(in.ClientID), Username: strings.Clone(in.Username), HasUsername: in.HasUsername,
		Protocol: in.Version, CleanStart: in.CleanStart, KeepAlive: in.KeepAlive,
		ReceiveMaximum: math.MaxUint16, MaximumPacketSize: in.Props.MaximumPacketSize,
		UserProperties: in.Props.User,
		Remote:         c.remote, Listener: c.listener.Name, TLS: c.tls,
		Vars: new(Vars),
		Limits: Limits{
			PublishRate: c.listener.Options.PublishRate, PublishBytes: c.listener.Options.PublishBytes,
			Inflight: o.Inflight, Queued: o.Queued, PacketSize: c.listener.Options.MaxPacketSize, Subscriptions: o.Subscriptions,
		},
	}
	if in.HasPassword {
		ev.Password = in.Password
	}
	if in.Props.Has(packet.ReceiveMaximum) {
		ev.ReceiveMaximum = in.Props.ReceiveMaximum
	}
	switch {
	case in.Version == packet.V5:
		ev.SessionExpiry = in.Props.SessionExpiry
	case !in.CleanStart:
		ev.SessionExpiry = uint32(min(o.SessionExpiryV3/time.Second, math.MaxUint32))
	}
	if in.HasWill {
		w := &Message{Topic: in.Will.Topic, Payload: in.Will.Payload, QoS: in.Will.QoS, Retain: in.Will.Retain, Origin: OriginWill}
		w.fromProperties(&in.Will.Props)
		ev.Will, ev.WillDelay = w, in.Will.Props.WillDelay
	}
	return ev
}

// checkConnect holds what connect hooks left against the rules of the wire.
func (c *conn) checkConnect(p *pending) error {
	ev := p.ev
	if !packet.ValidString(ev.ClientID) || len(ev.ClientID) > math.MaxUint16 {
		return refuse(packet.ClientIDNotValid, "a rule made a client identifier that is not valid")
	}
	if ev.Mount != "" {
		if err := topic.CheckName(ev.Mount); err != nil || !strings.HasSuffix(ev.Mount, "/") || strings.HasPrefix(ev.Mount, "$") {
			return refuse(packet.UnspecifiedError, fmt.Sprintf("the mount %q must end in / and hold no + # $", ev.Mount))
		}
	}
	if err := c.agreeKeepAlive(p); err != nil {
		return err
	}
	if err := checkReply(&ev.Reply); err != nil {
		return refuse(packet.UnspecifiedError, err.Error())
	}
	if w := ev.Will; w != nil {
		if err := c.b.checkMessage(w); err != nil {
			return refuse(packet.TopicNameInvalid, "will: "+err.Error())
		}
	}
	ev.SessionExpiry = min(ev.SessionExpiry, c.b.maxSessionExpiry())
	p.assigned = ev.ClientID == "" || p.in.ClientID == "" // by a rule, then
	if ev.ClientID == "" {
		ev.ClientID = "auto-" + rand.Text()
	}
	return nil
}

// checkReply holds what a connect hook adds to the CONNACK against the wire.
func checkReply(reply *ConnectReply) error {
	ok := packet.ValidString(reply.ResponseInformation) && packet.ValidString(reply.ServerReference)
	for _, p := range reply.UserProperties {
		ok = ok && packet.ValidString(p.Key) && packet.ValidString(p.Value)
	}
	if !ok {
		return errors.New("a rule made a reply that is not valid UTF-8 of at most 65535 bytes")
	}
	return nil
}

// accept gives the connection its session, sends CONNACK and what waits.
func (c *conn) accept(r *round, p *pending) error {
	ev := p.ev
	c.client = &Client{
		ID: ev.ClientID, Username: ev.Username, HasUsername: ev.HasUsername,
		Remote: c.remote, Listener: c.listener.Name, Protocol: c.version, TLS: c.tls,
		ConnectedAt: time.Now(), Mount: ev.Mount,
	}
	if c.tap != nil {
		c.tap.client.Store(c.client)
	}
	c.rates = newRates(&ev.Limits)
	c.maxPacket = int32(max(min(ev.Limits.PacketSize, maxWirePacket), minPacketSize))
	c.receiveMaximum = int32(c.listener.Options.ReceiveMaximum)
	if ev.Limits.Inflight != c.b.o.Inflight { // a rule has its own
		c.receiveMaximum = int32(max(1, min(ev.Limits.Inflight, math.MaxUint16)))
	}
	c.acks.bound(c.receiveMaximum)
	c.windowOut = uint16(max(1, min(int(ev.ReceiveMaximum), ev.Limits.Inflight, math.MaxUint16-1)))
	if c.version == packet.V5 && p.in.Props.Has(packet.TopicAliasMaximum) {
		c.aliasMaximum = uint16(min(int(p.in.Props.TopicAliasMaximum), c.listener.Options.TopicAliasMaximumOut))
	}
	c.keepAlive = ev.KeepAlive
	c.expiryAsked, c.expiryMax = p.in.Props.SessionExpiry, c.b.maxSessionExpiry()
	if ev.SessionExpiry < c.expiryAsked {
		c.expiryMax = ev.SessionExpiry
	}
	err := c.announce(p)
	present := false
	if err == nil {
		present, err = c.attach(r, p)
	}
	if err != nil {
		ev.settle(true)
		return err
	}
	c.state = stateAccepted
	c.spoke()
	if c.keepAlive == 0 {
		c.stopTimer()
	}
	c.leaveHandshake() // what is due from here on is the keep alive
	if c.keepAlive > 0 {
		c.b.deadlines.set(c, c.patience())
	}
	c.b.metrics.Connects.Add(1)
	c.b.commitNow(r)
	ev.settle(false)
	c.b.log.Info("client connected", "client", c.client.ID, "addr", c.remote, "listener", c.listener.Name,
		"protocol", c.version.String(), slog.Bool("session_present", present))
	c.b.tellConnected(r, &ConnectedEvent{Client: c.client, SessionPresent: present})
	return nil
}

// minPacketSize is the least bound a rule may give to a client's packets: its
// acknowledgements and a short DISCONNECT.
const minPacketSize = 64

// agreeKeepAlive decides the keep alive: the rule's where one has changed it,
// else the listener's for MQTT 5 [MQTT-3.2.2-21], else the client's, and at
// most the maximum. A client of 3.x cannot be told of a shorter one than it
// asked for: a rule's is not used, and one above the maximum is refused.
func (c *conn) agreeKeepAlive(p *pending) error {
	asked, ev := p.in.KeepAlive, p.ev
	v5 := c.version == packet.V5
	shorter := ev.KeepAlive != 0 && (asked == 0 || ev.KeepAlive < asked)
	switch {
	case ev.KeepAlive != asked && shorter && !v5:
		ev.KeepAlive = asked
	case ev.KeepAlive == asked && v5 && c.listener.Options.ServerKeepAlive > 0:
		ev.KeepAlive = uint16(min(c.listener.Options.ServerKeepAlive, math.MaxUint16))
	}
	if longest := c.listener.Options.MaxKeepAlive; longest > 0 && (ev.KeepAlive == 0 || int(ev.KeepAlive) > longest) {
		if !v5 {
			return refuse(packet.ClientIDNotValid, fmt.Sprintf("a keep alive of %d s; 1 to %d are accepted", ev.KeepAlive, longest))
		}
		ev.KeepAlive = uint16(longest)
	}
	return nil
}

// attach gives the connection the session of its client identifier: a new one,
// or the one that was kept. Who has it now is disconnected first.
func (c *conn) attach(r *round, p *pending) (present bool, err error) {
	for {
		s := c.b.findOrCreate(p.ev.Mount, p.ev.ClientID)
		if s == nil {
			return false, refuse(packet.QuotaExceeded, "too many sessions")
		}
		s.mu.Lock()
		p.stored = p.stored || s.stored
		switch {
		case s.gone:
			ended := s.ended
			s.mu.Unlock()
			if err := c.waitEnded(r, ended); err != nil {
				return false, err
			}
			continue
		case c.posted.Load() != nil || c.b.closing.Load():
			fresh := !s.established
			s.mu.Unlock()
			if fresh {
				c.b.endSession(r, s, "not accepted")
			}
			return false, refuse(packet.ServerUnavailable, "the broker is shutting down")
		case s.established && s.endedLocked():
			s.mu.Unlock()
			c.b.endSession(r, s, SessionExpired)
			continue
		case s.established && !s.belongsTo(c.client):
			s.mu.Unlock()
			return false, refuse(packet.NotAuthorized, "the session belongs to another user")
		case s.owner != nil:
			old := s.owner
			if p.in.CleanStart {
				s.expiry = 0 // it ends with the connection that has it, and its will is sent (3.1.4)
			}
			s.mu.Unlock()
			c.takeOver(r, old)
			continue
		case s.established && p.in.CleanStart:
			s.mu.Unlock()
			c.b.endSession(r, s, SessionCleanStart) // [MQTT-3.1.2-4]
			continue
		case s.will != nil && !time.Now().Before(s.will.due): // its timer is about to run
			w := s.will
			s.will = nil
			s.mu.Unlock()
			c.b.sendDueWill(r, w)
			continue
		}
		present = s.established
		c.adoptLocked(r, s, p, present)
		s.mu.Unlock()
		return present, nil
	}
}

// waitEnded waits until the store has been told that a session has ended: what
// waited there may be on its way to others.
func (c *conn) waitEnded(r *round, ended <-chan struct{}) error {
	if ended == nil {
		return nil
	}
	r.mayWait()
	timeout := time.NewTimer(c.b.o.HandshakeTimeout)
	defer timeout.Stop()
	select {
	case <-ended:
		return nil
	case <-timeout.C:
	case <-c.b.told:
	}
	return refuse(packet.ServerUnavailable, "the session of this client identifier is still being ended")
}

func (s *session) belongsTo(c *Client) bool {
	return s.client.HasUsername == c.HasUsername && s.client.Username == c.Username
}

// takeOver disconnects who has the session [MQTT-3.1.4-3]. It runs the old
// connection's end here and does not wait for its goroutine.
func (c *conn) takeOver(r *round, old *conn) {
	why := stop{reason: packet.SessionTakenOver, text: "connected again from " + c.remote, by: ByTakeover}
	old.posted.CompareAndSwap(nil, &why)
	if e, mine := old.release(r, why); mine {
		old.out.shut(old.lastPacketFor(why), c.b.o.ShutdownTimeout)
		c.b.finish(r, e)
	}
}

// adoptLocked makes c the connection of s: CONNACK is appended first, then what
// was unacknowledged, then what waits. With a durable store all of that leaves
// when the store has kept what CONNACK says.
func (c *conn) adoptLocked(r *round, s *session, p *pending, present bool) {
	ev := p.ev
	s.stopClockLocked()
	s.owner, s.established = c, true
	s.expires = 0
	s.will = nil // a delayed one is not sent: the client is back [MQTT-3.1.3-9]
	s.expiry, s.limits = ev.SessionExpiry, c.listener.limits.share(&ev.Limits)
	s.vars.merge(ev.Vars)
	c.client.Vars = &s.vars
	if c.tap == nil { // nobody else sees it yet
		c.client.ID, c.client.Mount = s.id(), s.mount() // one text for both
	}
	s.client = c.client
	c.sess = s
	if ev.Will != nil {
		s.will = newWill(c.client, s, ev)
	}
	c.out.belongTo(s)
	s.stored = s.stored || s.keptLocked() // one that is stored stays so until its end: messages may lie in the store alone
	if s.stored || p.stored {
		s.storeConnectedLocked(c)
	}
	p.ack.SessionPresent = present && c.version != packet.V31
	c.out.force(r, p.ack.Append(nil, c.version))
	s.window.restart()
	s.conn.Store(c)
	c.b.metrics.connected()
	s.pumpLocked(r)
}

// onDrained is called when a slow client has taken everything: what waits for
// it goes on.
func (s *session) onDrained() {
	r := s.b.newRound()
	s.mu.Lock()
	s.pumpLocked(r)
	s.mu.Unlock()
	s.b.commitNow(r)
	r.end()
}

// announce makes the CONNACK: what the server does (3.2.2.3), where it differs
// from the specification's default.
func (c *conn) announce(p *pending) error {
	if c.version != packet.V5 {
		return nil
	}
	ack := &p.ack
	o, ev, pr := c.listener.Options, p.ev, &ack.Props
	if ev.SessionExpiry != p.in.Props.SessionExpiry {
		pr.Set(packet.SessionExpiry)
		pr.SessionExpiry = ev.SessionExpiry
	}
	if c.receiveMaximum < math.MaxUint16 {
		pr.Set(packet.ReceiveMaximum)
		pr.ReceiveMaximum = uint16(c.receiveMaximum)
	}
	if o.MaxQoS < 2 {
		pr.Set(packet.MaximumQoS)
		pr.MaximumQoS = o.MaxQoS
	}
	flag := func(id packet.PropertyID, field *byte, available bool) {
		if !available {
			pr.Set(id)
			*field = 0
		}
	}
	flag(packet.RetainAvailable, &pr.RetainAvailable, o.RetainAvailable)
	flag(packet.WildcardAvailable, &pr.WildcardAvailable, o.WildcardSubscriptions)
	flag(packet.SubscriptionIDsAvail, &pr.SubscriptionIDsAvail, o.SubscriptionIdentifiers)
	flag(packet.SharedSubscrAvailable, &pr.SharedSubscrAvailable, o.SharedSubscriptions)
	if c.maxPacket < maxWirePacket {
		pr.Set(packet.MaximumPacketSize)
		pr.MaximumPacketSize = uint32(c.maxPacket)
	}
	if p.assigned {
		pr.Set(packet.AssignedClientID)
		pr.AssignedClientID = ev.ClientID // [MQTT-3.2.2-16]
	}
	if o.TopicAliasMaximum > 0 {
		pr.Set(packet.TopicAliasMaximum)
		pr.TopicAliasMaximum = uint16(o.TopicAliasMaximum)
	}
	if ev.KeepAlive != p.in.KeepAlive {
		pr.Set(packet.ServerKeepAlive)
		pr.ServerKeepAlive = ev.KeepAlive // [MQTT-3.2.2-21]
	}
	if ev.Reply.ResponseInformation != "" && p.in.Props.RequestResponseInfo == 1 {
		pr.Set(packet.ResponseInfo)
		pr.ResponseInfo = ev.Reply.ResponseInformation // [MQTT-3.1.2-28]
	}
	if ev.Reply.ServerReference != "" {
		pr.Set(packet.ServerReference)
		pr.ServerReference = ev.Reply.ServerReference
	}
	if p.authMethod != "" {
		pr.Set(packet.AuthMethod)
		pr.AuthMethod = p.authMethod
		if p.authData != nil {
			pr.Set(packet.AuthData)
			pr.AuthData = p.authData
		}
	}
	pr.User = ev.Reply.UserProperties
	if len(pr.User) > 0 && ack.Size(c.version) > int(c.maxPacketOut) { // [MQTT-3.2.2-20]
		pr.User = nil
	}
	if n := ack.Size(c.version); n > int(c.maxPacketOut) { // [MQTT-3.1.2-24]
		return refuse(packet.PacketTooLarge, fmt.Sprintf("a CONNACK of %d bytes; the client accepts %d", n, c.maxPacketOut))
	}
	return nil
}

// maxSessionExpiry is the longest session expiry, in seconds.
func (b *Broker) maxSessionExpiry() uint32 {
	if b.o.MaxSessionExpiry >= Unlimited*time.Second {
		return never
	}
	return uint32(b.o.MaxSessionExpiry / time.Second)
}

// maxWirePacket is the largest packet the wire can carry (2.1.4).
const maxWirePacket = 268_435_460

// refusal encodes the CONNACK of a connection that was not accepted.
func (c *conn) refusal(why stop) []byte {
	ack := packet.Connack{Code: why.reason}
	if !ack.Code.AllowedIn(packet.CONNACK) {
		ack.Code = packet.UnspecifiedError
	}
	if c.version != packet.V5 {
		ack.Code = packet.ReasonCode(ack.Code.ConnackV3())
		v := c.version
		if v != packet.V31 {
			v = packet.V311
		}
		return ack.Append(nil, v)
	}
	if c.problem && why.text != "" {
		ack.Props.Set(packet.ReasonString)
		ack.Props.ReasonString = why.text
	}
	if c.auth != nil {
		reply := c.auth.reply
		if reply.ServerReference != "" {
			ack.Props.Set(packet.ServerReference)
			ack.Props.ServerReference = reply.ServerReference
		}
		ack.Props.User = reply.UserProperties
	}
	if ack.Size(c.version) > int(c.maxPacketOut) { // [MQTT-3.2.2-19]
		ack.Props.Reset()
	}
	if ack.Size(c.version) > int(c.maxPacketOut) {
		return nil // [MQTT-3.1.2-24]
	}
	return ack.Append(nil, c.version)
}
