package core

import (
	"fmt"
	"sync"

	"lunamq/core/packet"
)

// completions is the FIFO of what a connection is to be answered: an answer
// whose changes are being committed holds back those behind it, so that a
// refused one never overtakes a stored one.
type completions struct {
	mu          sync.Mutex
	first, last *completion
	n           int32
	most        int32         // while more wait, nothing is read
	fewer       *sync.Cond    // n has shrunk; its lock is mu; nil while nobody waits for that
	completing  bool          // a goroutine completes what the store has told of
	told        []*completion // that, in order
}

// completion is one answer that waits for a commit.
type completion struct {
	changes
	c      *conn
	next   *completion
	done   bool
	err    error
	answer []byte       // encoded; empty: nothing is sent (QoS 0)
	ack    packet.Ack   // what to refuse with, if the commit fails
	then   func(*round) // once it is answered; nil: nothing
}

// acknowledge commits what the packet has changed and answers it.
func (c *conn) acknowledge(r *round, a packet.Ack) error {
	r.scratch = a.Append(r.scratch[:0], c.version)
	if r.batch.empty() && c.acks.idle() { // nothing to wait for, nothing waited for
		return c.answer(r, r.scratch)
	}
	return c.commitThen(r, &completion{c: c, answer: append([]byte(nil), r.scratch...), ack: a})
}

// commit commits what the packet has changed and answers with an encoded
// packet, or with nothing.
func (c *conn) commit(r *round, answer []byte) error {
	if r.batch.empty() && c.acks.idle() {
		if len(answer) > 0 {
			return c.answer(r, answer)
		}
		return nil
	}
	return c.commitThen(r, &completion{c: c, answer: append([]byte(nil), answer...)})
}

// commitRead commits what messages of QoS 0 have changed that were read at once,
// if no answer took it along: 50 000 retained messages took 1.4 times the
// processor with a batch for each (lunamq bench retained).
func (c *conn) commitRead(r *round) error {
	if r.batch.empty() || c.state != stateAccepted {
		return nil
	}
	return c.commit(r, nil)
}

// commitAnd commits and answers, and then does something.
func (c *conn) commitAnd(r *round, answer []byte, then func(*round)) error {
	if !r.batch.empty() || !c.acks.idle() {
		return c.commitThen(r, &completion{c: c, answer: append([]byte(nil), answer...), then: then})
	}
	if err := c.answer(r, answer); err != nil {
		return err
	}
	then(r)
	return nil
}

func (c *conn) commitThen(r *round, k *completion) error {
	if err := c.checkAnswer(k.answer); err != nil {
		return err
	}
	c.acks.push(k)
	batch := r.takeBatch(&k.changes)
	if len(batch.Ops) == 0 || c.b.commitBatch(batch, k) {
		k.complete(r, nil)
	}
	return nil
}

// changes are what is committed, and the messages that wait for that.
type changes struct {
	held  *held
	batch *Batch
}

// release lets the messages go, or takes them back. Of a batch that was refused the
// store may still be reading.
func (k *changes) release(r *round, err error) {
	k.held.release(r, err)
	if err == nil {
		k.batch.recycle()
	}
}

// takeBatch hands the round's changes over, to the store and to who is told.
func (r *round) takeBatch(to *changes) *Batch {
	b := batches.Get().(*Batch)
	*b, r.batch = r.batch, *b
	to.held, to.batch = r.held, b
	r.held = nil
	return b
}

// commitNow commits what r has changed and nobody is answered for. What was
// held for it may raise changes of its own.
func (b *Broker) commitNow(r *round) {
	for r.flights.release(r); !r.batch.empty(); r.flights.release(r) {
		k := &unanswered{b: b}
		if b.commitBatch(r.takeBatch(&k.changes), k) {
			k.release(r, nil)
		}
	}
}

// commitBatch hands a batch to the store. Those that change retained messages
// go one at a time, with what is retained at that moment: however two
// publishers of one topic race, the last to reach the store brings the newest.
func (b *Broker) commitBatch(batch *Batch, done Committed) (kept bool) {
	if batch.retains {
		b.retained.commit.Lock()
		defer b.retained.commit.Unlock()
		b.retained.renew(batch)
	}
	return b.store.Commit(batch, done)
}

// commitWait commits what r has changed and waits until that is kept. The
// caller holds no lock and holds up nobody.
func (b *Broker) commitWait(r *round) error {
	if r.batch.empty() {
		return nil
	}
	k := &awaited{done: make(chan error, 1)}
	if b.commitBatch(r.takeBatch(&k.changes), k) {
		k.done <- nil
	}
	r.mayWait()
	err := <-k.done
	if err != nil {
		b.storeFailed(err)
	}
	k.release(r, err)
	return err
}

