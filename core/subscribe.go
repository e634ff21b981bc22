package core

import (
	"errors"
	"fmt"

	"lunamq/core/packet"
	"lunamq/core/topic"
)

// judged is one filter of a SUBSCRIBE after the hooks.
type judged struct {
	code      packet.ReasonCode
	requested string
	group     string
	sub       *subscription // nil if refused
	ev        *SubscribeEvent
}

// handleSubscribe judges every filter of a SUBSCRIBE before any is stored
// (3.8), answers, and starts the retained messages on their way.
func (c *conn) handleSubscribe(r *round, h packet.Header, body []byte) error {
	var in packet.Subscribe
	if err := in.Decode(c.version, h, body); err != nil {
		return err
	}
	id := uint32(0)
	if len(in.Props.SubscriptionIDs) > 0 {
		if !c.listener.Options.SubscriptionIdentifiers {
			return refuse(packet.SubscriptionIDsUnsupported, "subscription identifiers are not served") // 3.2.2.3.12
		}
		id = in.Props.SubscriptionIDs[0]
	}
	list := make([]judged, len(in.Filters))
	var text string
	for i, f := range in.Filters {
		j, why, err := c.judgeSubscription(r, f, id)
		if err != nil {
			settleRefused(list[:i])
			return err
		}
		if why != "" && text == "" {
			text = why
		}
		list[i] = j
	}
	ack := packet.Suback{PacketID: in.PacketID, Codes: make([]packet.ReasonCode, len(list))}
	for i := range list {
		ack.Codes[i] = c.subackCode(&list[i])
	}
	if text != "" && c.version == packet.V5 && c.problem {
		ack.Props.Set(packet.ReasonString)
		ack.Props.ReasonString = text
		if ack.Size(c.version) > int(c.maxPacketOut) { // [MQTT-3.9.2-1]
			ack.Props.Reset()
		}
	}
	if err := c.store(r, list, ack); err != nil {
		settleRefused(list)
		return err
	}
	c.told(r, list)
	return nil
}

// settleRefused runs what rules queued for refusals: none of the filters is stored.
func settleRefused(list []judged) {
	for _, j := range list {
		if j.ev != nil {
			j.ev.settle(true)
		}
	}
}

// told runs what rules queued and tells of what took effect.
func (c *conn) told(r *round, list []judged) {
	for _, j := range list {
		if j.ev != nil {
			j.ev.settle(j.sub == nil)
		}
	}
	for _, j := range list {
		if j.sub != nil {
			c.b.tellSubscribed(r, &SubscriptionEvent{Client: c.client, Filter: j.sub.told(), QoS: j.sub.qos})
		}
	}
}

// store makes the judged subscriptions. The SUBACK is appended before any
// message that they bring, and waits for the commit of what is kept.
func (c *conn) store(r *round, list []judged, ack packet.Suback) error {
	s := c.sess
	s.mu.Lock()
	if s.owner != c {
		s.mu.Unlock()
		return errEnded
	}
	cursors := make([]*retainedCursor, 0, len(list))
	for i := range list {
		if list[i].sub == nil {
			continue
		}
		existed, ok := s.subscribeLocked(r, &list[i])
		if !ok {
			list[i].sub = nil
			ack.Codes[i] = c.failure(packet.QuotaExceeded)
			continue
		}
		if sub := list[i].sub; sub.group == nil && c.listener.Options.RetainAvailable && // shared: no retained messages (4.8.2)
			(sub.handling == 0 || sub.handling == 1 && !existed) { // [MQTT-3.3.1-9..11]
			cursors = append(cursors, s.b.newRetainedCursor(sub))
		}
	}
	s.mu.Unlock()
	r.scratch = ack.Append(r.scratch[:0], c.version)
	err := c.commitAnd(r, r.scratch, func(r *round) {
		s.mu.Lock()
		s.addRetainedLocked(cursors)
		s.pumpLocked(r)
		s.mu.Unlock()
	})
	if err != nil {
		return err
	}
	return c.commit(r, nil)
}

