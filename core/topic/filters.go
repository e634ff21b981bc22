package topic

import (
	"strings"
	"sync"
	"sync/atomic"
)

// Filters is the subscription tree: topic filters, each with values under
// keys, matched by topic name. Shared subscriptions are put in by the filter
// after "$share/group/". It is safe for concurrent use, and readers do not
// wait for each other.
//
// The tree is a radix tree of levels: a node stands for as many levels as the
// filters below it have in common, so a filter costs one node (56 bytes and
// its text where K and V are pointers), or two where it parts from another,
// however many levels it has. A tree with a node for each level is simpler,
// but in it one filter of 64 KiB of slashes takes several megabytes.
type Filters[K comparable, V any] struct {
	// Atomic:
	generation atomic.Uint64

	mu sync.RWMutex

	// Guarded by mu:
	root node[K, V] // has children only
	len  int
}

// NewFilters makes an empty tree.
func NewFilters[K comparable, V any]() *Filters[K, V] {
	return &Filters[K, V]{}
}

// Set puts value under filter and key, and returns what was there.
func (t *Filters[K, V]) Set(filter string, key K, value V) (old V, replaced bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old, replaced = t.ensure(filter).put(key, value)
	if !replaced {
		t.len++
	}
	t.generation.Add(1)
	return old, replaced
}

// Delete removes what is under filter and key, and returns it.
func (t *Filters[K, V]) Delete(filter string, key K) (old V, existed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.find(filter)
	if at.node == nil {
		return old, false
	}
	if old, existed = at.node.take(key); existed {
		t.len--
		at.prune(&t.root)
		t.generation.Add(1)
	}
	return old, existed
}

// Get returns what is under filter and key.
func (t *Filters[K, V]) Get(filter string, key K) (value V, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if n := t.find(filter).node; n != nil {
		if i, ok := n.index(key); ok {
			return n.at(i).value, true
		}
	}
	return value, false
}

// Len is the number of values.
func (t *Filters[K, V]) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.len
}

// Generation is a number that changes with every Set and with every Delete
// that removed something. What Match returned after Generation said g is still
// true as long as Generation says g. It takes no lock.
func (t *Filters[K, V]) Generation() uint64 {
	return t.generation.Load()
}

// ensure is the node of filter, made if there is none.
func (t *Filters[K, V]) ensure(filter string) *node[K, V] {
	n, rest := &t.root, filter
	for {
		c := n.child(firstLevel(rest))
		if c == nil {
			c = newNode[K, V](rest)
			n.setChild(c)
			return c
		}
		common := commonLevels(c.label, rest)
		if common < len(c.label) {
			c = n.split(c, common)
		}
		if common == len(rest) {
			return c
		}
		n, rest = c, rest[common+1:]
	}
}

// place is a node and the two above it, nil where there is none.
type place[K comparable, V any] struct {
	node, parent, grand *node[K, V]
}

// find is the place of filter; its node is nil if there is none.
func (t *Filters[K, V]) find(filter string) place[K, V] {
	at, rest := place[K, V]{node: &t.root}, filter
	for {
		c := at.node.child(firstLevel(rest))
		if c == nil || !strings.HasPrefix(rest, c.label) {
			return place[K, V]{}
		}
		at = place[K, V]{node: c, parent: at.node, grand: at.parent}
		if len(rest) == len(c.label) {
			return at
		}
		if rest[len(c.label)] != '/' {
			return place[K, V]{}
		}
		rest = rest[len(c.label)+1:]
	}
}

// prune restores, after a value was taken, what holds for every node but the
// root: it has values, or at least two children.
func (at place[K, V]) prune(root *node[K, V]) {
	if at.node.count > 0 {
		return
	}
	switch at.node.degree() {
	case 0:
		at.parent.removeChild(at.node)
		if p := at.parent; p != root && p.count == 0 && p.degree() == 1 {
			at.grand.join(p)
		}
	case 1:
		at.parent.join(at.node)
	}
}

// commonLevels is the length of the longest part that label and rest begin
// with and that ends at the end of a level in both. Their first levels are
// equal.
func commonLevels(label, rest string) int {
	i := 0
	for i < len(label) && i < len(rest) && label[i] == rest[i] {
		i++
	}
	if endsLevel(label, i) && endsLevel(rest, i) {
		return i
	}
	return strings.LastIndexByte(label[:i], '/')
}

// endsLevel tells whether a level of s ends before i.
func endsLevel(s string, i int) bool {
	return i == len(s) || s[i] == '/'
}
