package topic

import (
	"slices"
	"strings"
	"unsafe"
)

// node is a node of Filters. Everything in it is guarded by the tree's lock.
// A path from the root spells a filter: the labels, joined by '/'.
type node[K comparable, V any] struct {
	label string            // one or more levels, in the node's own memory if short
	kids  *children[K, V]   // nil for none
	head  uint32            // length of the label's first level
	count uint32            // how many values there are
	one   value[K, V]       // the first
	more  *moreValues[K, V] // the others; nil while count ≤ 1
}

// children are the nodes below a node by the first levels of their labels,
// which differ. Few lie here, in no particular order and with nil after the
// last; a table is for more. A slice for few is simpler, but it is one more place
// in memory to wait for: 1.21 µs in place of 0.85 (BenchmarkFiltersMatchCold/four_mixed).
type children[K comparable, V any] struct {
	few  [fewKids]*node[K, V]
	many *kidTable[K, V] // instead of few
	plus *node[K, V]     // its label begins with "+"
	hash *node[K, V]     // its label is "#"
}

const fewKids = 7

// newNode makes a node with a copy of label. A short one lies in one piece of
// memory with the node. A string of its own is simpler, but it is one more place
// to wait for: 0.81 µs in place of 0.57 (BenchmarkFiltersMatchCold/literal).
func newNode[K comparable, V any](label string) *node[K, V] {
	var n *node[K, V]
	switch l := len(label); { // 64, 80 or 96 bytes where K and V are pointers
	case l <= 8:
		n = nodeWithText[K, V, [8]byte](label)
	case l <= 24:
		n = nodeWithText[K, V, [24]byte](label)
	case l <= 40:
		n = nodeWithText[K, V, [40]byte](label)
	default:
		n = &node[K, V]{label: strings.Clone(label)}
	}
	n.head = uint32(len(firstLevel(label)))
	return n
}

// nodeWithText makes a node with a copy of label beside it in a T, an array of
// bytes that is long enough. The collector keeps both while one is in use.
func nodeWithText[K comparable, V, T any](label string) *node[K, V] {
	both := new(struct {
		text T
		node node[K, V]
	})
	text := unsafe.Slice((*byte)(unsafe.Pointer(&both.text)), len(label))
	copy(text, label)
	both.node.label = unsafe.String(unsafe.SliceData(text), len(text))
	return &both.node
}

// relabeled is n with another label, to be used in its place.
func (n *node[K, V]) relabeled(label string) *node[K, V] {
	c := newNode[K, V](label)
	c.kids, c.count, c.one, c.more = n.kids, n.count, n.one, n.more
	return c
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
	d := k.fewLen()
	if k.many != nil {
		d = k.many.len
	}
	if k.plus != nil {
		d++
	}
	if k.hash != nil {
		d++
	}
	return d
}

// fewLen is the number of children in few.
func (k *children[K, V]) fewLen() int {
	if i := slices.Index(k.few[:], nil); i >= 0 {
		return i
	}
	return fewKids
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
		return k.many.get(hashOf(level), level)
	}
	for _, c := range k.few[:] {
		if c == nil || c.first() == level {
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
		k.many.set(hashOf(level), c)
	default:
		k.setFew(c)
	}
}

// setFew is setChild for a literal level while there are few.
func (k *children[K, V]) setFew(c *node[K, V]) {
	for i, old := range k.few[:] {
		if old == nil || old.first() == c.first() {
			k.few[i] = c
			return
		}
	}
	k.many = newKidTable[K, V]()
	for _, c := range append(k.few[:], c) {
		k.many.set(hashOf(c.first()), c)
	}
	k.few = [fewKids]*node[K, V]{}
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
		k.many.remove(hashOf(c.first()), c)
		if k.many.len == fewKids/2 {
			copy(k.few[:], slices.Collect(k.many.all))
			k.many = nil
		}
	default:
		i, last := slices.Index(k.few[:], c), k.fewLen()-1
		k.few[i], k.few[last] = k.few[last], nil
	}
	if n.degree() == 0 {
		n.kids = nil
	}
}

// split cuts the child c of n in two after the first at bytes of its label,
// and returns the upper part.
func (n *node[K, V]) split(c *node[K, V], at int) *node[K, V] {
	upper := newNode[K, V](c.label[:at])
	n.setChild(upper)
	upper.setChild(c.relabeled(c.label[at+1:]))
	return upper
}

// join undoes split: the child c of n, which has no values, becomes one with
// its only child.
func (n *node[K, V]) join(c *node[K, V]) {
	only := c.kids.any()
	n.setChild(only.relabeled(c.label + "/" + only.label))
}

// any is one of the children.
func (k *children[K, V]) any() *node[K, V] {
	switch {
	case k.plus != nil:
		return k.plus
	case k.hash != nil:
		return k.hash
	}
	for c := range k.literals {
		return c
	}
	return nil
}

// literals goes through the children for levels that are no wildcards.
func (k *children[K, V]) literals(yield func(*node[K, V]) bool) {
	if k.many != nil {
		k.many.all(yield)
		return
	}
	for _, c := range k.few[:k.fewLen()] {
		if !yield(c) {
			return
		}
	}
}
