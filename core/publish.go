package core

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"lunamq/core/packet"
	"lunamq/core/topic"
)

// handlePublish takes a PUBLISH the way of one message: it is decoded and its
// topic alias resolved, authorised, intercepted, retained, routed, and its
// sender is acknowledged last.
func (c *conn) handlePublish(r *round, h packet.Header, body []byte) error {
	p := &r.in
	if err := p.Decode(c.version, h, body); err != nil {
		return err
	}
	r.counts.messagesReceived++
	r.counts.publishReceived++
	r.counts.publishReceivedBytes += int64(h.Size)
	if err := c.checkPublish(p); err != nil {
		return err
	}
	if err := c.resolveAlias(p); err != nil {
		return err
	}
	if p.QoS == 2 {
		duplicate, err := c.reserve(r, p.PacketID)
		if err != nil {
			return err
		}
		if duplicate { // [MQTT-4.3.3-10]: it has met the rules already
			return c.acknowledgeAgain(r, packet.Ack{Type: packet.PUBREC, PacketID: p.PacketID})
		}
	}
	m := &r.msg
	m.fromPublish(p)
	m.Publisher = c.client
	d, matched := c.process(r, m)
	if d.Verdict == Disconnect || d.Verdict == Deny && c.version != packet.V5 && c.b.o.DenyPublishV3Disconnects {
		c.b.metrics.PublishesDenied.Add(1)
		if p.QoS == 2 {
			c.unreserve(r, p.PacketID)
		}
		return &stop{reason: d.code(), text: d.Text, by: ByScript, who: d.By}
	}
	err := c.acknowledgePublish(r, p, d, matched)
	r.publish.settle(false) // behind the commit that the acknowledgement waits for
	return err
}

// checkPublish holds a PUBLISH against what this listener announced.
func (c *conn) checkPublish(p *packet.Publish) error {
	if p.QoS > c.listener.Options.MaxQoS {
		return refuse(packet.QoSNotSupported, fmt.Sprintf("a PUBLISH of QoS %d; at most %d is served", p.QoS, c.listener.Options.MaxQoS)) // [MQTT-3.2.2-11]
	}
	if p.Retain && !c.listener.Options.RetainAvailable {
		return refuse(packet.RetainNotSupported, "retained messages are not served") // [MQTT-3.2.2-14]
	}
	return p.CheckFrom(packet.FromClient) // [MQTT-3.3.4-6]
}

// resolveAlias replaces a topic alias by its topic, or learns it (3.3.2.3.4).
func (c *conn) resolveAlias(p *packet.Publish) error {
	if !p.Props.Has(packet.TopicAlias) {
		return nil
	}
	alias := p.Props.TopicAlias
	if alias == 0 || int(alias) > c.listener.Options.TopicAliasMaximum { // [MQTT-3.3.2-8], [MQTT-3.3.2-9]
		return refuse(packet.TopicAliasInvalid, fmt.Sprintf("topic alias %d; 1 to %d are accepted", alias, c.listener.Options.TopicAliasMaximum))
	}
	if p.Topic == "" {
		known, ok := c.aliasesIn[alias]
		if !ok {
			return refuse(packet.ProtocolError, fmt.Sprintf("topic alias %d was not set on this connection", alias))
		}
		p.Topic = known
		return nil
	}
	if c.aliasesIn == nil {
		c.aliasesIn = make(map[uint16]string)
	}
	if c.aliasesIn[alias] != p.Topic {
		c.aliasesIn[alias] = strings.Clone(p.Topic)
	}
	return nil
}

// reserve takes a QoS 2 identifier until its PUBREL, before the message meets
// the rules: who takes the session over meanwhile and sends it again is not
// heard twice. It says whether the identifier was taken already, and ends a
// connection that has too many [MQTT-3.3.4-7].
func (c *conn) reserve(r *round, id uint16) (duplicate bool, err error) {
	s := c.sess
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owner != c {
		return false, errEnded
	}
	if s.received.has(id) {
		return true, nil
	}
	if s.received.len() >= int(c.receiveMaximum) && c.version == packet.V5 {
		return false, refuse(packet.ReceiveMaximumExceeded, fmt.Sprintf("more than %d QoS 2 messages unacknowledged", c.receiveMaximum))
	}
	s.ownReceivedLocked().add(id)
	if s.keptLocked() {
		r.batch.add(Op{Kind: PutReceived, Session: s.name, Life: s.life, ID: id})
		s.unkeptLocked(r, id)
	}
	return false, nil
}

