package core

import (
	"testing"
	"time"
)

// ends writes down what is acknowledged and which sessions end.
type ends struct{ d diary }

func (e *ends) OnAcked(ev *AckedEvent) {
	e.d.note("acked %s %s q%d", ev.Client.ID, ev.Topic, ev.QoS)
}

func (e *ends) OnSessionEnded(ev *SessionEndedEvent) {
	e.d.note("session ended %s%s %s", ev.Client.Mount, ev.Client.ID, ev.Reason)
}

func (e *ends) want(t *testing.T, entries ...string) {
	t.Helper()
	got := e.d.take()
	if len(got) != len(entries) {
		t.Fatalf("told %q, want %q", got, entries)
	}
	for i := range got {
		if got[i] != entries[i] {
			t.Errorf("told %q, want %q", got[i], entries[i])
		}
	}
}

// TestAcked: a hook is told once a receiver has completed a message, QoS 2 at
// PUBCOMP, and not of one that it refused.
func TestAcked(t *testing.T) {
	e := new(ends)
	bubble(t, wireOptions(), func(s *stage) {
		a := s.subscriber("clean id=a", "t/#:q2")
		p := s.connect("clean id=p")
		p.send("PUBLISH topic=t/0 payload=x")
		p.send("PUBLISH topic=t/1 payload=x q=1 id=1")
		p.send("PUBLISH topic=t/2 payload=x q=2 id=2")
		p.send("PUBLISH topic=t/3 payload=x q=1 id=3")
		if n := len(a.packets()); n != 4 {
			t.Fatalf("%d messages arrived", n)
		}
		e.want(t)
		a.send("PUBACK id=1")
		e.want(t, "acked a t/1 q1")
		a.send("PUBACK id=1") // a second one completes nothing
		a.send("PUBREC id=2")
		e.want(t)
		a.send("PUBCOMP id=2")
		a.send("PUBACK id=3 code=0x97")
		e.want(t, "acked a t/2 q2")
	}, e)
}

// TestAckedWithinMount: topics are told as the receiver knows them.
func TestAckedWithinMount(t *testing.T) {
	e := new(ends)
	bubble(t, wireOptions(), func(s *stage) {
		a := s.subscriber("clean id=a", "t:q1")
		a.send("PUBLISH topic=t payload=x q=1 id=7")
		a.packets()
		a.send("PUBACK id=1")
		e.want(t, "acked a t q1")
	}, e, connectFunc(func(ev *ConnectEvent) Decision { ev.Mount = "tenant/"; return Decision{} }))
}

// TestSessionEnded: each way in which a session ends, told once.
func TestSessionEnded(t *testing.T) {
	e := new(ends)
	bubble(t, wireOptions(), func(s *stage) {
		s.connect("clean id=a").drop()
		e.want(t, "session ended a connection_ended")
		s.connect("id=b expiry=10").drop()
		time.Sleep(10*time.Second - time.Millisecond)
		e.want(t)
		time.Sleep(time.Millisecond)
		e.want(t, "session ended b expired")
		s.connect("id=c expiry=10").drop()
		c := s.connect("clean id=c expiry=10")
		e.want(t, "session ended c clean_start")
		c.drop()
		s.resume("id=c expiry=10").drop()
		e.want(t)
	}, e)
}