// awaited is the completion of changes that somebody waits for.
type awaited struct {
	changes
	done chan error
}

// Committed implements Committed.
func (k *awaited) Committed(err error) { k.done <- err }

func (b *Broker) storeFailed(err error) {
	b.metrics.StoreErrors.Add(1)
	b.log.Error("a change could not be stored", "err", err)
}

// unanswered is the completion of changes that nobody is answered for.
type unanswered struct {
	changes
	b *Broker
}

// Committed implements Committed. What was held goes on on a goroutine of its
// own: rules may be told of what is lost, and the store must not wait for them.
func (k *unanswered) Committed(err error) {
	if err != nil {
		k.b.storeFailed(err)
	}
	if k.held == nil {
		k.release(nil, err)
		return
	}
	go func() {
		r := k.b.newRound()
		k.release(r, err)
		r.end()
	}()
}

func (q *completions) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.first == nil
}

func (q *completions) push(k *completion) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.n++
	if q.last == nil {
		q.first = k
	} else {
		q.last.next = k
	}
	q.last = k
}

// mayRead says whether what more the client sends can be taken in: it takes what
// it is sent, and the store what it has sent.
func (c *conn) mayRead() bool {
	return !c.acks.isOver() && !c.out.isOver()
}

func (q *completions) isOver() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.n > q.most
}

// bound says how many answers may wait.
func (q *completions) bound(most int32) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.most = most
}

// waitForStore holds up the connection's own reader while too many answers wait
// for the store: a client cannot send faster than is stored. What it has sent
// meanwhile is not known, so its keep alive begins anew.
func (c *conn) waitForStore() {
	q := &c.acks
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.n <= q.most {
		return
	}
	c.busy.Store(true)
	if q.fewer == nil {
		q.fewer = sync.NewCond(&q.mu)
	}
	for q.n > q.most {
		q.fewer.Wait()
	}
	c.spoke()
	c.busy.Store(false)
}

// Committed is called by the store, from any goroutine, perhaps one for all
// connections: it hands over to one of the connection, which lives while there
// is something to complete.
func (k *completion) Committed(err error) {
	q := &k.c.acks
	q.mu.Lock()
	defer q.mu.Unlock()
	k.err = err
	q.told = append(q.told, k)
	if !q.completing {
		q.completing = true
		go k.c.completeLoop()
	}
}

func (c *conn) completeLoop() {
	for list := c.acks.take(); len(list) > 0; list = c.acks.take() {
		r := c.b.newRound()
		for _, k := range list {
			k.complete(r, k.err)
		}
		r.end()
	}
}

// take returns what the store has told of; nothing ends the loop.
func (q *completions) take() []*completion {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.told
	q.told = nil
	q.completing = len(list) > 0
	return list
}

// complete lets the messages go that waited for the commit, and sends the
// answers at the front that are done, in order.
func (k *completion) complete(r *round, err error) {
	k.release(r, err)
	c := k.c
	q := &c.acks
	q.mu.Lock()
	k.done, k.err = true, err
	var failed error
	var after []func(*round)
	for q.first != nil && q.first.done {
		k := q.first
		if q.first = k.next; q.first == nil {
			q.last = nil
		}
		q.n--
		if q.fewer != nil {
			q.fewer.Signal()
		}
		if k.err != nil {
			failed = c.refuseCommit(r, k)
			continue
		}
		if len(k.answer) > 0 {
			c.out.force(r, k.answer)
		}
		if k.then != nil {
			after = append(after, k.then)
		}
	}
	q.mu.Unlock()
	for _, then := range after {
		then(r)
	}
	if c.poll.isPaused() {
		c.poll.resumeIfMay()
	}
	if failed != nil {
		c.stop(*failed.(*stop))
	}
}

// refuseCommit answers what could not be stored: MQTT 5 with quota exceeded,
// 3.x, which cannot say so, with no acknowledgement and a close.
func (c *conn) refuseCommit(r *round, k *completion) error {
	c.b.metrics.StoreErrors.Add(1)
	if k.ack.Type == packet.PUBREC { // a refused identifier is free at once
		c.sess.mu.Lock()
		c.sess.removeReceivedLocked(k.ack.PacketID)
		c.sess.mu.Unlock()
	}
	if c.version != packet.V5 || k.ack.Type != packet.PUBACK && k.ack.Type != packet.PUBREC {
		return refuse(packet.ImplementationSpecificError, "a change could not be stored: "+k.err.Error())
	}
	a := packet.Ack{Type: k.ack.Type, PacketID: k.ack.PacketID, Code: packet.QuotaExceeded}
	c.out.force(r, a.Append(nil, c.version))
	return nil
}

