package topic

import "bytes"

// Cursor walks what a filter matches in a Names, in slices. It is used by one
// goroutine at a time; it holds no lock between calls, keeps no copy of what
// it is to hand out, and needs not be closed.
//
// The tree may change between calls: what is there all the time is handed out
// exactly once, what comes or goes meanwhile may or may not be.
type Cursor[V any] struct {
	tree   *Names[V]
	filter []byte // as a key
	from   []byte // what is less than this key has been dealt with
	done   bool
}

// Cursor begins a walk of what a filter (without "$share/group/") matches. For
// what is no filter the walk is over at once.
func (t *Names[V]) Cursor(filter string) *Cursor[V] {
	if filter == "" || checkWildcards(filter) != nil { // judge would not get on
		return &Cursor[V]{tree: t, done: true}
	}
	key := appendKey(nil, filter)
	return &Cursor[V]{tree: t, filter: key, from: bytes.Clone(literalRun(key, 0))}
}

// stepBudget is what one Next may look at: names, and with each a part of the
// 65 535 bytes that comparing it may take, so that a call takes well under a
// millisecond, or a few in a hostile tree, whatever was asked for.
const (
	stepBudget = 4096
	nameCost   = 256 // bytes that cost as much as one more name
)

// Next appends up to n values to dst. With done the walk is over; without,
// there may be more, even if none came this time: a call looks at a bounded
// number of names.
func (c *Cursor[V]) Next(dst []V, n int) (out []V, done bool) {
	if c.done {
		return dst, true
	}
	t := c.tree
	t.mu.RLock()
	defer t.mu.RUnlock()
	at := seek(t.root, c.from)
	for budget := stepBudget; n > 0 && budget > 0; {
		if at.leaf == nil {
			c.done = true
			break
		}
		key := at.leaf.keys[at.i]
		budget -= 1 + len(key)/nameCost
		switch c.judge(key) {
		case matches:
			dst = append(dst, at.leaf.vals[at.i])
			n--
			c.from = append(append(c.from[:0], key...), keySep) // nothing is between the two
			at = at.following()
		case skips:
			at = at.forward(t.root, c.from)
		case ends:
			c.done = true
			return dst, true
		}
	}
	return dst, c.done
}

// verdict is what judge says of a name.
type verdict int

const (
	matches verdict = iota // the filter matches it
	skips                  // it does not, and c.from is where it may match again
	ends                   // nor does it match any that follows
)

// judge compares a key with the filter, level by level. If the filter does not
// match, it sets from to a key that is more and such that the filter matches
// nothing between the two.
func (c *Cursor[V]) judge(key string) verdict {
	if key == "" { // no name [MQTT-4.7.3-1]
		c.from = append(c.from[:0], keySep)
		return skips
	}
	turn := -1 // where the level ends that the last '+' stands for
	f, k := 0, 0
	for f <= len(c.filter) {
		want := keyLevel(c.filter[f:])
		isPlus := len(want) == 1 && want[0] == keyPlus
		isHash := len(want) == 1 && want[0] == keyHash
		if k == 0 && key[0] == keyDollar && (isPlus || isHash) { // [MQTT-4.7.2-1]
			c.from = append(c.from[:0], keyAfterDollar)
			return skips
		}
		if isHash {
			return matches
		}
		if k > len(key) { // a level is missing: go down
			c.from = append(append(c.from[:0], key...), keySep)
			c.from = append(c.from, literalRun(c.filter, f)...)
			return skips
		}
		have := keyLevel(key[k:])
		if isPlus {
			turn = k + len(have)
		} else if have < string(want) {
			c.from = append(append(c.from[:0], key[:k]...), literalRun(c.filter, f)...)
			return skips
		} else if have > string(want) {
			return c.skipTurn(key, turn)
		}
		f, k = f+len(want)+1, k+len(have)+1
	}
	if k > len(key) {
		return matches
	}
	return c.skipTurn(key, turn)
}

// skipTurn skips what is left of the level that the last '+' stands for, with
// all below it.
func (c *Cursor[V]) skipTurn(key string, turn int) verdict {
	if turn < 0 {
		return ends
	}
	c.from = append(append(c.from[:0], key[:turn]...), belowSep)
	return skips
}

// keyLevel is the first level of a key or of what is left of one.
func keyLevel[S string | []byte](s S) S {
	for i := range len(s) {
		if s[i] == keySep {
			return s[:i]
		}
	}
	return s
}

// literalRun is the filter from pos up to its next wildcard: every name it
// matches, given what is before, goes on with that.
func literalRun(filter []byte, pos int) []byte {
	rest := filter[pos:]
	if i := bytes.IndexByte(rest, keyPlus); i >= 0 {
		return rest[:i]
	}
	i := bytes.IndexByte(rest, keyHash)
	switch {
	case i < 0:
		return rest
	case i == 0:
		return nil
	}
	return rest[:i-1] // "#" matches the parent level too (4.7.1.2)
}

// spot is a place in the tree: the i-th key of a leaf, or no leaf at the end.
type spot[V any] struct {
	leaf *branch[V]
	i    int
}

// seek is the first key that is no less than from.
func seek[V any](root *branch[V], from []byte) spot[V] {
	leaf := root.leaf(from)
	i, _ := leaf.search(from)
	return spot[V]{leaf, i}.settled()
}

// settled is s, or the first of the next leaf if s is at the end of its own.
func (s spot[V]) settled() spot[V] {
	for s.leaf != nil && s.i == len(s.leaf.keys) {
		s = spot[V]{s.leaf.next, 0}
	}
	return s
}

// following is the key after s.
func (s spot[V]) following() spot[V] {
	s.i++
	return s.settled()
}

// forward is seek for a key that is more than the one at s. It often is in the
// same leaf.
func (s spot[V]) forward(root *branch[V], from []byte) spot[V] {
	if s.leaf.keys[len(s.leaf.keys)-1] < string(from) {
		return seek(root, from)
	}
	s.i, _ = s.leaf.search(from)
	return s
}
