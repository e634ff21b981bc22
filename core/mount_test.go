package core

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestMountEnds: a wildcard of a client with a mount matches what is below that, as
// MQTT has it there: not the mount's own name, nor the empty one, nor what begins
// with $; live, retained, queued, shared, and where deliver hooks are asked.
func TestMountEnds(t *testing.T) {
	mount := connectFunc(func(ev *ConnectEvent) Decision {
		if ev.Username == "m" {
			ev.Mount = "one/"
		}
		return Decision{}
	})
	for name, hooks := range map[string][]any{"alone": {mount}, "deliver hooks": {mount, deliverFunc(func(*DeliverEvent) Decision { return Decision{} })}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, wireOptions(), hooks...)
				defer s.end()
				p := s.connect("clean id=p")
				publishAll := func(flags string) {
					for _, topic := range []string{"one", "one/", "one/$x", "one/a"} {
						p.send("PUBLISH topic=" + topic + " payload=x " + flags)
					}
					p.packets()
				}
				m := s.connect("id=m user=m expiry=100")
				for _, filter := range []string{"#", "+", "+/#"} {
					m.send("SUBSCRIBE id=1 f=" + filter + ":q1")
					m.packets()
					publishAll("q=0")
					m.expect("PUBLISH topic=a payload=x")
					publishAll("q=1 id=7")
					m.send("UNSUBSCRIBE id=2 f=" + filter)
					m.expect("PUBLISH topic=a payload=x q=1 id=1", "UNSUBACK id=2 codes=0")
					m.send("PUBACK id=1")
				}
				other := s.connect("clean id=other")
				other.send("SUBSCRIBE id=1 f=$share/g/one/#:q1")
				other.packets()
				m.send("SUBSCRIBE id=1 f=$share/g/#:q1")
				m.packets()
				for range 4 {
					p.send("PUBLISH topic=one payload=x")
				}
				other.expect("PUBLISH topic=one payload=x", "PUBLISH topic=one payload=x", "PUBLISH topic=one payload=x", "PUBLISH topic=one payload=x")
				other.drop()
				m.send("UNSUBSCRIBE id=2 f=$share/g/#")
				m.packets()
				publishAll("retain")
				m.send("SUBSCRIBE id=3 f=#:q1")
				m.expect("SUBACK id=3 codes=1", "PUBLISH topic=a payload=x retain")
				m.drop()
				time.Sleep(time.Second)
				publishAll("q=1 id=8")
				s.resume("id=m user=m expiry=100", "PUBLISH topic=a payload=x q=1 id=1")
			})
		})
	}
}
