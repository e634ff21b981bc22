package core

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lunamq/core/packet"
)

// TestStoreIsNotHeldUp: a rule that waits, told of what the store has refused,
// holds up its own connection and neither the store nor anybody else.
func TestStoreIsNotHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		s, store := newRefStage(t, nil, droppedFunc(func(ev *DroppedEvent) {
			if ev.Cause == CauseStore {
				<-gate
			}
		}))
		defer s.end()
		s.receiverOf("id=r expiry=1000", "t:q1").drop()
		a, b := s.connect("clean id=a"), s.connect("clean id=b")
		refused := 0
		store.set(func(r *refStore) {
			r.refuse = func(batch *Batch) error {
				if batch.Ops[0].Kind == PutMessage && string(batch.Ops[0].Queued.Message.Payload) == "bad" {
					refused++
					return errDisk
				}
				return nil
			}
		})
		a.send("PUBLISH topic=t q=1 id=1 payload=bad")
		a.send("PUBLISH topic=t q=1 id=2 payload=good")
		b.send("PUBLISH topic=t q=1 id=1 payload=good")
		b.expect("PUBACK id=1")
		b.send("SUBSCRIBE id=2 f=x")
		b.expect("SUBACK id=2 codes=0")
		close(gate)
		a.expect("PUBACK id=1 code=0x97", "PUBACK id=2")
		if refused != 1 {
			t.Errorf("%d batches were refused", refused)
		}
		if memory, stored := s.inMemory("r"); memory+stored != 2 {
			t.Errorf("%d messages wait", memory+stored)
		}
	})
}

// TestIdentifierRefused: a QoS 2 message whose identifier the store does not keep is
// not sent under it: its receiver is disconnected and gets it when it is back.
func TestIdentifierRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := newRefStage(t, nil)
		defer s.end()
		s.receiverOf("id=r expiry=1000", "t:q2").drop()
		p := s.connect("clean id=p")
		p.send("PUBLISH topic=t q=2 id=1 payload=x")
		p.expect("PUBREC id=1")
		refuse := true
		store.set(func(r *refStore) {
			r.refuse = func(b *Batch) error {
				if refuse && b.Ops[0].Kind == PutInflight {
					return errDisk
				}
				return nil
			}
		})
		r := s.connectQuietly("id=r expiry=1000")
		got := r.packets() // CONNACK, which refuses if it was still to leave, or a DISCONNECT behind it
		if len(got) == 0 || len(got) > 2 || !r.isClosed() || slices.ContainsFunc(got, func(p []byte) bool { return packet.Type(p[0]>>4) == packet.PUBLISH }) {
			t.Errorf("got % x", got)
		}
		store.set(func(*refStore) { refuse = false })
		r = s.connectQuietly("id=r expiry=1000")
		r.expect("CONNACK present", "PUBLISH topic=t q=2 id=1 payload=x")
		r.send("PUBREC id=1")
		r.expect("PUBREL id=1")
		r.send("PUBCOMP id=1")
		s.wantEmpty(store)
	})
}

// waitingRule holds up messages until it is let go on.
type waitingRule struct{ goOn chan struct{} }

func (w *waitingRule) OnPublish(*PublishEvent) Decision {
	<-w.goOn
	return Decision{}
}

// TestAcknowledgedAgain: the answer to a message that comes again, on another
// connection, waits for the store as the first one's did.
func TestAcknowledgedAgain(t *testing.T) {
	for _, refused := range []bool{false, true} {
		t.Run(fmt.Sprint("refused ", refused), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rule := &waitingRule{goOn: make(chan struct{})}
				s, store := newRefStage(t, nil, rule)
				defer s.end()
				s.receiverOf("id=r expiry=1000", "t:q2").drop()
				first := s.connect("id=p expiry=1000")
				first.send("PUBLISH topic=t q=2 id=1 payload=x")
				second := s.resume("id=p expiry=1000")
				second.send("PUBLISH topic=t q=2 id=1 payload=x dup")
				second.expect()
				store.set(slowly)
				close(rule.goOn)
				second.expect()
				want := "PUBREC id=1"
				if refused {
					store.set(func(r *refStore) {
						r.refuse = func(b *Batch) error {
							if len(b.Ops) > 0 && b.Ops[0].Kind == PutReceived {
								return errDisk
							}
							return nil
						}
					})
					want = "PUBREC id=1 code=0x97"
				}
				time.Sleep(3 * time.Second)
				second.expect(want)
			})
		})
	}
}

