package core

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestIDSet holds the set against a map.
func TestIDSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s idSet
		want := make(map[uint16]bool)
		id := rapid.Uint16Range(1, rapid.SampledFrom([]uint16{20, 40, 65535}).Draw(t, "range"))
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				x := id.Draw(t, "id")
				s.add(x)
				want[x] = true
			},
			"remove": func(t *rapid.T) {
				x := id.Draw(t, "id")
				if got := s.remove(x); got != want[x] {
					t.Fatalf("remove(%d) = %v", x, got)
				}
				delete(want, x)
			},
			"": func(t *rapid.T) {
				if s.n != len(want) {
					t.Fatalf("n = %d, want %d", s.n, len(want))
				}
				for x := range want {
					if !s.has(x) {
						t.Fatalf("%d is missing", x)
					}
				}
				if x := id.Draw(t, "asked"); s.has(x) != want[x] {
					t.Fatalf("has(%d) = %v", x, s.has(x))
				}
			},
		})
	})
}

// TestIDSetAll: all 65 535 identifiers fit, and cost one bitmap.
func TestIDSetAll(t *testing.T) {
	var s idSet
	for id := uint16(1); id != 0; id++ {
		s.add(id)
	}
	if s.n != 65_535 || s.few != nil {
		t.Fatalf("n = %d, few = %d", s.n, len(s.few))
	}
	for id := uint16(1); id != 0; id++ {
		if !s.remove(id) {
			t.Fatalf("%d was not there", id)
		}
	}
	if s.n != 0 || s.bits != nil {
		t.Error("an empty set holds its bitmap")
	}
}

// TestQueue holds the ring against a slice, its bytes against their sum.
func TestQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q queue
		var want []uint64
		seq := uint64(0)
		item := func(t *rapid.T) queued {
			seq++
			return queued{seq: seq, msg: &Message{Payload: make([]byte, rapid.IntRange(0, 50).Draw(t, "size"))}}
		}
		bytes := make(map[uint64]int)
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				x := item(t)
				bytes[x.seq] = x.msg.Weight()
				q.push(x)
				want = append(want, x.seq)
			},
			"pushFront": func(t *rapid.T) {
				x := item(t)
				bytes[x.seq] = x.msg.Weight()
				q.pushFront(x)
				want = append([]uint64{x.seq}, want...)
			},
			"pop": func(t *rapid.T) {
				x, ok := q.pop()
				if ok != (len(want) > 0) {
					t.Fatalf("pop: %v with %d in it", ok, len(want))
				}
				if ok {
					if x.seq != want[0] {
						t.Fatalf("popped %d, want %d", x.seq, want[0])
					}
					want = want[1:]
				}
			},
			"take": func(t *rapid.T) {
				by := rapid.Uint64Range(1, 4).Draw(t, "by")
				var taken, left []uint64
				for _, s := range want {
					if s%by == 0 {
						taken = append(taken, s)
					} else {
						left = append(left, s)
					}
				}
				var got []uint64
				for _, x := range q.take(func(x *queued) bool { return x.seq%by == 0 }) {
					got = append(got, x.seq)
				}
				if !slices.Equal(got, taken) {
					t.Fatalf("took %v, want %v", got, taken)
				}
				want = left
			},
			"": func(t *rapid.T) {
				sum := 0
				for i, s := range want {
					sum += bytes[s]
					if got := q.at(i).seq; got != s {
						t.Fatalf("place %d holds %d, want %d", i, got, s)
					}
				}
				if q.len() != len(want) || q.bytes != sum {
					t.Fatalf("%d messages of %d bytes, want %d of %d", q.len(), q.bytes, len(want), sum)
				}
			},
		})
	})
}