// judgeSubscription asks about one filter. An error ends the connection; text
// says why a filter was refused.
func (c *conn) judgeSubscription(r *round, f packet.FilterOptions, id uint32) (j judged, text string, err error) {
	j.requested = string(append([]byte(nil), f.Filter...))
	refused := func(code packet.ReasonCode, text string) (judged, string, error) {
		j.code = c.failure(code)
		return j, text, nil
	}
	if err := topic.CheckFilter(j.requested); err != nil { // [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.8.2-1]
		return j, "", refuse(packet.MalformedPacket, err.Error())
	}
	if code, err := c.b.checkServed(c.listener.Options, j.requested); err != nil {
		if code != packet.TopicFilterInvalid && c.version == packet.V5 { // it was told in the CONNACK: 3.2.2.3.11, 3.2.2.3.13
			return j, "", refuse(code, err.Error())
		}
		return refused(code, err.Error())
	}
	group, filter := splitShare(j.requested)
	if group != "" && f.NoLocal {
		return j, "", refuse(packet.ProtocolError, "no local on a shared subscription") // [MQTT-3.8.3-4]
	}
	j.group = group
	ev := &SubscribeEvent{
		Turn: Turn{round: r}, Client: c.client, Filter: filter, Share: group,
		QoS: min(f.QoS, c.listener.Options.MaxQoS), NoLocal: f.NoLocal, RetainAsPublished: f.RetainAsPublished, RetainHandling: f.RetainHandling, Identifier: id,
	}
	j.ev = ev
	d := c.b.judgeSubscribe(c, ev)
	if d.Verdict == Disconnect {
		ev.settle(true)
		return j, "", &stop{reason: d.code(), text: d.Text, by: ByScript, who: d.By}
	}
	if d.refuses() {
		c.b.metrics.SubscribesDenied.Add(1)
		return refused(d.code(), d.Text)
	}
	if code, err := c.checkMade(joinShare(group, ev.Filter), ev.RetainHandling); err != nil {
		return refused(code, "a rule made a subscription that is not valid: "+err.Error())
	}
	j.sub = &subscription{
		sess: c.sess, requested: j.requested, full: mounted(c.client.Mount, ev.Filter),
		qos: min(ev.QoS, f.QoS, c.listener.Options.MaxQoS), noLocal: ev.NoLocal && group == "", asPublished: ev.RetainAsPublished, handling: ev.RetainHandling, id: id,
	}
	return j, "", nil
}

// judgeSubscribe puts a subscription to the ACLs and the rules, as judge does
// a message.
func (b *Broker) judgeSubscribe(c *conn, ev *SubscribeEvent) Decision {
	t := b.hooks.Load()
	asked := ev.Filter
	byACL := b.askSubscribeAccess(t, ev)
	if byACL.refuses() {
		return byACL
	}
	d := ask(ev.round, t.subscribe, func(h SubscribeHook) Decision { return h.OnSubscribe(ev) })
	if d.Verdict == Drop {
		return Decision{Verdict: Deny, Reason: packet.UnspecifiedError, Text: "drop is no verdict on subscribe", By: d.By}
	}
	if d.refuses() {
		return d
	}
	if b.o.Recheck && ev.Filter != asked {
		if again := b.askSubscribeAccess(t, ev); again.refuses() {
			return again
		}
	}
	if d.Verdict != Allow && byACL.Verdict != Allow && b.o.AuthDefaultDeny {
		return Decision{Verdict: Deny, Reason: packet.NotAuthorized, Text: "nobody allowed it", By: "auth.default"}
	}
	return Decision{}
}

func (b *Broker) askSubscribeAccess(t *hookTable, ev *SubscribeEvent) Decision {
	if len(t.access) == 0 {
		return Decision{}
	}
	a := &AccessEvent{Client: ev.Client, Action: ActionSubscribe, Topic: ev.Filter, QoS: ev.QoS}
	return ask(ev.round, t.access, func(h AccessHook) Decision { return h.OnAccess(a) })
}

