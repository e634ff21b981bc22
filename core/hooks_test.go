package core

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"lunamq/core/packet"
)

// Hooks made of functions; publishFunc is in clock_test.go.
type (
	accessFunc      func(*AccessEvent) Decision
	subscribeFunc   func(*SubscribeEvent) Decision
	unsubscribeFunc func(*UnsubscribeEvent) Decision
	deliverFunc     func(*DeliverEvent) Decision
	willFunc        func(*WillEvent) Decision
	droppedFunc     func(*DroppedEvent)
	subscribedFunc  func(*SubscriptionEvent)
)

func (f accessFunc) OnAccess(ev *AccessEvent) Decision                { return f(ev) }
func (f subscribeFunc) OnSubscribe(ev *SubscribeEvent) Decision       { return f(ev) }
func (f unsubscribeFunc) OnUnsubscribe(ev *UnsubscribeEvent) Decision { return f(ev) }
func (f deliverFunc) WantsDeliver(topic string) bool                  { return topic != "plain" }
func (f deliverFunc) OnDeliver(ev *DeliverEvent) Decision             { return f(ev) }
func (f willFunc) OnWill(ev *WillEvent) Decision                      { return f(ev) }
func (f droppedFunc) OnDropped(ev *DroppedEvent)                      { f(ev) }
func (f subscribedFunc) OnSubscribed(ev *SubscriptionEvent)           { f(ev) }

// bubble runs a test with a broker in virtual time.
func bubble(t *testing.T, o Options, do func(s *stage), hooks ...any) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, o, hooks...)
		defer s.end()
		do(s)
	})
}

// subscriber connects and subscribes; line is the CONNECT's, filters those of
// SUBSCRIBE.
func (s *stage) subscriber(line string, filters ...string) *peer {
	s.t.Helper()
	p := s.connect(line)
	p.send("SUBSCRIBE id=1 f=" + strings.Join(filters, " f="))
	p.packets()
	return p
}

// resume connects to a session that is there and holds what is sent at once.
func (s *stage) resume(line string, want ...string) *peer {
	s.t.Helper()
	p := s.dial()
	p.send("CONNECT " + line)
	p.expect(append([]string{"CONNACK present"}, want...)...)
	return p
}

// wantDrops holds the counted drops against cause=n pairs: those and no others.
func (s *stage) wantDrops(want map[Cause]int64) {
	s.t.Helper()
	synctest.Wait()
	for _, c := range s.b.metrics.Dropped.Causes() {
		if got := s.b.metrics.Dropped.Get(c); got != want[c] {
			s.t.Errorf("dropped because of %s: %d, want %d", c, got, want[c])
		}
	}
	for c, n := range want {
		if got := s.b.metrics.Dropped.Get(c); got != n {
			s.t.Errorf("dropped because of %s: %d, want %d", c, got, n)
		}
	}
}

