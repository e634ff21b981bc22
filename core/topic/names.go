package topic

import "sync"

// Names is the retained tree: topic names with one value each, walked by a
// filter. It is safe for concurrent use, and readers do not wait for each
// other.
//
// It is one B+ tree of whole names in the order of their levels (order.go).
// What a filter matches lies in runs of that order, and a Cursor jumps from
// run to run. A tree with a node for each level, whose children have sequence
// numbers and tombstones so that a cursor finds its place again, does the same
// walk; it takes a node for each level, and here a place is simply a name.
type Names[V any] struct {
	mu sync.RWMutex

	// Guarded by mu:
	root *branch[V]
	len  int
}

// NewNames makes an empty tree.
func NewNames[V any]() *Names[V] {
	return &Names[V]{root: &branch[V]{}}
}

// Set puts v under name and returns what was there.
func (t *Names[V]) Set(name string, v V) (old V, replaced bool) {
	var buf [lentKey]byte
	key := appendKey(buf[:0], name)
	t.mu.Lock()
	defer t.mu.Unlock()
	old, replaced = t.root.put(key, v)
	if !replaced {
		t.len++
	}
	if t.root.isFull() {
		low := t.root
		high, sep := low.split()
		t.root = &branch[V]{keys: []string{sep}, kids: []*branch[V]{low, high}}
	}
	return old, replaced
}

// Delete removes what is under name and returns it.
func (t *Names[V]) Delete(name string) (old V, existed bool) {
	var buf [lentKey]byte
	key := appendKey(buf[:0], name)
	t.mu.Lock()
	defer t.mu.Unlock()
	if old, existed = t.root.take(key); existed {
		t.len--
	}
	if len(t.root.kids) == 1 {
		t.root = t.root.kids[0]
	}
	return old, existed
}

// Get returns what is under name.
func (t *Names[V]) Get(name string) (v V, ok bool) {
	var buf [lentKey]byte
	key := appendKey(buf[:0], name)
	t.mu.RLock()
	defer t.mu.RUnlock()
	leaf := t.root.leaf(key)
	if i, ok := leaf.search(key); ok {
		return leaf.vals[i], true
	}
	return v, false
}

// Len is the number of names.
func (t *Names[V]) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.len
}
