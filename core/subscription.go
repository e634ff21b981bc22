package core

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"lunamq/core/topic"
)

// subscription is one filter of one session. It is immutable but for next;
// subscribing again replaces it.
type subscription struct {
	sess        *session
	requested   string // as the client wrote it: its name for UNSUBSCRIBE
	full        string // as it stands in the tree: rewritten, without $share/group/, with mount
	group       *group // nil unless shared
	qos         byte
	noLocal     bool
	asPublished bool   // retain as published
	handling    byte   // retain handling
	id          uint32 // subscription identifier, 0 none

	next *subscription // in the session's table; guarded by its mu
}

// group is the members of one shared subscription (4.8.2). Which member gets a
// message is decided per message.
type group struct {
	name, full string

	mu      sync.Mutex
	members []*subscription
	next    int // whose turn it is
}

// receiver is what a message needs to know of one of its receivers: a session
// with the options of all its subscriptions that match, merged [MQTT-3.3.4-2].
type receiver struct {
	sub         *subscription
	qos         byte
	asPublished bool
	ids         []uint32
}

// filter is the filter as it is seen by rules: without mount.
func (s *subscription) filter() string { return s.full[len(s.sess.mount()):] }

// told is the filter as hooks are told of it: with $share/group/.
func (s *subscription) told() string {
	if s.group == nil {
		return s.filter()
	}
	return joinShare(s.group.name, s.filter())
}

// sees says whether a topic that the filter matches in the tree is one that it
// matches below the mount, where the client is: one/# matches one, which is outside
// of one/, and the empty name there; and a wildcard of the client's does not match
// what begins with $ to it [MQTT-4.7.2-1].
func (s *subscription) sees(full string) bool {
	n := len(s.sess.mount())
	return n == 0 || len(full) > n && (full[n] != '$' || s.full[n] != '#' && s.full[n] != '+')
}

// link puts a subscription into the tree.
func (b *Broker) link(sub *subscription, groupName string) {
	b.metrics.Subscriptions.Add(1)
	if groupName == "" {
		b.subs.Set(sub.full, sub.sess, sub)
		return
	}
	b.shareMu.Lock()
	defer b.shareMu.Unlock()
	g, ok := b.shared.Get(sub.full, groupName)
	if !ok {
		g = &group{name: groupName, full: sub.full, next: rand.IntN(1 << 16)}
		b.shared.Set(sub.full, groupName, g)
	}
	sub.group = g
	g.mu.Lock()
	g.members = append(g.members, sub)
	g.mu.Unlock()
}

// groupNow returns the group that stands where old stood: one that lost its
// last member is made anew. It is nil if there is none.
func (b *Broker) groupNow(old *group) *group {
	if old == nil {
		return nil
	}
	g, _ := b.shared.Get(old.full, old.name)
	return g
}

// unlink takes a subscription out of the tree.
func (b *Broker) unlink(sub *subscription) {
	b.metrics.Subscriptions.Add(-1)
	if sub.group == nil {
		if now, ok := b.subs.Get(sub.full, sub.sess); ok && now == sub {
			b.subs.Delete(sub.full, sub.sess)
		}
		return
	}
	b.shareMu.Lock()
	defer b.shareMu.Unlock()
	g := sub.group
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, m := range g.members {
		if m == sub {
			g.members = append(g.members[:i], g.members[i+1:]...)
			break
		}
	}
	if len(g.members) == 0 {
		b.shared.Delete(g.full, g.name)
	}
}

// hasOther says whether there is a member of another session than s.
func (g *group) hasOther(s *session) bool {
	return g.has(func(m *subscription) bool { return m.sess != s })
}

// hasOtherConnected says whether a member of another session than s is connected.
func (g *group) hasOtherConnected(s *session) bool {
	return g.has(func(m *subscription) bool { return m.sess != s && m.sess.conn.Load() != nil })
}

func (g *group) has(want func(*subscription) bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.ContainsFunc(g.members, want)
}

// pick chooses the member that gets a message: in turn, a connected one with
// room before a connected one, before one whose session waits for its client
// (and that for QoS 1 and 2 alone). except, if not nil, is not chosen.
func (g *group) pick(except *session, m *Message) (receiver, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := len(g.members)
	var connected, offline *subscription
	for i := range n {
		sub := g.members[(g.next+i)%n]
		if sub.sess == except || !sub.sees(m.Topic) {
			continue
		}
		c := sub.sess.conn.Load()
		if c == nil {
			if offline == nil && min(m.QoS, sub.qos) > 0 {
				offline = sub
			}
			continue
		}
		if c.hasRoom() {
			g.next = (g.next + i + 1) % n
			return sub.receiver(), true
		}
		if connected == nil {
			connected = sub
		}
	}
	g.next = (g.next + 1) % max(n, 1)
	if connected != nil {
		return connected.receiver(), true
	}
	if offline != nil {
		return offline.receiver(), true
	}
	return receiver{}, false
}

func (s *subscription) receiver() receiver {
	return receiver{sub: s, qos: s.qos, asPublished: s.asPublished, ids: s.ids()}
}

// ids is the subscription identifier as a list; what is sent with it changes nothing of it.
func (s *subscription) ids() []uint32 {
	if s.id == 0 {
		return nil
	}
	return unsafe.Slice(&s.id, 1)
}

// splitShare splits a requested filter into group and filter.
func splitShare(requested string) (groupName, filter string) {
	if g, f, shared := topic.SplitShare(requested); shared {
		return g, f
	}
	return "", requested
}

// unmounted is a topic that begins with a mount as it is seen below that; "" where
// it is shorter.
func unmounted(mount, full string) string {
	if len(full) < len(mount) {
		return ""
	}
	return full[len(mount):]
}

// mounted puts the mount before a filter, inside $share/group/.
func mounted(mount, filter string) string {
	if mount == "" {
		return filter
	}
	return mount + filter
}

func joinShare(groupName, filter string) string {
	if groupName == "" {
		return filter
	}
	var sb strings.Builder
	sb.Grow(len("$share/") + len(groupName) + 1 + len(filter))
	sb.WriteString("$share/")
	sb.WriteString(groupName)
	sb.WriteByte('/')
	sb.WriteString(filter)
	return sb.String()
}