// unkeptLocked notes which batch stores a QoS 2 identifier.
func (s *session) unkeptLocked(r *round, id uint16) {
	if !s.b.durable {
		return
	}
	if s.unkept == nil {
		s.unkept = make(map[uint16]*held)
	}
	if r.held == nil {
		r.held = new(held)
	}
	s.unkept[id] = r.held
}

// acknowledgeAgain answers a QoS 2 message that came again. The first may still
// be on its way to the store, from a connection that has gone: this answer is
// no earlier than that one's would have been.
func (c *conn) acknowledgeAgain(r *round, a packet.Ack) error {
	s := c.sess
	s.mu.Lock()
	h := s.unkept[a.PacketID]
	s.mu.Unlock()
	if h == nil {
		return c.acknowledge(r, a)
	}
	k := &completion{c: c, answer: a.Append(nil, c.version), ack: a}
	if err := c.checkAnswer(k.answer); err != nil {
		return err
	}
	c.acks.push(k)
	if decided, err := h.join(k); decided {
		k.complete(r, err)
	}
	return nil
}

// unreserve frees the identifier of a QoS 2 message that was refused: it is
// free at once (4.3.3). One that another connection answers for by now stays.
func (c *conn) unreserve(r *round, id uint16) {
	s := c.sess
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owner == c && s.removeReceivedLocked(id) && s.keptLocked() {
		r.batch.add(Op{Kind: DeleteReceived, Session: s.name, Life: s.life, ID: id})
	}
}

// process takes a client's message from authorisation to routing and returns
// what was decided and how many receivers there were.
func (c *conn) process(r *round, m *Message) (Decision, int) {
	b := c.b
	if d := c.checkName(m); d.refuses() {
		return d, 0
	}
	if !c.rates.allow(len(m.Payload)) {
		r.drop(m, nil, CauseRate)
		return Decision{Verdict: Deny, Reason: packet.QuotaExceeded, Text: "publish rate exceeded", By: "limits"}, 0
	}
	ev := &r.publish
	ev.Client, ev.Message = c.client, m
	ev.round, ev.made = r, nil
	rt := c.routeOf(r, m.Topic)
	if t := b.hooks.Load(); rt.isJudged(b, t) {
		if d := b.judge(t, ev, rt); d.refuses() {
			ev.settle(d.Verdict != Drop)
			return d, 0
		}
	}
	if m.Topic != rt.topic {
		rt = c.routeOf(r, m.Topic)
	}
	if n := len(c.client.Mount); n > 0 && max(len(m.Topic), len(m.ResponseTopic))+n > math.MaxUint16 {
		ev.settle(true)
		return Decision{Verdict: Deny, Reason: packet.TopicNameInvalid, Text: "with its mount the topic is longer than 65535 bytes", By: "mount"}, 0
	}
	rt = c.find(r, rt)
	m.Topic = rt.full
	if c.client.Mount != "" && m.HasResponseTopic {
		m.ResponseTopic = mounted(c.client.Mount, m.ResponseTopic)
	}
	m.seal()
	r.forget()
	if d := b.retain(r, m); d.refuses() {
		ev.settle(true)
		return d, 0
	}
	n := r.route(m, rt)
	if n == 0 && !m.Retain { // a retained one is not lost
		r.drop(m, nil, CauseNoSubscriber)
	}
	return Decision{}, n
}

// checkName refuses topics that clients may not publish to.
func (c *conn) checkName(m *Message) Decision {
	if isSys(m.Topic) {
		return Decision{Verdict: Deny, Reason: packet.NotAuthorized, Text: "$SYS is the broker's own", By: "broker"}
	}
	if err := c.b.checkLevels(m.Topic); err != nil {
		return Decision{Verdict: Deny, Reason: packet.TopicNameInvalid, Text: err.Error(), By: "limits.topic_levels"}
	}
	return Decision{}
}