// handleAck takes PUBACK, PUBREC and PUBCOMP, which settle what was sent to
// the client, and PUBREL, which ends what it sent.
func (c *conn) handleAck(r *round, h packet.Header, body []byte) error {
	var a packet.Ack
	if err := a.Decode(c.version, h, body); err != nil {
		return err
	}
	if err := a.CheckFrom(packet.FromClient); err != nil {
		return err
	}
	if a.Type == packet.PUBREL {
		return c.handlePubrel(r, a)
	}
	s := c.sess
	s.mu.Lock()
	reply, done, err := s.settleLocked(r, c, a)
	if err == nil && reply.Type == 0 {
		s.pumpLocked(r)
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if reply.Type != 0 {
		return c.acknowledge(r, reply)
	}
	err = c.commit(r, nil)
	if done.msg != nil {
		c.b.tellAcked(r, c.client, done)
	}
	return err
}

// completed is a message that its receiver has acknowledged; without msg, none.
type completed struct {
	msg *Message
	qos byte
}

// settleLocked moves one message in flight on; reply, where it has a type, is
// the PUBREL to send, done what has been completed by it.
func (s *session) settleLocked(r *round, c *conn, a packet.Ack) (reply packet.Ack, done completed, err error) {
	if s.owner != c {
		return reply, done, errEnded
	}
	f := s.window.get(a.PacketID)
	if f == nil {
		if a.Type == packet.PUBREC && !a.Code.IsError() { // 4.3.3: the sender knows nothing of it
			return packet.Ack{Type: packet.PUBREL, PacketID: a.PacketID, Code: c.code(packet.PacketIDNotFound)}, done, nil
		}
		return reply, done, nil
	}
	switch {
	case a.Type == packet.PUBACK && f.state == flightPuback,
		a.Type == packet.PUBCOMP && f.state == flightPubcomp,
		a.Type == packet.PUBREC && f.state == flightPubrec && a.Code.IsError(): // [MQTT-4.3.3-4]
		if !a.Code.IsError() {
			done = completed{f.msg, f.qos}
		}
		s.forgetLocked(r, &f.queued)
		s.landLocked(a.PacketID)
		return reply, done, nil
	case a.Type == packet.PUBREC && f.state == flightPubrec, a.Type == packet.PUBREC && f.state == flightPubcomp:
		f.state = flightPubcomp
		s.window.confirm(a.PacketID)
		if f.stored {
			if s.b.durable { // the next connection sends no PUBREL before
				f.held = r.holdFor(s)
			}
			r.batch.add(Op{Kind: PutReleased, Session: s.name, Life: s.life, Seq: f.seq, ID: a.PacketID})
		}
		return packet.Ack{Type: packet.PUBREL, PacketID: a.PacketID}, done, nil
	}
	return reply, done, refuse(packet.ProtocolError, fmt.Sprintf("%s for packet %d of QoS %d", a.Type, a.PacketID, f.qos))
}

// handlePubrel frees a QoS 2 identifier; the client hears of it when the store
// has it.
func (c *conn) handlePubrel(r *round, a packet.Ack) error {
	s := c.sess
	s.mu.Lock()
	if s.owner != c {
		s.mu.Unlock()
		return errEnded
	}
	known := s.removeReceivedLocked(a.PacketID)
	if s.keptLocked() && (known || s.b.durable) { // where it is not known its end may be on its way to the store
		r.batch.add(Op{Kind: DeleteReceived, Session: s.name, Life: s.life, ID: a.PacketID})
	}
	s.mu.Unlock()
	reply := packet.Ack{Type: packet.PUBCOMP, PacketID: a.PacketID}
	if !known {
		reply.Code = c.code(packet.PacketIDNotFound)
	}
	return c.acknowledge(r, reply)
}

// removeReceivedLocked frees a QoS 2 identifier and says whether it was taken.
func (s *session) removeReceivedLocked(id uint16) bool {
	delete(s.unkept, id)
	return s.received.remove(id)
}

// code is a reason code where the version has them.
func (c *conn) code(code packet.ReasonCode) packet.ReasonCode {
	if c.version != packet.V5 {
		return packet.Success
	}
	return code
}