// checkMade validates what rules may have changed as strictly as the wire.
func (c *conn) checkMade(filter string, handling byte) (packet.ReasonCode, error) {
	if handling > 2 { // 3.8.3.1
		return packet.UnspecifiedError, fmt.Errorf("retain handling %d is not 0, 1 or 2", handling)
	}
	if err := topic.CheckFilter(filter); err != nil {
		return packet.TopicFilterInvalid, err
	}
	if !packet.ValidString(filter) {
		return packet.TopicFilterInvalid, errors.New("the filter is not valid UTF-8")
	}
	return c.b.checkServed(c.listener.Options, filter)
}

// checkServed holds a valid filter against what is served.
func (b *Broker) checkServed(o *ListenerOptions, filter string) (packet.ReasonCode, error) {
	group, rest := splitShare(filter)
	if group != "" && !o.SharedSubscriptions {
		return packet.SharedSubscriptionsUnsupported, errors.New("shared subscriptions are not served")
	}
	if !o.WildcardSubscriptions && topic.HasWildcard(rest) {
		return packet.WildcardsUnsupported, errors.New("wildcard subscriptions are not served")
	}
	if err := b.checkLevels(rest); err != nil {
		return packet.TopicFilterInvalid, err
	}
	return packet.Success, nil
}

// failure is the code of a refused filter: 3.1.1 knows one [MQTT-3.9.3-2 of
// 3.1.1]; 3.1 none, so that QoS 0 is said to be granted.
func (c *conn) failure(code packet.ReasonCode) packet.ReasonCode {
	switch c.version {
	case packet.V5:
		if code.IsError() && code.AllowedIn(packet.SUBACK) {
			return code
		}
		return packet.UnspecifiedError
	case packet.V311:
		return packet.UnspecifiedError // 0x80
	}
	return packet.Success
}

// subackCode is the granted QoS of a filter, or why it was refused.
func (c *conn) subackCode(j *judged) packet.ReasonCode {
	if j.sub == nil {
		return j.code
	}
	return packet.ReasonCode(j.sub.qos)
}

// subscribeLocked stores one subscription in place of an earlier one of the
// same filter [MQTT-3.8.4-3]; not ok if it would be one too many.
func (s *session) subscribeLocked(r *round, j *judged) (existed, ok bool) {
	old := s.subs.get(j.requested)
	if old == nil {
		if n := int64(s.b.metrics.Subscriptions.Load()); s.subs.len() >= s.limits.Subscriptions || n >= int64(s.b.o.TotalSubscriptions) {
			return false, false
		}
	}
	s.subs.set(j.sub)
	s.b.link(j.sub, j.group)
	if old != nil {
		s.b.unlink(old)
		if old.full != j.sub.full {
			s.relinkLocked(old.full)
		}
	}
	if s.keptLocked() {
		r.batch.add(Op{Kind: PutSubscription, Session: s.name, Life: s.life, Subscription: &StoredSubscription{
			Requested: j.sub.requested, Filter: j.sub.filter(), QoS: j.sub.qos, NoLocal: j.sub.noLocal,
			RetainAsPublished: j.sub.asPublished, RetainHandling: j.sub.handling, Identifier: j.sub.id,
		}})
	}
	return old != nil, true
}

// relinkLocked puts back another subscription of the session that rules have
// given the same final filter, which one that left may have stood for.
func (s *session) relinkLocked(full string) {
	if _, stands := s.b.subs.Get(full, s); stands {
		return
	}
	for sub := range s.subs.all() {
		if sub.group == nil && sub.full == full {
			s.b.subs.Set(full, s, sub)
			return
		}
	}
}