// TestPublishVerdicts: every verdict as the publisher sees it, by version and
// QoS, and whether the message went on.
func TestPublishVerdicts(t *testing.T) {
	deny := Decision{Verdict: Deny, Reason: packet.PayloadFormatInvalid, Text: "no", By: "rule:1"}
	kick := Decision{Verdict: Disconnect, Reason: packet.AdministrativeAction, Text: "out", By: "rule:2"}
	for _, c := range []struct {
		name    string
		connect string
		option  string
		d       Decision
		send    string
		answers []string
		closed  bool
		passes  bool
		drops   map[Cause]int64
	}{
		{"pass", "v5", "", Decision{}, "q=1 id=1", []string{"PUBACK id=1"}, false, true, nil},
		{"allow", "v5", "", Decision{Verdict: Allow}, "q=1 id=1", []string{"PUBACK id=1"}, false, true, nil},
		{"drop, QoS 1", "v5", "", Decision{Verdict: Drop}, "q=1 id=1", []string{"PUBACK id=1"}, false, false, map[Cause]int64{CauseScript: 1}},
		{"drop, QoS 2", "v5", "", Decision{Verdict: Drop}, "q=2 id=1", []string{"PUBREC id=1"}, false, false, map[Cause]int64{CauseScript: 1}},
		{"drop, 3.1.1", "v311", "", Decision{Verdict: Drop}, "q=2 id=1", []string{"PUBREC id=1"}, false, false, map[Cause]int64{CauseScript: 1}},
		{"deny, QoS 0", "v5", "", deny, "", nil, false, false, map[Cause]int64{CauseScript: 1}},
		{"deny, QoS 1", "v5", "", deny, "q=1 id=1", []string{"PUBACK id=1 code=0x99 reason=no"}, false, false, map[Cause]int64{CauseScript: 1}},
		{"deny, QoS 2", "v5", "", deny, "q=2 id=1", []string{"PUBREC id=1 code=0x99 reason=no"}, false, false, map[Cause]int64{CauseScript: 1}},
		{"deny, no reason", "v5", "", Decision{Verdict: Deny}, "q=1 id=1", []string{"PUBACK id=1 code=0x87"}, false, false, map[Cause]int64{CauseScript: 1}},
		{"deny, a reason that is none", "v5", "", Decision{Verdict: Deny, Reason: packet.NoMatchingSubscribers}, "q=1 id=1", []string{"PUBACK id=1 code=0x80"}, false, false, map[Cause]int64{CauseScript: 1}},
		{"deny, a reason of another packet", "v5", "", Decision{Verdict: Deny, Reason: packet.Banned}, "q=1 id=1", []string{"PUBACK id=1 code=0x80"}, false, false, map[Cause]int64{CauseScript: 1}},
		{"deny, 3.1.1", "v311", "", deny, "q=1 id=1", []string{"PUBACK id=1"}, false, false, map[Cause]int64{CauseScript: 1}},
		{"deny, 3.1.1 QoS 2", "v311", "", deny, "q=2 id=1", []string{"PUBREC id=1"}, false, false, map[Cause]int64{CauseScript: 1}},
		{"deny, 3.1.1 closes", "v311", "DenyPublishV3Disconnects=true", deny, "q=1 id=1", nil, true, false, map[Cause]int64{CauseScript: 1}},
		{"deny, 3.1.1 closes with QoS 0", "v31", "DenyPublishV3Disconnects=true", deny, "", nil, true, false, map[Cause]int64{CauseScript: 1}},
		{"deny, MQTT 5 is not closed by that", "v5", "DenyPublishV3Disconnects=true", deny, "q=1 id=1", []string{"PUBACK id=1 code=0x99 reason=no"}, false, false, map[Cause]int64{CauseScript: 1}},
		{"disconnect", "v5", "", kick, "q=1 id=1", []string{"DISCONNECT code=0x98 reason=out"}, true, false, map[Cause]int64{CauseScript: 1}},
		{"disconnect, 3.1.1", "v311", "", kick, "q=1 id=1", nil, true, false, map[Cause]int64{CauseScript: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := wireOptions()
			if c.option != "" {
				if err := setOption(&o, c.option); err != nil {
					t.Fatal(err)
				}
			}
			hook := publishFunc(func(*PublishEvent) Decision { return c.d })
			bubble(t, o, func(s *stage) {
				sub := s.subscriber("clean id=s", "t")
				p := s.connect(c.connect + " clean id=p")
				p.send("PUBLISH topic=t payload=x " + c.send)
				p.expect(c.answers...)
				if p.isClosed() != c.closed {
					t.Errorf("closed: %v", p.isClosed())
				}
				if c.passes {
					sub.expect("PUBLISH topic=t payload=x")
				} else {
					sub.expect()
				}
				s.wantDrops(c.drops)
			}, hook)
		})
	}
}

// TestWhoMay: any refusal refuses, else any allow authorises, else the default
// decides; row by row, for a publish and for a subscription.
func TestWhoMay(t *testing.T) {
	verdicts := []Verdict{Pass, Allow, Deny}
	for _, acl := range verdicts {
		for _, first := range verdicts {
			for _, second := range verdicts {
				for _, byDefault := range []bool{false, true} {
					all := []Verdict{acl, first, second}
					want := !slices.Contains(all, Deny) && (slices.Contains(all, Allow) || !byDefault)
					name := fmt.Sprintf("acl %s, rules %s %s, default deny %v", acl, first, second, byDefault)
					t.Run(name, func(t *testing.T) { checkWhoMay(t, all, byDefault, want) })
				}
			}
		}
	}
}

