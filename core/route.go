package core

import (
	"hash/maphash"
	"strings"

	"lunamq/core/topic"
)

// matches is a round's memory for walking the subscription tree.
type matches struct {
	subs      []*subscription
	groups    []*group
	receivers []receiver
	at        map[*session]int
}

// route is what is known of a topic that a connection publishes to: whether
// rules want it, and who receives it, but for the choice within shared
// subscriptions.
type route struct {
	topic string // as the client wrote it
	full  string // with its mount

	asked  *hookTable // who was asked; another one is asked anew
	wanted bool       // some publish hook wants the topic
	judged bool       // somebody has a say

	valid     bool // the rest holds as long as the trees are at gen and sgen
	gen, sgen uint64
	receivers []receiver
	groups    []*group
}

// routeCache remembers the topics a connection repeats. A topic has one place.
// Another takes it over, and its memory, when it comes twice in a row there: of
// topics that do not come again nothing is copied.
type routeCache [16]struct {
	route
	seen uint64 // hash of the topic that was here last
}

var routeSeed = maphash.MakeSeed()

// routeOf returns what is remembered of a topic, nothing at first. It is valid
// until the connection's next one.
func (c *conn) routeOf(r *round, name string) *route {
	if c.routes == nil {
		c.routes = new(routeCache)
	}
	hash := maphash.String(routeSeed, name)
	rt := &c.routes[hash%uint64(len(c.routes))]
	if rt.topic == name && rt.full != "" {
		return &rt.route
	}
	full := mounted(c.client.Mount, name)
	if rt.seen != hash {
		rt.seen = hash
		r.passing = route{topic: name, full: full}
		return &r.passing
	}
	if c.client.Mount == "" {
		full = strings.Clone(name) // name is lent
	}
	rt.route = route{topic: full[len(c.client.Mount):], full: full, receivers: rt.receivers[:0], groups: rt.groups[:0]}
	return &rt.route
}

// isJudged says whether anybody has a say in a message of the topic: a publish
// hook that wants it, an ACL, or the default that denies.
func (rt *route) isJudged(b *Broker, t *hookTable) bool {
	if rt.asked != t {
		rt.ask(b, t)
	}
	return rt.judged
}

func (rt *route) ask(b *Broker, t *hookTable) {
	rt.asked, rt.wanted = t, len(t.publish) > 0 && t.wantsPublish(b, rt.topic)
	rt.judged = rt.wanted || len(t.access) > 0 || b.o.AuthDefaultDeny
}

// wantsPublish says whether a publish hook wants the topic; one that panics
// does.
func (t *hookTable) wantsPublish(b *Broker, name string) (wanted bool) {
	wanted = true
	defer b.recoverHook("WantsPublish")
	for _, h := range t.publish {
		if f, ok := h.(PublishFilter); !ok || f.WantsPublish(name) {
			return true
		}
	}
	return false
}

// find makes rt valid: the tree is walked only when it has changed since.
func (c *conn) find(r *round, rt *route) *route {
	gen, sgen := c.b.subs.Generation(), c.b.shared.Generation()
	if rt.valid && rt.gen == gen && rt.sgen == sgen {
		return rt
	}
	r.match(rt.full, c.sess)
	if rt == &r.passing {
		rt.receivers, rt.groups = r.receivers, r.groups
		return rt
	}
	if len(r.receivers) > maxCachedReceivers {
		rt.valid, rt.receivers, rt.groups = false, nil, nil
		return &route{topic: rt.topic, full: rt.full, receivers: r.receivers, groups: r.groups}
	}
	clear(rt.receivers) // so that sessions that have gone are not held
	rt.valid, rt.gen, rt.sgen = true, gen, sgen
	rt.receivers, rt.groups = append(rt.receivers[:0], r.receivers...), append(rt.groups[:0], r.groups...)
	return rt
}

// maxCachedReceivers bounds what one remembered route may hold (24 KiB of receivers).
const maxCachedReceivers = 512

// match fills r.receivers and r.groups with who receives what from publishes
// to full. Of a session with several matching subscriptions one receiver is
// made; those with no local are left out for the session itself.
func (r *round) match(full string, from *session) {
	m := &r.matches
	m.subs = r.b.subs.Match(full, m.subs[:0])
	m.groups = m.groups[:0]
	if r.b.shared.Generation() > 0 { // else there never was one
		m.groups = r.b.shared.Match(full, m.groups)
	}
	m.receivers = m.receivers[:0]
	many := len(m.subs) > 16
	if many {
		if m.at == nil || len(m.subs) > maxKeptSessions {
			m.at = make(map[*session]int, len(m.subs))
		}
		clear(m.at)
	}
	mounts := r.b.mounts.Load()
	for _, sub := range m.subs {
		if sub.noLocal && sub.sess == from {
			continue // [MQTT-3.8.3-3]
		}
		if mounts && !sub.sees(full) {
			continue
		}
		if i, seen := m.find(sub.sess, many); seen {
			m.receivers[i].join(sub)
			continue
		}
		if many {
			m.at[sub.sess] = len(m.receivers)
		}
		m.receivers = append(m.receivers, sub.receiver())
	}
	if len(m.at) > maxKeptSessions {
		m.at = nil
	}
}

// maxKeptSessions bounds the map that a round keeps: clearing one costs its size,
// whoever made it so large.
const maxKeptSessions = 4096

func (m *matches) find(s *session, many bool) (int, bool) {
	if many {
		i, seen := m.at[s]
		return i, seen
	}
	for i := range m.receivers {
		if m.receivers[i].sub.sess == s {
			return i, true
		}
	}
	return 0, false
}

// join merges another matching subscription of the same session: the highest
// QoS, every identifier [MQTT-3.3.4-2], [MQTT-3.3.4-3].
func (rc *receiver) join(sub *subscription) {
	rc.qos = max(rc.qos, sub.qos)
	rc.asPublished = rc.asPublished || sub.asPublished
	if sub.id != 0 {
		rc.ids = append(rc.ids[:len(rc.ids):len(rc.ids)], sub.id)
	}
}

// route hands a message to everyone in rt and returns how many that were. From
// here on the message is immutable.
func (r *round) route(m *Message, rt *route) (n int) {
	if r.loop != nil {
		r.loop.beforeMany(len(rt.receivers))
	}
	for i := range rt.receivers {
		r.deliver(m, &rt.receivers[i])
	}
	n = len(rt.receivers)
	for _, g := range rt.groups {
		if rc, ok := g.pick(nil, m); ok {
			r.deliver(m, &rc)
			n++
		}
	}
	return n
}

// publishFull routes a message whose topic is full, from no connection: a
// will, a rule, the administrator, the broker.
func (r *round) publishFull(m *Message, from *session) (n int) {
	r.match(m.Topic, from)
	return r.route(m, &route{receivers: r.receivers, groups: r.groups})
}

// checkTopic holds a topic name against the specification and the bound on levels.
func (b *Broker) checkTopic(name string) error {
	if err := topic.CheckName(name); err != nil {
		return err
	}
	return b.checkLevels(name)
}
