package core

import (
	"time"
)

// pageJob is why messages of a session are read from the store.
type pageJob uint8

const (
	pageNothing pageJob = iota
	pageFill            // for the client, which has room
	pageTrim            // to drop the oldest
	pageSieve           // to give those of shared subscriptions to others
	pageDrain           // to give them to others, for the session has ended
)

// pageJobLocked is what is to be read for next.
func (s *session) pageJobLocked() pageJob {
	sp := s.spill
	switch {
	case sp == nil:
		return pageNothing
	case s.gone && !sp.ending.ready:
		return pageNothing
	case s.gone:
		return pageDrain
	case sp.sieve != nil:
		return pageSieve
	case s.b.o.DropOldest && s.isOverLocked():
		return pageTrim
	case s.conn.Load() != nil && s.queue.len() <= pageMessages/2 && s.queue.bytes <= pageBytes/2:
		return pageFill
	}
	return pageNothing
}

// wakePagerLocked starts the goroutine that reads what lies in the store, if
// there is something to read for. There is one at a time.
func (s *session) wakePagerLocked() {
	if sp := s.spill; sp != nil && !sp.paging && s.pageJobLocked() != pageNothing {
		sp.paging = s.b.background(s.pageLoop)
	}
}

// pageLoop reads page after page while there is something to read for. While
// the store cannot be read it tries again and again: what lies there keeps its
// place.
func (s *session) pageLoop() {
	failed := 0
	for {
		more, err := s.page()
		switch {
		case err != nil:
			s.b.metrics.StoreErrors.Add(1)
			if failed++; failed == 1 {
				s.b.log.Error("messages that wait cannot be read from the store; trying again", "client", s.id(), "err", err)
			}
			if !s.b.sleep(min(time.Second<<min(failed-1, 5), maxPageRetry)) {
				return
			}
			continue
		case !more:
			return
		case failed > 0:
			s.b.log.Info("messages that wait can be read from the store again", "client", s.id())
			failed = 0
		}
	}
}

// maxPageRetry is the longest pause between attempts to read.
const maxPageRetry = 30 * time.Second

// page reads one page and does with it what it was read for; false if nothing
// is left to do.
func (s *session) page() (more bool, err error) {
	s.mu.Lock()
	job, sp := s.pageJobLocked(), s.spill
	if job == pageNothing || s.b.closing.Load() {
		if sp != nil {
			sp.paging = false
		}
		s.mu.Unlock()
		return false, nil
	}
	p := page{job: job, from: sp.first, last: sp.last}
	n, bytes := pageMessages, pageBytes
	switch job {
	case pageTrim:
		n, bytes = trimMessages, trimBytes
	case pageSieve:
		p.from = sp.at
	case pageDrain:
		if !sp.ending.wants(s.b, sp) {
			s.mu.Unlock()
			s.drained()
			return false, nil
		}
	}
	s.mu.Unlock()
	ops, err := s.b.store.Waiting(s.name, p.from, n, bytes)
	if err != nil {
		return true, err
	}
	r := s.b.newRound()
	defer r.end()
	s.mu.Lock()
	if s.pageJobLocked() != job || job == pageSieve && sp.at != p.from || job != pageSieve && sp.first != p.from {
		s.mu.Unlock()
		return true, nil // something else is wanted by now, or from elsewhere
	}
	p.takeLocked(s, ops)
	switch job {
	case pageSieve:
		return true, s.sievePage(r, &p)
	case pageDrain:
		return s.drainPage(r, &p)
	}
	return s.fillPage(r, &p), nil
}

// page is one page of what lies in the store.
type page struct {
	job        pageJob
	from, last uint64
	list       []queued
	next       uint64 // where the next page begins
	over       bool   // nothing is left up to last
}

// takeLocked makes messages of what was read, but for those that were removed
// meanwhile and those that are still in memory.
func (p *page) takeLocked(s *session, ops []Op) {
	p.over = len(ops) == 0
	p.next = p.from
	for i := range ops {
		op := &ops[i]
		if op.Seq > p.last {
			p.over = true
			break
		}
		p.next = op.Seq + 1
		p.over = op.Seq == p.last
		if _, gone := s.removed[op.Seq]; !gone {
			p.list = append(p.list, s.queuedOf(op))
		}
	}
}

// fillPage puts a page into the queue, drops what is too much, and sends what
// can go. It gives the lock back.
func (s *session) fillPage(r *round, p *page) (more bool) {
	sp := s.spill
	for i := range p.list {
		q := &p.list[i]
		s.queue.push(*q)
		sp.add(q, -1)
		s.spilledLocked(q, -1)
	}
	sp.first = p.next
	if p.over && sp.last == p.last {
		s.unspilledLocked(r)
	}
	for s.b.o.DropOldest && s.queue.len() > 0 && s.isOverLocked() {
		s.dropFirstLocked(r, &s.queue)
	}
	s.passRemovedLocked()
	s.pumpLocked(r)
	more = s.spill == sp
	s.mu.Unlock()
	return more
}

// unspilledLocked ends a spill of which nothing is left in the store. Messages
// that should have been there are lost: the store was damaged.
func (s *session) unspilledLocked(r *round) {
	if lost := s.unspillLocked(); lost != 0 {
		s.b.metrics.StoreErrors.Add(1)
		s.b.metrics.Dropped.addN(CauseStore, max(int64(lost), 0))
		s.b.log.Error("the store holds less of what waits than was put there", "client", s.id(), "missing", lost)
	}
}