func checkWhoMay(t *testing.T, v []Verdict, byDefault, want bool) {
	o := wireOptions()
	hooks := []any{
		accessFunc(func(ev *AccessEvent) Decision { return Decision{Verdict: v[0]} }),
		publishFunc(func(*PublishEvent) Decision { return Decision{Verdict: v[1]} }),
		publishFunc(func(*PublishEvent) Decision { return Decision{Verdict: v[2]} }),
		subscribeFunc(func(*SubscribeEvent) Decision { return Decision{Verdict: v[1]} }),
		subscribeFunc(func(*SubscribeEvent) Decision { return Decision{Verdict: v[2]} }),
		allowConnect{},
	}
	o.AuthDefaultDeny = byDefault
	bubble(t, o, func(s *stage) {
		p := s.connect("clean id=p")
		p.send("SUBSCRIBE id=1 f=t:q1")
		p.send("PUBLISH topic=x payload=x q=1 id=1")
		if want {
			p.expect("SUBACK id=1 codes=1", "PUBACK id=1 code=0x10")
		} else {
			p.expect("SUBACK id=1 codes=0x87 reason=*", "PUBACK id=1 code=0x87 reason=*")
		}
	}, hooks...)
}

type allowConnect struct{}

func (allowConnect) OnConnect(*ConnectEvent) Decision { return Decision{Verdict: Allow} }

// TestRecheck: what a rule made of a message or a filter is put to the ACLs
// too, and only where something changed.
func TestRecheck(t *testing.T) {
	for _, recheck := range []bool{true, false} {
		var mu sync.Mutex
		var asked []string
		acl := accessFunc(func(ev *AccessEvent) Decision {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, ev.Topic)
			if strings.HasPrefix(ev.Topic, "secret") {
				return Decision{Verdict: Deny}
			}
			return Decision{}
		})
		rewrite := func(topic *string) Decision {
			if *topic != "same" {
				*topic = "secret/x"
			}
			return Decision{}
		}
		o := wireOptions()
		o.Recheck = recheck
		bubble(t, o, func(s *stage) {
			p := s.connect("clean id=p")
			p.send("SUBSCRIBE id=1 f=a f=same")
			p.send("PUBLISH topic=a payload=x q=1 id=1")
			if recheck {
				p.expect("SUBACK id=1 codes=0x87,0", "PUBACK id=1 code=0x87")
				s.wantDrops(map[Cause]int64{CauseACL: 1})
			} else {
				p.expect("SUBACK id=1 codes=0,0", "PUBLISH topic=secret/x payload=x", "PUBACK id=1")
			}
		}, acl,
			publishFunc(func(ev *PublishEvent) Decision { return rewrite(&ev.Message.Topic) }),
			subscribeFunc(func(ev *SubscribeEvent) Decision { return rewrite(&ev.Filter) }))
		want := []string{"a", "secret/x", "same", "a", "secret/x"}
		if !recheck {
			want = []string{"a", "same", "a"}
		}
		if !slices.Equal(asked, want) {
			t.Errorf("recheck %v: asked %v, want %v", recheck, asked, want)
		}
	}
}

// TestMadeMessages: what a rule made of a message is validated as strictly as
// the wire.
func TestMadeMessages(t *testing.T) {
	long := strings.Repeat("x", 65_536)
	for name, change := range map[string]func(*Message){
		"a wildcard":            func(m *Message) { m.Topic = "a/+" },
		"no topic":              func(m *Message) { m.Topic = "" },
		"a long topic":          func(m *Message) { m.Topic = long },
		"levels":                func(m *Message) { m.Topic = strings.Repeat("/", 200) },
		"U+0000 in the topic":   func(m *Message) { m.Topic = "a\x00" },
		"no UTF-8":              func(m *Message) { m.Topic = "\xff" },
		"QoS 3":                 func(m *Message) { m.QoS = 3 },
		"payload format 2":      func(m *Message) { m.HasPayloadFormat, m.PayloadFormat = true, 2 },
		"content type":          func(m *Message) { m.HasContentType, m.ContentType = true, long },
		"response topic":        func(m *Message) { m.HasResponseTopic, m.ResponseTopic = true, "a/#" },
		"empty response topic":  func(m *Message) { m.HasResponseTopic = true },
		"correlation data":      func(m *Message) { m.HasCorrelationData, m.CorrelationData = true, []byte(long) },
		"user property key":     func(m *Message) { m.UserProperties = []packet.UserProperty{{Key: long}} },
		"user property no UTF8": func(m *Message) { m.UserProperties = []packet.UserProperty{{Value: "\xc0"}} },
		"$SYS":                  func(m *Message) { m.Topic = "$SYS/broker/version" },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, wireOptions(), func(s *stage) {
				p := s.subscriber("clean id=p", "#", "$SYS/#")
				p.send("PUBLISH topic=t payload=x q=1 id=1")
				p.expect("PUBACK id=1 code=0x80 reason=*")
				s.wantDrops(map[Cause]int64{CauseScript: 1})
			}, publishFunc(func(ev *PublishEvent) Decision {
				change(ev.Message)
				return Decision{Verdict: Allow}
			}))
		})
	}
}