// handleUnsubscribe ends subscriptions by the filters the client asked for
// (3.10), whatever rules have made of them.
func (c *conn) handleUnsubscribe(r *round, h packet.Header, body []byte) error {
	var in packet.Unsubscribe
	if err := in.Decode(c.version, h, body); err != nil {
		return err
	}
	ack := packet.Unsuback{PacketID: in.PacketID, Codes: make([]packet.ReasonCode, len(in.Filters))}
	events := make([]*UnsubscribeEvent, len(in.Filters))
	filters := make([]string, len(in.Filters))
	for i, f := range in.Filters {
		filters[i] = string(append([]byte(nil), f...))
		if err := topic.CheckFilter(filters[i]); err != nil {
			settleUnsubscribes(events[:i], true)
			return refuse(packet.MalformedPacket, err.Error())
		}
		group, filter := splitShare(filters[i])
		ev := &UnsubscribeEvent{Turn: Turn{round: r}, Client: c.client, Filter: filter, Share: group}
		d := ask(r, c.b.hooks.Load().unsubscribe, func(h UnsubscribeHook) Decision { return h.OnUnsubscribe(ev) })
		switch {
		case d.Verdict == Disconnect:
			ev.settle(true)
			settleUnsubscribes(events[:i], true)
			return &stop{reason: d.code(), text: d.Text, by: ByScript, who: d.By}
		case d.refuses() && c.version == packet.V5:
			ev.settle(true)
			ack.Codes[i] = d.code()
			if !ack.Codes[i].IsError() || !ack.Codes[i].AllowedIn(packet.UNSUBACK) {
				ack.Codes[i] = packet.UnspecifiedError
			}
			continue
		case d.refuses(): // 3.x cannot say no: it is unsubscribed as it asked
			ev.settle(true)
			ev.Filter = filter
		}
		filters[i] = joinShare(group, ev.Filter)
		events[i] = ev
	}
	left, err := c.leave(r, filters, events, ack.Codes)
	if err != nil {
		settleUnsubscribes(events, true)
		return err
	}
	r.scratch = ack.Append(r.scratch[:0], c.version)
	if err := c.commit(r, r.scratch); err != nil {
		return err
	}
	settleUnsubscribes(events, false)
	for _, sub := range left {
		c.b.tellUnsubscribed(r, &SubscriptionEvent{Client: c.client, Filter: sub.told(), QoS: sub.qos})
	}
	return nil
}

// settleUnsubscribes runs what rules queued for filters that are decided.
func settleUnsubscribes(events []*UnsubscribeEvent, refused bool) {
	for _, ev := range events {
		if ev != nil {
			ev.settle(refused)
		}
	}
}

// leave takes the filters' subscriptions away and says which there were. What
// waited because of a shared one goes to another member.
func (c *conn) leave(r *round, filters []string, events []*UnsubscribeEvent, codes []packet.ReasonCode) (left []*subscription, err error) {
	s := c.sess
	s.mu.Lock()
	if s.owner != c {
		s.mu.Unlock()
		return nil, errEnded
	}
	var orphans []queued
	for i, f := range filters {
		if events[i] == nil {
			continue
		}
		sub, alone := s.unsubscribeLocked(r, f)
		if sub == nil {
			codes[i] = packet.NoSubscriptionExisted
			continue
		}
		left = append(left, sub)
		orphans = append(orphans, alone...)
	}
	client := s.client
	s.mu.Unlock()
	for _, q := range orphans {
		r.leave(q, client, CauseSessionEnded)
	}
	s.sieve(left)
	return left, nil
}

// unsubscribeLocked takes away the subscription that the client has by a
// filter, nil if it has none; orphans are for another member of its group.
func (s *session) unsubscribeLocked(r *round, requested string) (sub *subscription, orphans []queued) {
	if sub = s.subs.get(requested); sub == nil {
		return nil, nil
	}
	s.subs.remove(requested)
	s.b.unlink(sub)
	s.relinkLocked(sub.full)
	s.dropRetainedLocked(sub)
	if sub.group != nil && sub.group.hasOther(s) { // else it keeps what it has [MQTT-3.10.4-3]
		orphans = s.takeFirstLocked(func(q *queued) bool { return q.sub.group == sub.group })
		s.removeLocked(orphans)
	}
	if s.keptLocked() {
		r.batch.add(Op{Kind: DeleteSubscription, Session: s.name, Life: s.life, Subscription: &StoredSubscription{Requested: sub.requested}})
	}
	for i := range orphans {
		s.forgetLocked(r, &orphans[i])
	}
	return sub, orphans
}
