package core

import (
	"math"
	"time"

	"lunamq/core/packet"
)

// will is the will of a connection, and after its end the will that waits for
// its delay or its session's end, whichever is first (3.1.2.5, 3.1.3.2.2).
type will struct {
	msg    *Message // topic without mount, as the client wrote it
	delay  uint32   // seconds
	client *Client  // the facts as they were
	sess   *session
	due    time.Time
	reason packet.ReasonCode // why the connection ended
	text   string
}

func newWill(c *Client, s *session, ev *ConnectEvent) *will {
	m := ev.Will.keep()
	m.Origin, m.Publisher = OriginWill, c
	return &will{msg: m, delay: ev.WillDelay, client: c, sess: s}
}

// sendDueWill sends a will whose time has come, and then takes it out of the store:
// if the process ends in between, it is sent again and not lost.
func (b *Broker) sendDueWill(r *round, w *will) (sent bool) {
	sent = b.sendWill(r, w)
	s := w.sess
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stored && !s.gone {
		s.storeLocked()
	}
	return sent
}

// sendWill puts a will to the will hooks and then takes the way of every
// message, from authorisation on; false if it was refused or dropped. The caller
// holds no lock.
func (b *Broker) sendWill(r *round, w *will) (sent bool) {
	m := *w.msg
	hooks := b.hooks.Load()
	ev := &WillEvent{Turn: Turn{round: r}, Client: w.client, Message: &m, Delay: w.delay, Reason: w.reason, Text: w.text}
	d := ask(r, hooks.will, func(h WillHook) Decision { return h.OnWill(ev) })
	if d.refuses() {
		r.drop(&m, nil, CauseScript)
		ev.settle(d.Verdict != Drop)
		return false
	}
	sent = b.publishWill(r, w, &m, d)
	if sent {
		b.metrics.WillsSent.Add(1)
	}
	ev.settle(!sent)
	b.commitNow(r)
	return sent
}

// publishWill judges and routes a will after what will hooks have decided; false if
// it was refused.
func (b *Broker) publishWill(r *round, w *will, m *Message, byWill Decision) bool {
	if err := b.checkMessage(m); err != nil {
		r.drop(m, nil, CauseScript)
		b.log.Error("a rule made a will that is not valid; it is dropped", "client", w.client.ID, "err", err)
		return false
	}
	if isSys(m.Topic) {
		r.drop(m, nil, CauseACL)
		return false
	}
	ev := &PublishEvent{Turn: Turn{round: r}, Client: w.client, Message: m, allowed: byWill.Verdict == Allow}
	if t, rt := b.hooks.Load(), (&route{topic: m.Topic}); rt.isJudged(b, t) {
		if d := b.judge(t, ev, rt); d.refuses() {
			ev.settle(d.Verdict != Drop)
			return false
		}
	}
	m.Topic = mounted(w.client.Mount, m.Topic)
	if m.HasResponseTopic {
		m.ResponseTopic = mounted(w.client.Mount, m.ResponseTopic)
	}
	if max(len(m.Topic), len(m.ResponseTopic)) > math.MaxUint16 {
		r.drop(m, nil, CauseScript)
		ev.settle(true)
		return false
	}
	m.seal()
	r.forget()
	if d := b.retain(r, m); d.refuses() {
		ev.settle(true)
		return false
	}
	if r.publishFull(m, w.sess) == 0 && !m.Retain {
		r.drop(m, nil, CauseNoSubscriber)
	}
	b.commitNow(r)
	ev.settle(false)
	return true
}
