package topic

// value is one of the values of a node, which are in no particular order. The
// first lies in the node itself: most filters have one. The others lie in
// chunks, so that neither Set nor Delete moves more than one chunk however many
// there are, and Match reads them in a row (a plain map is simpler, but ranging
// over it is slower). Deleting moves the last into the gap.
type value[K comparable, V any] struct {
	key   K
	value V
}

type moreValues[K comparable, V any] struct {
	chunks [][]value[K, V] // all but the last are full
	index  map[K]uint32    // where each is; nil while there are few
	peak   int             // the most that index held since it was made
}

const (
	chunkBits = 8
	chunkLen  = 1 << chunkBits
	chunkMask = chunkLen - 1

	fewValues = 8 // found by looking at each

	// A Go map never shrinks. One that held shrinkRatio times as much is
	// made anew when it comes down to shrinkLen: the copying is bounded, and
	// what a larger one may waste is too.
	shrinkLen   = 1024
	shrinkRatio = 8
)

// at is the i-th value.
func (n *node[K, V]) at(i int) *value[K, V] {
	if i == 0 {
		return &n.one
	}
	i--
	return &n.more.chunks[i>>chunkBits][i&chunkMask]
}

// index is where the value of key is.
func (n *node[K, V]) index(key K) (int, bool) {
	if n.more != nil && n.more.index != nil {
		i, ok := n.more.index[key]
		return int(i), ok
	}
	for i := range int(n.count) {
		if n.at(i).key == key {
			return i, true
		}
	}
	return 0, false
}

// put sets the value of key and returns what it was.
func (n *node[K, V]) put(key K, v V) (old V, replaced bool) {
	if i, ok := n.index(key); ok {
		at := n.at(i)
		old, at.value = at.value, v
		return old, true
	}
	n.push(value[K, V]{key, v})
	return old, false
}

// push adds a value whose key is new.
func (n *node[K, V]) push(v value[K, V]) {
	n.count++
	if n.count == 1 {
		n.one = v
		return
	}
	if n.more == nil {
		n.more = &moreValues[K, V]{}
	}
	n.more.push(v)
	if n.more.index != nil {
		n.more.index[v.key] = n.count - 1
		n.more.peak = max(n.more.peak, int(n.count))
	} else if n.count > fewValues {
		n.makeIndex()
	}
}

func (m *moreValues[K, V]) push(v value[K, V]) {
	last := len(m.chunks) - 1
	if last < 0 {
		m.chunks = [][]value[K, V]{{v}}
	} else if len(m.chunks[last]) < chunkLen {
		m.chunks[last] = append(m.chunks[last], v)
	} else {
		m.chunks = append(m.chunks, append(make([]value[K, V], 0, chunkLen), v))
	}
}

func (n *node[K, V]) makeIndex() {
	n.more.index = make(map[K]uint32, 2*fewValues)
	for i := range int(n.count) {
		n.more.index[n.at(i).key] = uint32(i)
	}
	n.more.peak = int(n.count)
}

// take removes the value of key and returns it.
func (n *node[K, V]) take(key K) (old V, existed bool) {
	i, ok := n.index(key)
	if !ok {
		return old, false
	}
	gap, last := n.at(i), n.at(int(n.count)-1)
	old = gap.value
	*gap = *last
	if m := n.more; m != nil && m.index != nil {
		m.index[gap.key] = uint32(i)
		delete(m.index, key)
	}
	*last = value[K, V]{} // let go of what it points to
	n.pop()
	return old, true
}

// pop forgets the last value.
func (n *node[K, V]) pop() {
	n.count--
	if n.count <= 1 {
		n.more = nil
		return
	}
	m := n.more
	last := len(m.chunks) - 1
	m.chunks[last] = m.chunks[last][:len(m.chunks[last])-1]
	if len(m.chunks[last]) == 0 {
		m.chunks[last] = nil
		m.chunks = m.chunks[:last]
	}
	switch {
	case m.index == nil:
	case n.count == fewValues/2:
		m.index = nil
	case n.count == shrinkLen && m.peak >= shrinkRatio*shrinkLen:
		m.index, m.peak = remade(m.index), shrinkLen
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

// appendTo appends all values to dst.
func (n *node[K, V]) appendTo(dst []V) []V {
	if n.count == 0 {
		return dst
	}
	dst = append(dst, n.one.value)
	if n.more == nil {
		return dst
	}
	for _, chunk := range n.more.chunks {
		for i := range chunk {
			dst = append(dst, chunk[i].value)
		}
	}
	return dst
}
