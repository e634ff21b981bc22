package topic

import (
	"slices"
	"strings"
)

// node is a node of Filters. Everything in it is guarded by the tree's lock.
// A path from the root spells a filter: the labels, joined by '/'.
type node[K comparable, V any] struct {
	label string            // one or more levels, in memory of its own
	kids  *children[K, V]   // nil for none
	head  uint32            // length of the label's first level
	count uint32            // how many values there are
	one   value[K, V]       // the first
	more  *moreValues[K, V] // the others; nil while count ≤ 1
}

// children are the nodes below a node by the first levels of their labels,
// which differ. Up to fewKids are a slice, 8 bytes each; a map is for more.
type children[K comparable, V any] struct {
	few  []*node[K, V]
	many map[string]*node[K, V] // instead of few
	peak int                    // the most that many held since it was made
	plus *node[K, V]            // its label begins with "+"
	hash *node[K, V]            // its label is "#"
}

const (
	fewKids = 8

	// A Go map never shrinks. One that held shrinkRatio times as much is
	// made anew when it comes down to shrinkLen: the copying is bounded, and
	// what a larger one may waste is too.
	shrinkLen   = 1024
	shrinkRatio = 8
)

// newNode makes a node with a copy of label.
func newNode[K comparable, V any](label string) *node[K, V] {
	n := &node[K, V]{}
	n.setLabel(strings.Clone(label))
	return n
}

func (n *node[K, V]) setLabel(label string) {
	n.label = label
	n.head = uint32(len(firstLevel(label)))
}

func (n *node[K, V]) first() string {
	return n.label[:n.head]
}

// degree is the number of children.
func (n *node[K, V]) degree() int {
	k := n.kids
	if k == nil {
		return 0
	}
	d := len(k.few) + len(k.many)
	if k.plus != nil {
		d++
	}
	if k.hash != nil {
		d++
	}
	return d
}

// child is the child whose label begins with level, or nil.
func (n *node[K, V]) child(level string) *node[K, V] {
	switch k := n.kids; {
	case k == nil:
		return nil
	case level == "+":
		return k.plus
	case level == "#":
		return k.hash
	default:
		return k.literal(level)
	}
}

// literal is the child for a level that is no wildcard, or nil.
func (k *children[K, V]) literal(level string) *node[K, V] {
	if k.many != nil {
		return k.many[level]
	}
	for _, c := range k.few {
		if c.first() == level {
			return c
		}
	}
	return nil
}

// setChild puts c below n, in the place of the child with the same first level
// if there is one.
func (n *node[K, V]) setChild(c *node[K, V]) {
	if n.kids == nil {
		n.kids = &children[K, V]{}
	}
	k := n.kids
	switch level := c.first(); {
	case level == "+":
		k.plus = c
	case level == "#":
		k.hash = c
	case k.many != nil:
		k.many[level] = c // also replaces the key, and so lets the old label go
		k.peak = max(k.peak, len(k.many))
	default:
		k.setFew(c)
	}
}

// setFew is setChild for a literal level while there are few.
func (k *children[K, V]) setFew(c *node[K, V]) {
	for i, old := range k.few {
		if old.first() == c.first() {
			k.few[i] = c
			return
		}
	}
	if len(k.few) < fewKids {
		k.few = append(k.few, c)
		return
	}
	k.many = make(map[string]*node[K, V], 2*fewKids)
	for _, old := range k.few {
		k.many[old.first()] = old
	}
	k.many[c.first()] = c
	k.few, k.peak = nil, len(k.many)
}

// removeChild takes c from below n.
func (n *node[K, V]) removeChild(c *node[K, V]) {
	k := n.kids
	switch {
	case k.plus == c:
		k.plus = nil
	case k.hash == c:
		k.hash = nil
	case k.many != nil:
		delete(k.many, c.first())
		k.shrink()
	default:
		i := slices.Index(k.few, c)
		k.few = slices.Delete(k.few, i, i+1)
	}
	if n.degree() == 0 {
		n.kids = nil
	}
}

// shrink makes the map smaller, or a slice again, when it has become empty
// enough.
func (k *children[K, V]) shrink() {
	switch len(k.many) {
	case fewKids / 2:
		k.few = make([]*node[K, V], 0, fewKids)
		for _, c := range k.many {
			k.few = append(k.few, c)
		}
		k.many = nil
	case shrinkLen:
		if k.peak >= shrinkRatio*shrinkLen {
			k.many, k.peak = remade(k.many), shrinkLen
		}
	}
}

// remade is a copy of m without the room that m had once.
func remade[K comparable, V any](m map[K]V) map[K]V {
	small := make(map[K]V, len(m))
	for k, v := range m {
		small[k] = v
	}
	return small
}

// split cuts the child c of n in two after the first at bytes of its label,
// and returns the upper part. The labels are copied: neither keeps the other's
// text alive.
func (n *node[K, V]) split(c *node[K, V], at int) *node[K, V] {
	upper := newNode[K, V](c.label[:at])
	n.setChild(upper)
	c.setLabel(strings.Clone(c.label[at+1:]))
	upper.setChild(c)
	return upper
}

// join undoes split: the child c of n, which has no values, becomes one with
// its only child.
func (n *node[K, V]) join(c *node[K, V]) {
	only := c.kids.any()
	only.setLabel(c.label + "/" + only.label)
	n.setChild(only)
}

// any is one of the children.
func (k *children[K, V]) any() *node[K, V] {
	switch {
	case k.plus != nil:
		return k.plus
	case k.hash != nil:
		return k.hash
	case len(k.few) > 0:
		return k.few[0]
	}
	for _, c := range k.many {
		return c
	}
	return nil
}
