package core

import (
	"testing"
	"testing/synctest"
	"time"
)

// slowly makes every write of the store take a second.
func slowly(r *refStore) { r.delay = time.Second }

func atOnce(r *refStore) { r.delay = 0 }

func refusing(r *refStore) { r.refuse = func(*Batch) error { return errDisk } }

// TestConnackWaits: what CONNACK says of a session is on disk before it leaves,
// and nothing leaves before CONNACK.
func TestConnackWaits(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*stage, *refStore)
	}{
		{"a new session", func(s *stage, store *refStore) {
			p := s.dial()
			p.send("CONNECT id=a expiry=1000")
			p.send("PINGREQ")
			time.Sleep(time.Second - time.Nanosecond)
			p.expect()
			time.Sleep(time.Nanosecond)
			p.expect("CONNACK", "PINGRESP")
			store.set(atOnce)
			after, _ := s.restart(s.b.o, p)
			defer after.end()
			after.resume("id=a expiry=1000")
		}},
		{"one that goes on", func(s *stage, store *refStore) {
			store.set(atOnce)
			s.connect("id=b expiry=1000").drop()
			store.set(slowly)
			p := s.dial()
			p.send("CONNECT id=b expiry=2000")
			p.expect()
			time.Sleep(2 * time.Second)
			p.expect("CONNACK present")
		}},
		{"one that is not kept, in place of one that was", func(s *stage, store *refStore) {
			store.set(atOnce)
			s.connect("id=a expiry=1000").drop()
			store.set(slowly)
			p := s.dial()
			p.send("CONNECT clean id=a")
			p.expect()
			time.Sleep(2 * time.Second)
			p.expect("CONNACK")
			store.set(atOnce)
			after, _ := s.restart(s.b.o, p)
			defer after.end()
			p = after.dial()
			p.send("CONNECT id=a")
			p.expect("CONNACK")
		}},
		{"one that is not kept waits for nothing", func(s *stage, store *refStore) {
			p := s.dial()
			p.send("CONNECT clean id=a")
			p.expect("CONNACK")
		}},
		{"refused", func(s *stage, store *refStore) {
			store.set(refusing)
			p, old := s.dial(), s.dial()
			p.send("CONNECT id=a expiry=1000")
			p.send("PINGREQ")
			old.send("CONNECT v311 id=b")
			time.Sleep(2 * time.Second)
			p.expect("CONNACK code=0x83 reason=*")
			old.expect("CONNACK code=3")
			time.Sleep(10 * time.Second)
			if !p.isClosed() || !old.isClosed() {
				s.t.Error("they are not closed")
			}
		}},
		{"refused after it has gone", func(s *stage, store *refStore) {
			store.set(refusing)
			p := s.dial()
			p.send("CONNECT id=a expiry=1000")
			p.send("DISCONNECT")
			time.Sleep(10 * time.Second)
			p.expect()
			if !p.isClosed() {
				s.t.Error("it is not closed")
			}
		}},
		{"taken over meanwhile", func(s *stage, store *refStore) {
			first, second := s.dial(), s.dial()
			first.send("CONNECT id=a expiry=1000")
			first.expect()
			second.send("CONNECT id=a expiry=1000")
			first.expect("CONNACK code=0x80 reason=*")
			time.Sleep(3 * time.Second)
			second.expect("CONNACK present")
		}},
		{"a client that leaves at once", func(s *stage, store *refStore) {
			p := s.dial()
			p.send("CONNECT id=a expiry=1000")
			p.send("DISCONNECT")
			p.expect()
			time.Sleep(time.Second)
			p.expect("CONNACK")
			time.Sleep(10 * time.Second)
			if !p.isClosed() {
				s.t.Error("it is not closed")
			}
		}},
		{"a client that is cut off", func(s *stage, store *refStore) {
			p := s.dial()
			p.send("CONNECT id=a expiry=1000")
			p.drop()
			store.set(atOnce)
			time.Sleep(2 * time.Second)
			s.resume("id=a expiry=1000")
		}},
		{"what waits comes behind it", func(s *stage, store *refStore) {
			store.set(atOnce)
			s.receiverOf("id=a expiry=1000", "t:q1").drop()
			s.connect("clean id=p").send("PUBLISH topic=t payload=x q=1 id=1")
			synctest.Wait()
			store.set(slowly)
			p := s.dial()
			p.send("CONNECT id=a expiry=1000")
			time.Sleep(10 * time.Second)
			p.expect("CONNACK present", "PUBLISH topic=t payload=x q=1 id=1")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, store := newRefStage(t, nil)
				store.set(slowly)
				defer s.end()
				c.do(s, store)
			})
		})
	}
}