// isSys says that a topic is one of those on which the broker alone publishes.
func isSys(name string) bool { return name == "$SYS" || strings.HasPrefix(name, "$SYS/") }

// judge puts a message of a topic that isJudged to the ACLs and the rules. Any
// refusal refuses; else any allow authorises; else the default decides. What a rule
// changed is validated and authorised again.
func (b *Broker) judge(t *hookTable, ev *PublishEvent, rt *route) Decision {
	wanted := rt.wanted
	m := ev.Message
	asked, qos, retain := m.Topic, m.QoS, m.Retain
	byACL := b.askAccess(ev, t, m)
	if byACL.refuses() {
		ev.round.drop(m, nil, CauseACL)
		return byACL
	}
	var d Decision
	if wanted {
		d = ask(ev.round, t.publish, func(h PublishHook) Decision { return h.OnPublish(ev) })
	}
	if d.refuses() {
		ev.round.drop(m, nil, CauseScript)
		return d
	}
	if wanted {
		err := b.checkMessage(m)
		if err == nil && isSys(m.Topic) {
			err = errors.New("$SYS is the broker's own")
		}
		if err != nil {
			ev.round.drop(m, nil, CauseScript)
			return Decision{Verdict: Deny, Reason: packet.UnspecifiedError, Text: "a rule made a message that is not valid: " + err.Error(), By: "broker"}
		}
		if b.o.Recheck && len(t.access) > 0 && (m.Topic != asked || m.QoS != qos || m.Retain != retain) {
			if again := b.askAccess(ev, t, m); again.refuses() {
				ev.round.drop(m, nil, CauseACL)
				return again
			}
		}
	}
	if d.Verdict != Allow && byACL.Verdict != Allow && !ev.allowed && b.o.AuthDefaultDeny {
		ev.round.drop(m, nil, CauseACL)
		return Decision{Verdict: Deny, Reason: packet.NotAuthorized, Text: "nobody allowed it", By: "auth.default"}
	}
	return Decision{}
}

func (b *Broker) askAccess(pub *PublishEvent, t *hookTable, m *Message) Decision {
	if len(t.access) == 0 {
		return Decision{}
	}
	ev := &AccessEvent{Client: pub.Client, Action: ActionPublish, Topic: m.Topic, QoS: m.QoS, Retain: m.Retain}
	return ask(pub.round, t.access, func(h AccessHook) Decision { return h.OnAccess(ev) })
}

// checkMessage validates what hooks may have changed as strictly as the wire.
func (b *Broker) checkMessage(m *Message) error {
	switch {
	case m.QoS > 2:
		return fmt.Errorf("qos %d is not 0, 1 or 2", m.QoS)
	case !packet.ValidString(m.Topic):
		return errors.New("the topic is not valid UTF-8")
	case m.HasPayloadFormat && m.PayloadFormat > 1:
		return fmt.Errorf("payload format %d is not 0 or 1", m.PayloadFormat)
	case len(m.Payload) > b.maxPayload:
		return fmt.Errorf("a payload of %d bytes; at most %d are served", len(m.Payload), b.maxPayload)
	case !packet.ValidString(m.ContentType) || len(m.ContentType) > math.MaxUint16:
		return errors.New("the content type is not valid UTF-8 of at most 65535 bytes")
	case len(m.CorrelationData) > math.MaxUint16:
		return errors.New("the correlation data is longer than 65535 bytes")
	case m.HasResponseTopic:
		if err := topic.CheckName(m.ResponseTopic); err != nil {
			return fmt.Errorf("response topic: %w", err)
		}
		if !packet.ValidString(m.ResponseTopic) {
			return errors.New("the response topic is not valid UTF-8")
		}
	}
	for _, p := range m.UserProperties {
		if !packet.ValidString(p.Key) || !packet.ValidString(p.Value) || len(p.Key) > math.MaxUint16 || len(p.Value) > math.MaxUint16 {
			return errors.New("a user property is not valid UTF-8 of at most 65535 bytes")
		}
	}
	return b.checkTopic(m.Topic)
}

