package core

import (
	"time"

	"lunamq/core/packet"
)

// handleDisconnect ends a connection as the client asks (3.14).
func (c *conn) handleDisconnect(h packet.Header, body []byte) error {
	var in packet.Disconnect
	if err := in.Decode(c.version, h, body); err != nil {
		return err
	}
	if err := in.CheckFrom(packet.FromClient); err != nil {
		return err
	}
	if in.Props.Has(packet.SessionExpiry) && c.sess != nil {
		if c.expiryAsked == 0 && in.Props.SessionExpiry > 0 { // 3.14.2.2.2
			return refuse(packet.ProtocolError, "DISCONNECT gives a session expiry to a session that had none")
		}
		c.setExpiry(in.Props.SessionExpiry)
	}
	return &stop{reason: in.Code, text: string(append([]byte(nil), in.Props.ReasonString...)), by: ByClient}
}

// setExpiry changes when the session ends, within what was granted at CONNECT.
func (c *conn) setExpiry(seconds uint32) {
	s := c.sess
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owner == c {
		s.expiry = min(seconds, c.expiryMax)
	}
}

// ended is a connection that has released its session, before hooks are told.
type ended struct {
	c      *conn
	sess   *session
	why    stop
	will   *will // to be sent now
	fate   string
	remove bool // the session ends with the connection
	spare  []queued
	shared []*subscription // of which what lies in the store may go to others, too
}

// release takes the session from the connection, whoever comes first; mine says
// whether the caller did. It decides what becomes of the will and the session:
//
//	DISCONNECT 0x00: the will is discarded [MQTT-3.14.4-3]
//	anything else, and the session ends with the connection, or the delay is 0: sent now
//	anything else: sent after the delay, or when the session ends, whichever is first
func (c *conn) release(r *round, why stop) (e ended, mine bool) {
	s := c.sess
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owner != c {
		return e, false
	}
	s.owner = nil
	s.conn.Store(nil)
	c.stopTimer()
	c.b.metrics.Connected.Add(-1)
	e = ended{c: c, sess: s, why: why, remove: s.expiry == 0}
	w := s.will
	if w != nil {
		w.reason, w.text = why.reason, why.text
	}
	switch {
	case w == nil:
	case why.by == ByClient && why.reason == packet.Success:
		s.will, e.fate = nil, "discarded"
	case w.delay == 0 || s.expiry == 0:
		s.will, e.will, e.fate = nil, w, "sent"
	default:
		w.due, e.fate = time.Now().Add(time.Duration(w.delay)*time.Second), "delayed"
	}
	if e.remove {
		s.expireLocked(0) // nobody resumes it before finish has removed it
		return e, true
	}
	s.expires = 0
	if s.expiry != never {
		s.expireLocked(time.Duration(s.expiry) * time.Second)
	}
	s.armLocked()
	if e.will == nil && s.keptLocked() {
		s.storeLocked()
	}
	// what was not sent yet and came by a shared subscription may go to others
	var g *group
	others := false // of g, asked once and not for every message
	e.spare = s.takeFirstLocked(func(q *queued) bool {
		if q.sub.group != g {
			g = q.sub.group
			others = g != nil && g.hasOtherConnected(s)
		}
		return others
	})
	s.removeLocked(e.spare)
	s.unpageLocked()
	if s.spill != nil && s.spill.shared > 0 {
		for sub := range s.subs.all() {
			if sub.group != nil && sub.group.hasOtherConnected(s) {
				e.shared = append(e.shared, sub)
			}
		}
	}
	return e, true
}

// never is the session expiry of a session that does not expire.
const never = 0xFFFFFFFF

// finish does what follows a connection's end: the will goes out, hooks are
// told, the session ends or is kept. The caller holds no lock.
func (b *Broker) finish(r *round, e ended) {
	if e.will != nil && !b.sendDueWill(r, e.will) {
		e.fate = "discarded"
	}
	for i := range e.spare {
		e.sess.forgetLocked(r, &e.spare[i])
		r.leave(e.spare[i], e.c.client, CauseSessionEnded)
	}
	e.sess.sieve(e.shared)
	b.logEnd(e)
	b.tellDisconnected(r, &DisconnectedEvent{Client: e.c.client, Reason: e.why.reason, Text: e.why.text, By: e.why.by, Will: e.fate})
	if e.remove {
		b.endSession(r, e.sess, SessionConnectionEnded)
	}
	b.commitNow(r)
}

// logEnd writes the one line of a disconnect: who, why, and who decided.
func (b *Broker) logEnd(e ended) {
	reason := e.why.reason.String()
	if e.why.reason == packet.Success {
		reason = "normal_disconnection"
	}
	b.metrics.Disconnects.Add(1)
	b.log.Info("client disconnected", "client", e.c.client.ID, "addr", e.c.remote, "listener", e.c.listener.Name,
		"reason", reason, "text", e.why.text, "by", whoDecided(e.why), "dur", time.Since(e.c.client.ConnectedAt).Round(time.Millisecond))
}

// Kick disconnects a client: id within mount, or the full form of mount and id.
// It returns false if no such client is connected.
func (b *Broker) Kick(mount, id string, reason packet.ReasonCode, text, by string) bool {
	c := b.lookup(mount, id)
	if c == nil {
		return false
	}
	c.stop(stop{reason: reason, text: reasonText(text), by: ByScript, who: by})
	return true
}

// lookup finds a connected client by id within mount, or by its full form.
func (b *Broker) lookup(mount, id string) *conn {
	if s := b.session(mount, id); s != nil {
		return s.conn.Load()
	}
	return nil
}

// session finds a session by id within mount, or by its full form.
func (b *Broker) session(mount, id string) *session {
	if s := b.sessions.find(mount, id); s != nil {
		return s
	}
	for i := len(id) - 1; i >= 0; i-- {
		if id[i] != '/' {
			continue
		}
		if s := b.sessions.find(id[:i+1], id[i+1:]); s != nil {
			return s
		}
	}
	return nil
}
