package core

import (
	"iter"
	"maps"
)

// subTable is the subscriptions of one session by filter as the client wrote
// it. Most sessions have few, in a list: a map for one took as much memory as all
// else of an idle session. The zero value is empty.
type subTable struct {
	first *subscription            // the others by next
	n     int                      // how many are in the list
	many  map[string]*subscription // in place of the list
}

// fewSubs is how many subscriptions are looked for one by one.
const fewSubs = 8

func (t *subTable) len() int { return t.n + len(t.many) }

// place is where the list refers to the subscription that was requested so, or
// where it ends.
func (t *subTable) place(requested string) **subscription {
	at := &t.first
	for *at != nil && (*at).requested != requested {
		at = &(*at).next
	}
	return at
}

// get returns the subscription that was requested so, nil if there is none.
func (t *subTable) get(requested string) *subscription {
	if t.many != nil {
		return t.many[requested]
	}
	return *t.place(requested)
}

// set puts sub, which is new, in place of what was requested in the same words.
func (t *subTable) set(sub *subscription) {
	if t.many != nil {
		t.many[sub.requested] = sub
		return
	}
	at := t.place(sub.requested)
	switch {
	case *at != nil:
		sub.next, (*at).next = (*at).next, nil // one that has left may be held by messages
		*at = sub
	case t.n < fewSubs:
		*at = sub
		t.n++
	default:
		t.many = make(map[string]*subscription, 2*fewSubs)
		for s := range t.list {
			t.many[s.requested], s.next = s, nil
		}
		t.many[sub.requested] = sub
		t.first, t.n = nil, 0
	}
}

func (t *subTable) remove(requested string) {
	if t.many != nil {
		delete(t.many, requested)
		return
	}
	if at := t.place(requested); *at != nil {
		*at, (*at).next = (*at).next, nil
		t.n--
	}
}

// all are the subscriptions, in no order.
func (t *subTable) all() iter.Seq[*subscription] {
	if t.many != nil {
		return maps.Values(t.many)
	}
	return t.list
}

func (t *subTable) list(yield func(*subscription) bool) {
	for s := t.first; s != nil; {
		next := s.next
		if !yield(s) {
			return
		}
		s = next
	}
}
