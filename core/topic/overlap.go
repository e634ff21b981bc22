package topic

// Overlapping appends to dst every value whose filter overlaps the given one,
// see [Overlap], in no particular order. It visits nodes that overlap a
// beginning of the filter and no other, each once.
func (t *Filters[K, V]) Overlapping(filter string, dst []V) []V {
	t.mu.RLock()
	defer t.mu.RUnlock()
	o := overlapping[K, V]{filter: filter, root: &t.root, dst: dst}
	switch filter { // the two that have only the empty name in common
	case anyOne:
		o.not = t.find(belowRoot).node
	case belowRoot:
		o.not = t.find(anyOne).node
	}
	o.visit(&t.root, 0)
	for len(o.pending) > 0 {
		last := len(o.pending) - 1
		step := o.pending[last]
		o.pending = o.pending[:last]
		o.visit(step.node, step.pos)
	}
	return o.dst
}

// overlapping is one Overlapping under way.
type overlapping[K comparable, V any] struct {
	filter  string
	root    *node[K, V]
	not     *node[K, V] // has values that do not overlap
	dst     []V
	pending []overlapStep[K, V]
}

// overlapStep is a node whose levels overlap those of the filter before pos.
// everything as pos says that all below the node overlaps.
type overlapStep[K comparable, V any] struct {
	node *node[K, V]
	pos  int
}

const everything = -1

func (o *overlapping[K, V]) visit(n *node[K, V], pos int) {
	if pos == everything {
		o.emit(n)
		o.eachChild(n, pos)
		return
	}
	if pos > len(o.filter) {
		o.emit(n)
		if n.kids != nil {
			o.emit(n.kids.hash) // the parent level
		}
		return
	}
	switch level := firstLevel(o.filter[pos:]); level {
	case "#":
		o.emit(n) // the parent level
		o.eachChild(n, everything)
	case "+":
		o.eachChild(n, pos)
	default:
		o.sameLevel(n, level, pos)
	}
}

// emit takes the values of n, which may be nil.
func (o *overlapping[K, V]) emit(n *node[K, V]) {
	if n != nil && n != o.not {
		o.dst = n.appendTo(o.dst)
	}
}

// sameLevel goes on with the children of n for one level and for wildcards.
func (o *overlapping[K, V]) sameLevel(n *node[K, V], level string, pos int) {
	k := n.kids
	if k == nil {
		return
	}
	o.enter(k.literal(level), pos)
	if pos == 0 && isDollar(level) { // [MQTT-4.7.2-1]
		return
	}
	o.emit(k.hash)
	o.enter(k.plus, pos)
}

// eachChild goes on with all children of n, but for those of the root that
// begin with '$' [MQTT-4.7.2-1].
func (o *overlapping[K, V]) eachChild(n *node[K, V], pos int) {
	k := n.kids
	if k == nil {
		return
	}
	o.emit(k.hash)
	o.enter(k.plus, pos)
	for c := range k.literals {
		if n != o.root || !isDollar(c.label) {
			o.enter(c, pos)
		}
	}
}

// enter compares the label of c with the filter from pos, and leaves c in
// pending if there is something to visit in it.
func (o *overlapping[K, V]) enter(c *node[K, V], pos int) {
	if c == nil {
		return
	}
	for i := 0; i <= len(c.label) && pos != everything; {
		var have, want string
		have, i = levelAt(c.label, i)
		if have == "#" { // the last level: c is a leaf
			o.emit(c)
			return
		}
		if pos > len(o.filter) {
			return
		}
		want, pos = levelAt(o.filter, pos)
		if want == "#" {
			pos = everything
		} else if want != have && want != "+" && have != "+" {
			return
		}
	}
	if c.kids == nil && (pos == everything || pos > len(o.filter) || o.filter[pos:] == "#") {
		o.emit(c) // a leaf needs no visit
		return
	}
	o.pending = append(o.pending, overlapStep[K, V]{c, pos})
}