// TestWindow holds the window against a list of what is in flight in the order
// of sending: no identifier twice, none 0, and what is resent is what was not
// confirmed on this connection, in order.
func TestWindow(t *testing.T) {
	type entry struct {
		id   uint16
		sent bool
	}
	rapid.Check(t, func(t *rapid.T) {
		var w window
		var want []entry
		place := func(id uint16) int {
			return slices.IndexFunc(want, func(e entry) bool { return e.id == id })
		}
		some := func(t *rapid.T) int {
			if len(want) == 0 {
				t.Skip("nothing in flight")
			}
			return rapid.IntRange(0, len(want)-1).Draw(t, "place")
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				if len(want) >= 40 || len(w.resend) > 0 { // nothing new before what is resent
					t.Skip("full")
				}
				id := w.put(queued{qos: byte(rapid.IntRange(1, 2).Draw(t, "qos"))})
				if id == 0 || place(id) >= 0 {
					t.Fatalf("identifier %d is not free", id)
				}
				want = append(want, entry{id, true})
			},
			"settle": func(t *rapid.T) {
				i := some(t)
				w.settle(want[i].id)
				want = slices.Delete(want, i, i+1)
			},
			"confirm": func(t *rapid.T) {
				i := some(t)
				w.confirm(want[i].id)
				want[i].sent = true
			},
			"restart": func(t *rapid.T) {
				w.restart()
				for i := range want {
					want[i].sent = false
				}
			},
			"": func(t *rapid.T) {
				var resend []uint16
				sent := 0
				for _, e := range want {
					f := w.get(e.id)
					if f == nil || f.sent != e.sent {
						t.Fatalf("%d: got %+v, want sent %v", e.id, f, e.sent)
					}
					if e.sent {
						sent++
					} else {
						resend = append(resend, e.id)
					}
				}
				if w.used != len(want) || w.sent != sent || !slices.Equal(w.resend, resend) {
					t.Fatalf("used %d sent %d resend %v, want %d %d %v", w.used, w.sent, w.resend, len(want), sent, resend)
				}
				if list := w.inOrder(); len(list) != len(want) {
					t.Fatalf("inOrder has %d, want %d", len(list), len(want))
				}
			},
		})
	})
}

// TestWindowRestore: identifiers of a store are taken in any order.
func TestWindowRestore(t *testing.T) {
	var w window
	w.restore(7, queued{seq: 1}, flightPubrec)
	w.restore(2, queued{seq: 2}, flightPuback)
	w.restart()
	if !slices.Equal(w.resend, []uint16{7, 2}) {
		t.Errorf("resend %v", w.resend)
	}
	seen := map[uint16]bool{7: true, 2: true}
	for range 10 {
		id := w.put(queued{qos: 1})
		if id == 0 || seen[id] {
			t.Fatalf("identifier %d is not free", id)
		}
		seen[id] = true
	}
}

// TestSubTable holds the table against a map; one that has left refers to no other,
// for messages may hold it for long.
func TestSubTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var table subTable
		want := make(map[string]*subscription)
		name := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"})
		left := func(s *subscription) {
			if s != nil && s.next != nil {
				t.Fatal("a subscription that has left refers to another")
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				s := &subscription{requested: name.Draw(t, "name")}
				table.set(s)
				left(want[s.requested])
				want[s.requested] = s
			},
			"remove": func(t *rapid.T) {
				n := name.Draw(t, "name")
				table.remove(n)
				left(want[n])
				delete(want, n)
			},
			"": func(t *rapid.T) {
				n := 0
				for s := range table.all() {
					n++
					if want[s.requested] != s {
						t.Fatalf("%s is another", s.requested)
					}
				}
				if n != len(want) || table.len() != n {
					t.Fatalf("%d of %d, len %d", n, len(want), table.len())
				}
				for n, s := range want {
					if table.get(n) != s {
						t.Fatalf("get(%s) is another", n)
					}
				}
			},
		})
	})
}

// TestRefusedBatches: a batch that a store has refused is not used again, for it may
// still be read.
func TestRefusedBatches(t *testing.T) {
	b, err := New(wireOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	r := b.newRound()
	defer r.end()
	for _, refused := range []error{errors.New("disk"), nil} {
		r.batch.add(Op{Kind: PutValue, Bucket: "b", Key: "k"})
		k := &unanswered{b: b}
		batch := r.takeBatch(&k.changes)
		op := &batch.Ops[0]
		k.Committed(refused)
		if read := op.Key == "k"; read != (refused != nil) {
			t.Errorf("refused with %v: still to be read: %v", refused, read)
		}
	}
}