// TestLateOfAnOldConnection: what the connection of a session that has ended
// brings to the store changes nothing of the next session of that name.
func TestLateOfAnOldConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rule := &waitingRule{goOn: make(chan struct{})}
		s, _ := newRefStage(t, nil, rule)
		first := s.connect("id=p expiry=1000")
		first.send("PUBLISH topic=t q=2 id=1 payload=x")
		second := s.connect("clean id=p expiry=1000")
		close(rule.goOn)
		second.expect()
		after, _ := s.restart(s.b.o, first, second)
		defer after.end()
		r := after.subscriber("clean id=r", "t:q0")
		p := after.resume("id=p expiry=1000")
		p.send("PUBLISH topic=t q=2 id=1 payload=y")
		p.expect("PUBREC id=1")
		r.expect("PUBLISH topic=t payload=y")
	})
}

// TestVarsAreStored: what rules set outlives the process within a second, at
// the cost of one operation.
func TestVarsAreStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := newRefStage(t, nil, publishFunc(func(ev *PublishEvent) Decision {
			n, _ := ev.Client.Vars.Get("n").(float64)
			_ = ev.Client.Vars.Set("n", n+1)
			return Decision{}
		}))
		p := s.connect("id=p expiry=1000")
		clean := s.connect("clean id=c")
		synctest.Wait()
		puts := 0
		store.set(func(r *refStore) {
			r.refuse = func(b *Batch) error {
				for _, op := range b.Ops {
					if op.Kind == PutSession {
						puts++
					}
				}
				return nil
			}
		})
		for range 50 {
			p.send("PUBLISH topic=t")
			clean.send("PUBLISH topic=t")
		}
		time.Sleep(varsDelay + time.Millisecond)
		synctest.Wait()
		if puts != 1 {
			t.Errorf("stored %d times", puts)
		}
		p.send("PUBLISH topic=t")
		time.Sleep(varsDelay + time.Millisecond)
		s, _ = s.restart(s.b.o, p, clean)
		defer s.end()
		if n := s.b.sessions.find("", "p").vars.Get("n"); n != 51.0 {
			t.Errorf("n is %v after the restart", n)
		}
	})
}

// TestExpireAll: many sessions that end at one moment are seen to by few
// goroutines, while rules that wait hold up a place each; nobody is forgotten.
func TestExpireAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 500
		most, now := 0, 0
		var d diary
		s, _ := newRefStage(t, nil, willFunc(func(*WillEvent) Decision {
			d.mu.Lock()
			now++
			most = max(most, now)
			d.mu.Unlock()
			time.Sleep(time.Second)
			d.mu.Lock()
			now--
			d.mu.Unlock()
			return Decision{}
		}))
		defer s.end()
		var peers []*peer
		for i := range n {
			peers = append(peers, s.connect(fmt.Sprintf("id=s%d expiry=10 will=w:bye:delay10", i)))
		}
		s.connect("id=stays expiry=1000").drop()
		for _, p := range peers {
			p.net.Close()
		}
		time.Sleep(10*time.Second + time.Duration(n/clockWorkers+2)*time.Second)
		synctest.Wait()
		if most > clockWorkers || most < 2 {
			t.Errorf("%d sessions were seen to at once", most)
		}
		if left := s.b.sessions.count.Load(); left != 1 {
			t.Errorf("%d sessions are left", left)
		}
		if sent, expired := s.b.metrics.WillsSent.Load(), s.b.metrics.SessionsExpired.Load(); sent != n || expired != n {
			t.Errorf("%d wills, %d expired", sent, expired)
		}
	})
}

// TestRestoreIsShown: the log is told how far a start is, each second, and what
// was there.
func TestRestoreIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		o := wireOptions()
		o.Store, o.Log = slowLoad{newListStore(2*showEvery, 5)}, slog.New(slog.NewTextHandler(&log, nil))
		b, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if n := strings.Count(log.String(), "msg=restoring "); n < 3 || n > 7 {
			t.Errorf("told %d times", n)
		}
		if !strings.Contains(log.String(), fmt.Sprintf("msg=restored sessions=%d messages=%d ", 2*showEvery, 10*showEvery)) {
			t.Errorf("the log says %s", log.String())
		}
	})
}

// slowLoad hands out four thousand operations a second.
type slowLoad struct{ *listStore }

func (l slowLoad) Load(fn func(Op) error) error {
	n := 0
	return l.listStore.Load(func(op Op) error {
		if n++; n%1000 == 0 {
			time.Sleep(time.Second / 4)
		}
		return fn(op)
	})
}
