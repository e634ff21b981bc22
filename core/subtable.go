package core

import (
	"iter"
	"maps"
	"slices"
)

// subTable is the subscriptions of one session by filter as the client wrote
// it. Most sessions have few: a map for one took as much memory as all else of
// an idle session. The zero value is empty.
type subTable struct {
	few  []*subscription
	many map[string]*subscription // in place of few
}

// fewSubs is how many subscriptions are looked for one by one.
const fewSubs = 8

func (t *subTable) len() int { return len(t.few) + len(t.many) }

func (t *subTable) index(requested string) int {
	return slices.IndexFunc(t.few, func(s *subscription) bool { return s.requested == requested })
}

// get returns the subscription that was requested so, nil if there is none.
func (t *subTable) get(requested string) *subscription {
	if t.many != nil {
		return t.many[requested]
	}
	if i := t.index(requested); i >= 0 {
		return t.few[i]
	}
	return nil
}

// set puts sub in place of what was requested in the same words.
func (t *subTable) set(sub *subscription) {
	i := t.index(sub.requested)
	switch {
	case t.many != nil:
		t.many[sub.requested] = sub
	case i >= 0:
		t.few[i] = sub
	case len(t.few) < fewSubs:
		t.few = append(t.few, sub)
	default:
		t.many = make(map[string]*subscription, 2*fewSubs)
		for _, s := range append(t.few, sub) {
			t.many[s.requested] = s
		}
		t.few = nil
	}
}

func (t *subTable) remove(requested string) {
	delete(t.many, requested)
	if i := t.index(requested); i >= 0 {
		t.few = slices.Delete(t.few, i, i+1)
	}
}

// all are the subscriptions, in no order.
func (t *subTable) all() iter.Seq[*subscription] {
	if t.many != nil {
		return maps.Values(t.many)
	}
	return slices.Values(t.few)
}
