package core

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSubscribeOnBehalf: as if the client had asked, with retained messages and
// the events that are told.
func TestSubscribeOnBehalf(t *testing.T) {
	var told []string
	bubble(t, wireOptions(), func(s *stage) {
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Error(err)
			}
		}
		p := s.connect("clean id=p")
		p.send("PUBLISH topic=r retain payload=kept")
		a := s.connect("id=a expiry=100")
		must(s.b.Subscribe("", "a", "r", 1))
		a.expect("PUBLISH topic=r payload=kept retain")
		must(s.b.Subscribe("", "a", "t/+", 1))
		p.send("PUBLISH topic=t/1 payload=x q=1 id=1")
		a.expect("PUBLISH topic=t/1 payload=x q=1 id=1")
		a.send("PUBACK id=1")
		a.send("UNSUBSCRIBE id=1 f=r") // by the client, as its own
		a.expect("UNSUBACK id=1 codes=0")
		must(s.b.Unsubscribe("", "a", "t/+"))
		must(s.b.Unsubscribe("", "a", "t/+"))
		p.send("PUBLISH topic=t/2 payload=x")
		a.expect()
		a.drop()
		must(s.b.Subscribe("", "a", "away", 1))
		p.send("PUBLISH topic=away payload=x q=1 id=1")
		s.resume("id=a expiry=100", "PUBLISH topic=away payload=x q=1 id=1")
	}, subscribedFunc(func(ev *SubscriptionEvent) { told = append(told, ev.Client.ID+" "+ev.Filter) }),
		unsubscribedFunc(func(ev *SubscriptionEvent) { told = append(told, "- "+ev.Client.ID+" "+ev.Filter) }))
	if want := []string{"a r", "a t/+", "- a r", "- a t/+", "a away"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

type unsubscribedFunc func(*SubscriptionEvent)

func (f unsubscribedFunc) OnUnsubscribed(ev *SubscriptionEvent) { f(ev) }

// TestOnBehalfWithinMount: filters are full, clients are found by their id
// within a mount or by the full form, and see their own names.
func TestOnBehalfWithinMount(t *testing.T) {
	bubble(t, wireOptions(), func(s *stage) {
		a := s.connect("clean id=a")
		if err := s.b.Subscribe("m/", "a", "$share/g/m/t", 0); err != nil {
			t.Error(err)
		}
		if err := s.b.Subscribe("", "m/a", "m/u", 0); err != nil {
			t.Error(err)
		}
		a.send("PUBLISH topic=u payload=1")
		a.expect("PUBLISH topic=u payload=1")
		a.send("UNSUBSCRIBE id=1 f=$share/g/t")
		a.expect("UNSUBACK id=1 codes=0")
		for _, filter := range []string{"t", "#", "m/", "other/t"} {
			if err := s.b.Subscribe("m/", "a", filter, 0); err == nil || !strings.Contains(err.Error(), "not within the client's mount m/") {
				t.Errorf("%s: %v", filter, err)
			}
		}
		if c := s.b.Client("m/", "a"); c == nil || c != s.b.Client("", "m/a") || s.b.Client("", "a") != nil {
			t.Errorf("client %v", c)
		}
	}, connectFunc(func(ev *ConnectEvent) Decision { ev.Mount = "m/"; return Decision{} }))
}

func TestSubscribeOnBehalfRefuses(t *testing.T) {
	o := wireOptions()
	o.Subscriptions = 1
	o.Listener.WildcardSubscriptions = false
	o.Listener.MaxQoS = 1
	bubble(t, o, func(s *stage) {
		a := s.connect("clean id=a")
		for filter, want := range map[string]string{"a/#": "wildcard", "a#": "", "": "", "a\xff": "UTF-8", "$share/g": ""} {
			if err := s.b.Subscribe("", "a", filter, 0); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v", filter, err)
			}
		}
		if err := s.b.Subscribe("", "a", "x", 3); err == nil {
			t.Error("QoS 3 was taken")
		}
		if err := s.b.Subscribe("", "a", "x", 2); err != nil {
			t.Error(err)
		}
		a.send("PUBLISH topic=x payload=1 q=1 id=1")
		a.expect("PUBLISH topic=x payload=1 q=1 id=1", "PUBACK id=1")
		if err := s.b.Subscribe("", "a", "y", 0); err == nil || !strings.Contains(err.Error(), "too many") {
			t.Errorf("one too many: %v", err)
		}
		for _, err := range []error{s.b.Subscribe("", "b", "x", 0), s.b.Unsubscribe("", "b", "x")} {
			if !errors.Is(err, ErrNoClient) {
				t.Errorf("nobody: %v", err)
			}
		}
		if err := s.b.Unsubscribe("", "a", "+x"); err == nil {
			t.Error("a filter that is none was taken")
		}
	})
}

// TestClients: every connected client is on exactly one page.
func TestClients(t *testing.T) {
	bubble(t, wireOptions(), func(s *stage) {
		want := []string{}
		for _, id := range strings.Fields("a b c d e f g h") {
			s.connect("clean id=" + id)
			want = append(want, id)
		}
		s.connect("id=away expiry=10").drop()
		var got []string
		var list []*Client
		for page, more := 0, true; more; page++ {
			list, more = s.b.Clients(list[:0], page)
			for _, c := range list {
				got = append(got, c.ID)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("clients %q, want %q", got, want)
		}
		if list, more := s.b.Clients(nil, 1000); list != nil || more {
			t.Errorf("beyond the last page: %v %v", list, more)
		}
	})
}

func TestRetainedMessages(t *testing.T) {
	bubble(t, wireOptions(), func(s *stage) {
		p := s.connect("clean id=p")
		p.send("PUBLISH topic=a/1 retain payload=1 msgexpiry=10")
		p.send("PUBLISH topic=a/2 retain payload=2")
		p.send("PUBLISH topic=b retain payload=3")
		p.packets()
		time.Sleep(4 * time.Second)
		if m := s.b.Retained("a/1"); m == nil || string(m.Payload) != "1" || m.Expiry != 6 {
			t.Errorf("%+v", m)
		}
		var got []string
		walk := s.b.RetainedAll("a/+")
		for done := false; !done; {
			var list []*Message
			list, done = walk.Next(nil, 1)
			for _, m := range list {
				got = append(got, m.Topic)
			}
		}
		if !slices.Equal(got, []string{"a/1", "a/2"}) {
			t.Errorf("walked %q", got)
		}
		time.Sleep(6 * time.Second)
		if m := s.b.Retained("a/1"); m != nil {
			t.Errorf("expired: %+v", m)
		}
		if m := s.b.Retained("none"); m != nil {
			t.Errorf("%+v", m)
		}
		if list, done := s.b.RetainedAll("a/#/b").Next(nil, 1); list != nil || !done {
			t.Errorf("no filter: %v %v", list, done)
		}
	})
}