// TestPublishChanges: what rules change holds from routing on, the
// acknowledgement follows what was sent.
func TestPublishChanges(t *testing.T) {
	bubble(t, wireOptions(), func(s *stage) {
		sub := s.subscriber("clean id=s", "new:q2:rap")
		p := s.connect("v311 clean id=p")
		p.send("PUBLISH topic=old payload=x q=1 id=7")
		p.expect("PUBACK id=7")
		sub.expect("PUBLISH topic=new payload=y q=2 id=1 retain ctype=text up=k:v msgexpiry=60")
		late := s.connect("clean id=late")
		late.send("SUBSCRIBE id=1 f=new")
		late.expect("SUBACK id=1 codes=0", "PUBLISH topic=new payload=y retain ctype=text up=k:v msgexpiry=60")
	}, publishFunc(func(ev *PublishEvent) Decision {
		m := ev.Message
		m.Topic, m.Payload, m.QoS, m.Retain = "new", []byte("y"), 2, true
		m.HasContentType, m.ContentType = true, "text"
		m.HasExpiry, m.Expiry = true, 60
		m.UserProperties = []packet.UserProperty{{Key: "k", Value: "v"}}
		return Decision{}
	}))
}

// TestQoS2MeetsRulesOnce [MQTT-4.3.3-10]: a duplicate does not, a refused one
// sent again does.
func TestQoS2MeetsRulesOnce(t *testing.T) {
	times := 0
	bubble(t, wireOptions(), func(s *stage) {
		p := s.connect("id=p expiry=100")
		p.send("PUBLISH topic=t payload=x q=2 id=1")
		p.send("PUBLISH topic=t payload=x q=2 id=1 dup")
		p.expect("PUBREC id=1 code=0x10", "PUBREC id=1")
		p.drop()
		p = s.connect("id=p expiry=100")
		p.send("PUBLISH topic=t payload=x q=2 id=1 dup")
		p.expect("PUBREC id=1")
		if times != 1 {
			t.Errorf("the rules met it %d times", times)
		}
		p.send("PUBLISH topic=denied payload=x q=2 id=2")
		p.send("PUBLISH topic=denied payload=x q=2 id=2")
		p.expect("PUBREC id=2 code=0x87", "PUBREC id=2 code=0x87")
		if times != 3 {
			t.Errorf("the rules met three messages %d times", times)
		}
	}, publishFunc(func(ev *PublishEvent) Decision {
		times++
		if ev.Message.Topic == "denied" {
			return Decision{Verdict: Deny}
		}
		return Decision{}
	}))
}

// TestQoS2Takeover: a message that is with a rule while its session is taken
// over is not heard twice when the client sends it again.
func TestQoS2Takeover(t *testing.T) {
	inRule, goOn := make(chan struct{}), make(chan struct{})
	times := 0
	hook := publishFunc(func(ev *PublishEvent) Decision {
		times++
		inRule <- struct{}{}
		<-goOn
		return Decision{}
	})
	synctest.Test(t, func(t *testing.T) {
		inRule, goOn = make(chan struct{}), make(chan struct{})
		s := newStage(t, wireOptions(), hook)
		sub := s.subscriber("clean id=s", "t")
		p := s.connect("id=p expiry=100")
		p.send("PUBLISH topic=t payload=x q=2 id=1")
		<-inRule
		again := s.connect("id=p expiry=100")
		again.send("PUBLISH topic=t payload=x q=2 id=1 dup")
		again.expect("PUBREC id=1")
		close(goOn)
		sub.expect("PUBLISH topic=t payload=x")
		if times != 1 {
			t.Errorf("the rule met it %d times", times)
		}
		s.end()
	})
}
