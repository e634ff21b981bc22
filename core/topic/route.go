package topic

import "strings"

// Match appends to dst every value whose filter matches a topic name, in no
// particular order. It visits nodes that match a beginning of the name and no
// other, each once, and allocates only where dst is too small (or the name
// takes more than pendingNodes turns at a '+' at once).
func (t *Filters[K, V]) Match(name string, dst []V) []V {
	if name == "" { // [MQTT-4.7.3-1]
		return dst
	}
	m := matching[K, V]{name: name, dst: dst}
	t.mu.RLock()
	defer t.mu.RUnlock()
	m.visit(&t.root, 0)
	for m.waiting > 0 {
		step := m.pop()
		m.visit(step.node, step.pos)
	}
	return m.dst
}

// pendingNodes is how many nodes wait on the goroutine's stack. One waits for
// each level where both "+" and the level itself go on, so a name of fewer
// levels never takes more; the cost of a larger array is that it is cleared.
const pendingNodes = 20

// matching is one Match under way.
type matching[K comparable, V any] struct {
	name    string
	dst     []V
	waiting int                           // how many nodes wait
	pending [pendingNodes]matchStep[K, V] // the first of them
	spilled []matchStep[K, V]             // the others
}

func (m *matching[K, V]) push(step matchStep[K, V]) {
	if m.waiting < pendingNodes {
		m.pending[m.waiting] = step
	} else {
		m.spilled = append(m.spilled, step)
	}
	m.waiting++
}

func (m *matching[K, V]) pop() matchStep[K, V] {
	m.waiting--
	if m.waiting < pendingNodes {
		return m.pending[m.waiting]
	}
	last := len(m.spilled) - 1
	step := m.spilled[last]
	m.spilled = m.spilled[:last]
	return step
}

// matchStep is a node whose levels match the name before pos.
type matchStep[K comparable, V any] struct {
	node *node[K, V]
	pos  int
}

// visit follows the name down from n, and leaves what else is to be visited in
// pending.
func (m *matching[K, V]) visit(n *node[K, V], pos int) {
	for n != nil {
		k := n.kids
		if pos > len(m.name) {
			m.dst = n.appendTo(m.dst)
			if k != nil && k.hash != nil { // "a/#" matches "a" (4.7.1.2)
				m.dst = k.hash.appendTo(m.dst)
			}
			return
		}
		if k == nil {
			return
		}
		plus := k.plus
		if pos == 0 && m.name[0] == '$' { // [MQTT-4.7.2-1]
			plus = nil
		} else if k.hash != nil {
			m.dst = k.hash.appendTo(m.dst)
		}
		n, pos = m.turn(k.literal(firstLevel(m.name[pos:])), plus, pos)
	}
}

// turn goes on with the child for the level itself, the one for "+", or both.
func (m *matching[K, V]) turn(literal, plus *node[K, V], pos int) (*node[K, V], int) {
	literal, afterLiteral := m.enter(literal, pos)
	plus, afterPlus := m.enter(plus, pos)
	if plus == nil {
		return literal, afterLiteral
	}
	if literal != nil {
		m.push(matchStep[K, V]{literal, afterLiteral})
	}
	return plus, afterPlus
}

// enter matches the label of c with the name from pos. It returns c and where
// the label ends in the name, or nil if there is nothing to visit in c.
func (m *matching[K, V]) enter(c *node[K, V], pos int) (*node[K, V], int) {
	if c == nil {
		return nil, 0
	}
	if rest := m.name[pos:]; strings.HasPrefix(rest, c.label) && endsLevel(rest, len(c.label)) {
		return c, pos + len(c.label) + 1
	}
	for i := 0; i <= len(c.label); {
		var want, have string
		want, i = levelAt(c.label, i)
		if want == "#" { // the last level: c is a leaf
			m.dst = c.appendTo(m.dst)
			return nil, 0
		}
		if pos > len(m.name) {
			return nil, 0
		}
		have, pos = levelAt(m.name, pos)
		if want != "+" && want != have {
			return nil, 0
		}
	}
	return c, pos
}
