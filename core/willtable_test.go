package core

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// willCase is one path through the life of a will.
type willCase struct {
	delay  int    // seconds, 0 none
	expiry int    // seconds, at CONNECT
	ending string // how the connection ends
	change int    // the expiry that DISCONNECT gives, -1 none
	back   int    // seconds after the end at which the client is back, -1 never
	clean  bool   // with clean start
}

func (c willCase) String() string {
	return fmt.Sprintf("delay=%d,expiry=%d,%s,change=%d,back=%d,clean=%v", c.delay, c.expiry, c.ending, c.change, c.back, c.clean)
}

const neverSent = -1

// oracle says when the will is sent, in seconds after the connection's end, in
// the order of the specification's sentences.
func (c willCase) oracle() int {
	// "The Will Message MUST be removed from the stored Session State in the
	// Server once it has been published or the Server has received a DISCONNECT
	// packet with a Reason Code of 0x00" [MQTT-3.1.2-10]
	if c.ending == "disconnect 0x00" {
		return neverSent
	}
	// "The Session Expiry Interval ... if it is set in the DISCONNECT packet,
	// it overrides" (3.14.2.2.2)
	sessionEnd := c.expiry
	if c.change >= 0 {
		sessionEnd = c.change
	}
	// a store that forgets: the sessions end with the process
	if c.ending == "shutdown" {
		sessionEnd = 0
	}
	// "If a Server receives a CONNECT packet with Clean Start set to 1, the
	// Client and Server MUST discard any existing Session" [MQTT-3.1.2-4]
	if c.back >= 0 && c.clean {
		sessionEnd = min(sessionEnd, c.back)
	}
	// "The Server delays publishing the Client's Will Message until the Will
	// Delay Interval has passed or the Session ends, whichever happens first" (3.1.3.2.2)
	sent := min(c.delay, sessionEnd)
	// "If a new Network Connection to this Session is made before the Will
	// Delay Interval has passed, the Server MUST NOT send the Will Message" [MQTT-3.1.3-9]
	if c.back >= 0 && !c.clean && c.back < sent {
		return neverSent
	}
	return sent
}

func willCases() (cases []willCase) {
	type ending struct {
		how    string
		change int
	}
	var endings []ending
	for _, how := range []string{"disconnect 0x00", "disconnect 0x04"} {
		for _, change := range []int{-1, 0, 3, 20} {
			endings = append(endings, ending{how, change})
		}
	}
	for _, how := range []string{"drop", "keep alive", "protocol error", "kick", "takeover", "shutdown"} {
		endings = append(endings, ending{how, -1})
	}
	type back struct {
		after int
		clean bool
	}
	for _, delay := range []int{0, 5} {
		for _, expiry := range []int{0, 3, 10} {
			for _, e := range endings {
				returns := []back{{-1, false}, {2, false}, {2, true}, {7, false}, {7, true}}
				switch e.how {
				case "takeover":
					returns = []back{{0, false}, {0, true}}
				case "shutdown":
					returns = []back{{-1, false}}
				}
				for _, r := range returns {
					if e.change > 0 && expiry == 0 { // a protocol error of its own
						continue
					}
					cases = append(cases, willCase{delay: delay, expiry: expiry, ending: e.how, change: e.change, back: r.after, clean: r.clean})
				}
			}
		}
	}
	return cases
}

// willWatch writes down when wills are sent and connections end.
type willWatch struct {
	mu        sync.Mutex
	sent      []time.Time
	published int
	ended     time.Time
	fate      string
}

func (w *willWatch) OnWill(*WillEvent) Decision {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, time.Now())
	return Decision{}
}

func (w *willWatch) OnPublish(ev *PublishEvent) Decision {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ev.Message.Origin == OriginWill && ev.Message.Topic == "w" {
		w.published++
	}
	return Decision{}
}

func (w *willWatch) OnDisconnected(ev *DisconnectedEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended.IsZero() {
		w.ended, w.fate = time.Now(), ev.Will
	}
}

// TestWillTable runs every path in virtual time against the oracle.
func TestWillTable(t *testing.T) {
	cases := willCases()
	if len(cases) < 300 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, c := range cases {
		t.Run(c.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.run(t) })
		})
	}
}

func (c willCase) run(t *testing.T) {
	watch := new(willWatch)
	s := newStage(t, wireOptions(), watch)
	keepAlive := 0
	if c.ending == "keep alive" {
		keepAlive = 10
	}
	line := fmt.Sprintf("id=a ka=%d will=w:bye:q1:delay%d expiry=%d", keepAlive, c.delay, c.expiry)
	p := s.connect(line)
	c.end(s, p)
	if c.back > 0 {
		time.Sleep(time.Duration(c.back) * time.Second)
		again := "id=a expiry=100"
		if c.clean {
			again += " clean"
		}
		s.connect(again)
	}
	time.Sleep(time.Minute)
	synctest.Wait()
	if n := s.b.sessions.count.Load(); c.back < 0 && n != 0 && c.ending != "shutdown" {
		t.Errorf("%d sessions are left a minute after the end", n)
	}
	p.drop()
	s.end()
	watch.check(t, c)
}

// end ends the connection in the way of the case.
func (c willCase) end(s *stage, p *peer) {
	s.t.Helper()
	change := ""
	if c.change >= 0 {
		change = fmt.Sprintf(" expiry=%d", c.change)
	}
	switch c.ending {
	case "disconnect 0x00":
		p.send("DISCONNECT" + change)
	case "disconnect 0x04":
		p.send("DISCONNECT code=4" + change)
	case "drop":
		p.drop()
	case "keep alive":
		time.Sleep(15*time.Second + time.Millisecond)
	case "protocol error":
		p.send("PINGRESP")
	case "kick":
		s.b.Kick("", "a", 0x98, "", "test")
	case "takeover":
		line := "id=a expiry=100"
		if c.clean {
			line += " clean"
		}
		s.connect(line)
	case "shutdown":
		s.end()
	}
	synctest.Wait()
	if s.b.metrics.Connected.Load() > 0 && c.ending != "takeover" {
		s.t.Fatal("the connection has not ended")
	}
}

func (w *willWatch) check(t *testing.T, c willCase) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	want := c.oracle()
	if len(w.sent) != w.published {
		t.Errorf("%d wills, %d published", len(w.sent), w.published)
	}
	got := neverSent
	if len(w.sent) > 0 {
		got = int(w.sent[0].Sub(w.ended).Round(100*time.Millisecond) / time.Second)
	}
	if len(w.sent) > 1 || got != want {
		t.Errorf("sent %d times, first after %d s; want %d", len(w.sent), got, want)
	}
	fate := "delayed"
	switch {
	case c.ending == "disconnect 0x00":
		fate = "discarded"
	case want == 0 && c.ending != "shutdown", c.delay == 0, c.expiry == 0 && c.change < 0:
		fate = "sent"
	}
	if w.fate != fate {
		t.Errorf("told %q, want %q", w.fate, fate)
	}
}