// checkLevels bounds the levels of topic names and filters.
func (b *Broker) checkLevels(s string) error {
	if n := topic.Levels(s); n > b.o.TopicLevels {
		return fmt.Errorf("%d topic levels; at most %d are served", n, b.o.TopicLevels)
	}
	return nil
}

// acknowledgePublish answers a PUBLISH by its QoS and version.
func (c *conn) acknowledgePublish(r *round, p *packet.Publish, d Decision, matched int) error {
	if d.Verdict == Deny {
		c.b.metrics.PublishesDenied.Add(1)
	}
	if p.QoS == 0 { // commitRead brings it to the store, with what else is read now
		return nil
	}
	a := packet.Ack{Type: packet.PUBACK, PacketID: p.PacketID}
	if p.QoS == 2 {
		a.Type = packet.PUBREC
	}
	if c.version == packet.V5 { // 3.x cannot say no: acknowledged and dropped
		switch {
		case d.Verdict == Deny:
			a.Code = d.code()
			if !a.Code.AllowedIn(a.Type) || !a.Code.IsError() {
				a.Code = packet.UnspecifiedError
			}
			c.explain(&a, d.Text)
			if p.QoS == 2 {
				c.unreserve(r, p.PacketID)
			}
		case d.Verdict == Pass && matched == 0:
			a.Code = packet.NoMatchingSubscribers
		}
	}
	return c.acknowledge(r, a)
}

// explain adds a reason string, where the client wants it and it fits.
func (c *conn) explain(a *packet.Ack, text string) {
	if text == "" || !c.problem {
		return
	}
	a.Props.Set(packet.ReasonString)
	a.Props.ReasonString = text
	if a.Size(c.version) > int(c.maxPacketOut) { // [MQTT-3.4.2-2]
		a.Props.Reset()
	}
}

// ErrTooManyMessages: the messages that rules may make because of one event
// are used up.
var ErrTooManyMessages = errors.New("too many messages made because of one event")

// Publish takes a message that no client sent, by its Origin: with handlers,
// from interception on, else from storage on. Its topic is full. t is the turn
// of the event it was made in, nil without one. What is kept of m is copied.
func (b *Broker) Publish(t *Turn, m Message, handlers bool) error {
	made := new(int)
	var r *round
	if t != nil && t.round != nil {
		r = t.round
		if t.made == nil {
			t.made = made
		}
		made = t.made
	} else {
		r = b.newRound()
		defer r.end()
		defer b.commitNow(r)
	}
	if m.Publisher == nil {
		m.Publisher = anonymous[m.Origin]
	}
	if m.Publisher == nil { // a client's or a will's origin without its client
		m.Publisher = anonymous[OriginAdmin]
	}
	if err := b.checkMessage(&m); err != nil {
		return fmt.Errorf("publish %q: %w", m.Topic, err)
	}
	if *made++; *made > b.o.MessagesPerEvent {
		b.metrics.ScriptMessagesRefused.Add(1)
		r.drop(&m, nil, CauseScript)
		return ErrTooManyMessages
	}
	if handlers {
		ev := &PublishEvent{Turn: Turn{round: r, made: made}, Client: m.Publisher, Message: &m}
		d := ask(r, b.hooks.Load().publish, func(h PublishHook) Decision { return h.OnPublish(ev) })
		if d.refuses() {
			r.drop(&m, nil, CauseScript)
			ev.settle(d.Verdict != Drop)
			return nil
		}
		if err := b.checkMessage(&m); err != nil {
			r.drop(&m, nil, CauseScript)
			return fmt.Errorf("publish %q: %w", m.Topic, err)
		}
		defer ev.settle(false)
	}
	m.seal()
	r.forget()
	if d := b.retain(r, &m); d.refuses() {
		return fmt.Errorf("publish %q: %s", m.Topic, d.Text)
	}
	if r.publishFull(&m, nil) == 0 && !m.Retain && m.Origin != OriginBroker {
		r.drop(&m, nil, CauseNoSubscriber)
	}
	return nil
}

// anonymous are the clients of messages that no client sent.
var anonymous = map[Origin]*Client{
	OriginScript: {ID: "$script"},
	OriginBridge: {ID: "$bridge"},
	OriginAdmin:  {ID: "$admin"},
	OriginBroker: {ID: "$broker"},
}
