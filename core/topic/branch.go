package topic

import (
	"slices"
	"sort"
)

// branch is a node of the B+ tree of Names. Everything in it is guarded by the
// tree's lock. A leaf has keys and their values; an inner one has one kid more
// than keys, and keys[i] is more than all keys in kids[i] and no more than any
// in kids[i+1].
type branch[V any] struct {
	keys []string
	vals []V          // of a leaf
	kids []*branch[V] // of an inner one
	next *branch[V]   // the leaf after this one
}

const (
	maxKeys = 63 // one more, and a branch is split; a slice that grows has room for 64
	minKeys = 16 // fewer, and it is joined with the one beside it
)

func (b *branch[V]) isFull() bool { return len(b.keys) > maxKeys }

// firstKey and lastKey are of the leaf at that end of b.
func (b *branch[V]) firstKey() string {
	for len(b.kids) > 0 {
		b = b.kids[0]
	}
	return b.keys[0]
}

func (b *branch[V]) lastKey() string {
	for len(b.kids) > 0 {
		b = b.kids[len(b.kids)-1]
	}
	return b.keys[len(b.keys)-1]
}

// search is where key is in a leaf or would be put.
func (b *branch[V]) search(key []byte) (int, bool) {
	i := sort.Search(len(b.keys), func(i int) bool { return b.keys[i] >= string(key) })
	return i, i < len(b.keys) && b.keys[i] == string(key)
}

// kid is the index of the kid where key is or would be put.
func (b *branch[V]) kid(key []byte) int {
	return sort.Search(len(b.keys), func(i int) bool { return b.keys[i] > string(key) })
}

// leaf is the leaf where key is or would be put.
func (b *branch[V]) leaf(key []byte) *branch[V] {
	for len(b.kids) > 0 {
		b = b.kids[b.kid(key)]
	}
	return b
}

// put sets the value of key below b. It may leave b full. It calls itself once
// for each storey of the tree: six for a thousand million names.
func (b *branch[V]) put(key []byte, v V) (old V, replaced bool) {
	if len(b.kids) == 0 {
		i, ok := b.search(key)
		if ok {
			old, b.vals[i] = b.vals[i], v
			return old, true
		}
		b.keys = slices.Insert(b.keys, i, string(key))
		b.vals = slices.Insert(b.vals, i, v)
		return old, false
	}
	i := b.kid(key)
	old, replaced = b.kids[i].put(key, v)
	if b.kids[i].isFull() {
		b.splitKid(i)
	}
	return old, replaced
}

// splitKid splits the i-th kid in two.
func (b *branch[V]) splitKid(i int) {
	low := b.kids[i]
	high, sep := low.split()
	b.keys = slices.Insert(b.keys, i, sep)
	b.kids = slices.Insert(b.kids, i+1, high)
}

// split moves the upper part of a full b to a new branch, and returns it with
// the key that separates the two. The last leaf keeps most: names that arrive
// in order fill their leaves.
func (b *branch[V]) split() (high *branch[V], sep string) {
	at := len(b.keys) / 2
	if len(b.kids) > 0 {
		sep = b.keys[at]
		high = &branch[V]{keys: slices.Clone(b.keys[at+1:]), kids: slices.Clone(b.kids[at+1:])}
		b.keys, b.kids = cut(b.keys, at), cut(b.kids, at+1)
		return high, sep
	}
	if b.next == nil {
		at = len(b.keys) - minKeys
	}
	high = &branch[V]{keys: slices.Clone(b.keys[at:]), vals: slices.Clone(b.vals[at:]), next: b.next}
	b.keys, b.vals, b.next = cut(b.keys, at), cut(b.vals, at), high
	return high, separator(b.lastKey(), high.firstKey())
}

// cut is the first n of s; it lets go of the others, and of room that a branch
// has no use for.
func cut[E any](s []E, n int) []E {
	if cap(s) > maxKeys+1 {
		return slices.Clone(s[:n])
	}
	clear(s[n:])
	return s[:n]
}

// take removes key below b and returns its value. It may leave b with too few
// keys.
func (b *branch[V]) take(key []byte) (old V, existed bool) {
	if len(b.kids) == 0 {
		i, ok := b.search(key)
		if !ok {
			return old, false
		}
		old = b.vals[i]
		b.keys = slices.Delete(b.keys, i, i+1)
		b.vals = slices.Delete(b.vals, i, i+1)
		return old, true
	}
	i := b.kid(key)
	old, existed = b.kids[i].take(key)
	if len(b.kids[i].keys) < minKeys {
		b.mend(i)
	}
	return old, existed
}

// mend joins the i-th kid, which has too few keys, with the one beside it; if
// that is too much for one, it is split again in the middle.
func (b *branch[V]) mend(i int) {
	i = min(i, len(b.kids)-2)
	low, high, sep := b.kids[i], b.kids[i+1], b.keys[i]
	if len(high.kids) > 0 {
		low.keys = append(append(low.keys, sep), high.keys...)
		low.kids = append(low.kids, high.kids...)
	} else {
		low.keys = append(low.keys, high.keys...)
		low.vals = append(low.vals, high.vals...)
		low.next = high.next
	}
	b.keys = slices.Delete(b.keys, i, i+1)
	b.kids = slices.Delete(b.kids, i+1, i+2)
	if low.isFull() {
		b.splitKid(i)
	}
}