// queuedOf makes a message that waits of what the store keeps of it.
func (s *session) queuedOf(op *Op) queued {
	m := *op.Queued.Message
	m.expiresAt = op.Queued.ExpiresAt
	if m.Publisher == nil {
		m.Publisher = anonymous[OriginBroker]
	}
	subs := s.subs
	if s.spill != nil && s.spill.ending != nil {
		subs = s.spill.ending.subs
	}
	sub := subs.get(op.Queued.Filter)
	if sub == nil { // it was unsubscribed since; what waited is still delivered
		sub = s.unsubscribed(&op.Queued)
	}
	return queued{msg: &m, sub: sub, ids: op.Queued.Identifiers, seq: op.Seq, qos: op.Queued.QoS, retain: op.Queued.Retain, stored: true}
}

// unsubscribed stands for a subscription that is no more. Of a shared one the
// group is known by its name, as it was requested.
func (s *session) unsubscribed(in *StoredMessage) *subscription {
	groupName, filter := splitShare(in.Filter)
	sub := &subscription{sess: s, requested: in.Filter, full: mounted(s.mount(), filter), qos: in.QoS}
	if groupName != "" {
		sub.group = &group{name: groupName, full: sub.full}
	}
	return sub
}

// sieve lets the messages in the store that came by shared subscriptions go to
// other members, behind those in memory that have gone. The caller holds no lock.
func (s *session) sieve(subs []*subscription) {
	if len(subs) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sp := s.spill
	if sp == nil || sp.shared == 0 || s.gone {
		return
	}
	if sp.sieve == nil {
		sp.sieve = make(map[string]*group)
	}
	for _, sub := range subs {
		if sub.group != nil {
			sp.sieve[sub.requested] = sub.group
		}
	}
	if sp.at = sp.first; len(sp.sieve) == 0 {
		sp.sieve = nil
	}
	s.wakePagerLocked()
}

// isForOthersLocked says whether a message that the sieve meets is for another
// member of its group: the subscription has gone, or its client has.
func (s *session) isForOthersLocked(q *queued) bool {
	g := s.spill.sieve[q.sub.requested]
	if g == nil {
		return false
	}
	if sub := s.subs.get(q.sub.requested); sub != nil && sub.group == g {
		return s.conn.Load() == nil && g.hasOtherConnected(s)
	}
	return g.hasOther(s)
}

// sievePage gives what others should have of a page to them. That they have it
// and we have not is kept before more is read. It gives the lock back.
func (s *session) sievePage(r *round, p *page) error {
	sp, client := s.spill, s.client
	var others []queued
	for _, q := range p.list {
		if s.isForOthersLocked(&q) {
			q.sub = &subscription{sess: s, requested: q.sub.requested, group: sp.sieve[q.sub.requested]}
			others = append(others, q)
		}
	}
	if sp.at = p.next; p.over {
		sp.sieve = nil
	}
	return s.giveAwayLocked(r, others, client)
}

// giveAwayLocked lets messages that lie in the store go to other members of
// their groups, and waits until that is kept; if it cannot be, they stay. It
// gives the lock back.
func (s *session) giveAwayLocked(r *round, list []queued, client *Client) error {
	s.leftLocked(list, 1)
	s.mu.Unlock()
	if len(list) == 0 {
		return nil
	}
	r.forget()
	for i := range list {
		s.forgetLocked(r, &list[i]) // it is in the store alone: nothing of the session is touched
		r.leave(list[i], client, CauseSessionEnded)
	}
	err := s.b.commitWait(r)
	if err != nil {
		s.mu.Lock()
		s.leftLocked(list, -1)
		s.mu.Unlock()
	}
	return err
}

// leftLocked uncounts messages that leave the store, or counts them again (n
// is 1 or -1).
func (s *session) leftLocked(list []queued, n int) {
	for i := range list {
		s.spill.add(&list[i], -n)
		s.b.spilledBytes.Add(-int64(n * list[i].msg.Weight()))
	}
	s.b.queuedCount.Add(-int64(n * len(list)))
	s.waits.Store(s.waitingLocked() > 0)
}

// ending is a session's end while there is something of it in the store.
type ending struct {
	client *Client
	subs   subTable
	ready  bool // what is before the messages in the store has gone to others
	told   int  // of its messages
}

// wants says whether it is worth reading on: somebody else may have what came
// by a shared subscription [MQTT-4.8.2-4], or hooks are to be told of what is
// lost, of so many of them as in one round.
func (e *ending) wants(b *Broker, sp *spill) bool {
	return sp.n > 0 && (sp.shared > 0 && b.shared.Len() > 0 || e.told < maxDropsTold && len(b.hooks.Load().dropped) > 0)
}

// drainPage gives a page of a session that has ended to others, or counts it as
// lost. It gives the lock back.
func (s *session) drainPage(r *round, p *page) (more bool, err error) {
	sp := s.spill
	if err := s.giveAwayLocked(r, p.list, sp.ending.client); err != nil {
		return true, err
	}
	s.mu.Lock()
	sp.first = p.next
	sp.ending.told += len(p.list)
	s.mu.Unlock()
	if p.over {
		s.drained()
	}
	return !p.over, nil
}

// drained ends a session of which nothing is wanted from the store any more.
func (s *session) drained() {
	r := s.b.newRound()
	defer r.end()
	s.mu.Lock()
	client := s.spill.ending.client
	lost := s.unspillLocked()
	left := s.drainLocked()
	s.mu.Unlock()
	s.b.metrics.Dropped.addN(CauseSessionEnded, max(int64(lost), 0))
	s.b.remove(r, s, left, client)
}
