package core

import (
	"errors"
	"fmt"
	"strings"

	"lunamq/core/packet"
	"lunamq/core/topic"
)

// ErrNoClient: there is no session of that name.
var ErrNoClient = errors.New("there is no such client")

// Client returns the facts of a connected client, nil if there is none: id
// within mount, or the full form of mount and id.
func (b *Broker) Client(mount, id string) *Client {
	if c := b.lookup(mount, id); c != nil {
		return c.client
	}
	return nil
}

// Clients appends a page of the connected clients to dst, in no order. Pages
// count from 0; more says that there is another one. Who is connected from the
// first page to the last is on exactly one.
func (b *Broker) Clients(dst []*Client, page int) (clients []*Client, more bool) {
	if page < 0 || page >= len(b.sessions.shards) {
		return dst, false
	}
	sh := &b.sessions.shards[page]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, s := range sh.m {
		if c := s.conn.Load(); c != nil {
			dst = append(dst, c.client)
		}
	}
	return dst, page+1 < len(b.sessions.shards)
}

// Subscribe subscribes on behalf of a client, connected or with a session that
// was kept, as a SUBSCRIBE of it would: retained messages are sent, an earlier
// subscription of the same filter is replaced. The filter is full, and within
// the client's mount; nobody is asked, and subscribed is told.
func (b *Broker) Subscribe(mount, id, filter string, qos byte) error {
	if err := b.subscribe(mount, id, filter, qos); err != nil {
		return fmt.Errorf("subscribe %s to %q: %w", id, filter, err)
	}
	return nil
}

func (b *Broker) subscribe(mount, id, filter string, qos byte) error {
	s := b.session(mount, id)
	if s == nil {
		return ErrNoClient
	}
	j, err := s.subscriptionFor(filter, qos)
	if err != nil {
		return err
	}
	r := b.newRound()
	defer r.end()
	s.mu.Lock()
	client, opts := s.client, s.optionsLocked()
	if s.gone || client == nil {
		s.mu.Unlock()
		return ErrNoClient
	}
	if _, err := b.checkServed(opts, j.requested); err != nil {
		s.mu.Unlock()
		return err
	}
	j.sub.qos = min(qos, opts.MaxQoS)
	if _, ok := s.subscribeLocked(r, j); !ok {
		s.mu.Unlock()
		return errors.New("there are too many subscriptions")
	}
	if j.group == "" && opts.RetainAvailable {
		s.addRetainedLocked([]*retainedCursor{b.newRetainedCursor(j.sub)})
	}
	s.pumpLocked(r)
	s.mu.Unlock()
	b.commitNow(r)
	b.tellSubscribed(r, &SubscriptionEvent{Client: client, Filter: j.sub.told(), QoS: j.sub.qos})
	return nil
}

// subscriptionFor makes the subscription of a full filter.
func (s *session) subscriptionFor(filter string, qos byte) (*judged, error) {
	switch {
	case qos > 2:
		return nil, fmt.Errorf("qos %d is not 0, 1 or 2", qos)
	case !packet.ValidString(filter):
		return nil, errors.New("the filter is not valid UTF-8")
	}
	group, own, err := s.ownFilter(filter)
	if err != nil {
		return nil, err
	}
	return &judged{requested: joinShare(group, own), group: group, sub: &subscription{
		sess: s, requested: joinShare(group, own), full: mounted(s.mount(), own),
	}}, nil
}

// ownFilter is a full filter as the client knows it, without its mount.
func (s *session) ownFilter(filter string) (group, own string, err error) {
	if err := topic.CheckFilter(filter); err != nil {
		return "", "", err
	}
	group, full := splitShare(strings.Clone(filter))
	own, within := strings.CutPrefix(full, s.mount())
	if !within || own == "" {
		return "", "", fmt.Errorf("the filter is not within the client's mount %s", s.mount())
	}
	return group, own, nil
}

// optionsLocked are those of the client's listener; while it is away, of all.
func (s *session) optionsLocked() *ListenerOptions {
	if s.owner != nil {
		return s.owner.listener.Options
	}
	return &s.b.o.Listener
}

// Unsubscribe ends a subscription on behalf of a client, by its full filter as
// the client asked for it; one that does not exist is no error. Nobody is
// asked, and unsubscribed is told.
func (b *Broker) Unsubscribe(mount, id, filter string) error {
	s := b.session(mount, id)
	if s == nil {
		return fmt.Errorf("unsubscribe %s from %q: %w", id, filter, ErrNoClient)
	}
	group, own, err := s.ownFilter(filter)
	if err != nil {
		return fmt.Errorf("unsubscribe %s from %q: %w", id, filter, err)
	}
	r := b.newRound()
	defer r.end()
	s.mu.Lock()
	client := s.client
	sub, orphans := s.unsubscribeLocked(r, joinShare(group, own))
	s.mu.Unlock()
	if sub == nil {
		return nil
	}
	for _, q := range orphans {
		r.leave(q, client, CauseSessionEnded)
	}
	b.commitNow(r)
	b.tellUnsubscribed(r, &SubscriptionEvent{Client: client, Filter: sub.told(), QoS: sub.qos})
	return nil
}

// Retained returns the retained message of a topic, nil if there is none. It
// is not to be changed, but for its Expiry, which is what is left.
func (b *Broker) Retained(name string) *Message {
	if x, ok := b.retained.tree.Get(name); ok {
		return x.current()
	}
	return nil
}

// current is the message as it is now, nil if it has expired.
func (x *retained) current() *Message {
	left, expired := x.msg.remaining()
	if expired {
		return nil
	}
	m := *x.msg
	m.Expiry = left
	return &m
}

// RetainedMessages walks the retained messages that a filter matches, in slices.
// It holds no lock between calls, and needs not be closed.
type RetainedMessages struct {
	cursor *topic.Cursor[*retained]
	buf    []*retained
}

// RetainedAll begins a walk of the retained messages that a full filter matches.
func (b *Broker) RetainedAll(filter string) *RetainedMessages {
	return &RetainedMessages{cursor: b.retained.tree.Cursor(filter)}
}

// Next appends up to n messages to dst. With done the walk is over; without,
// there may be more, even if none came this time: a call looks at a bounded
// number of topics.
func (w *RetainedMessages) Next(dst []*Message, n int) (out []*Message, done bool) {
	w.buf, done = w.cursor.Next(w.buf[:0], n)
	for _, x := range w.buf {
		if m := x.current(); m != nil {
			dst = append(dst, m)
		}
	}
	clear(w.buf)
	return dst, done
}
