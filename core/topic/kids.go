package topic

import (
	"hash/maphash"
	"math/bits"
	"slices"
)

// kidTable is a hash table of many children by the first levels of their
// labels, which differ. Everything in it is guarded by the tree's lock.
//
// It grows and shrinks by one bucket at a time, in turn (linear hashing, Litwin
// 1980): with n buckets, the next one takes its part of what one of them has. So
// set and remove move what is in one bucket and nothing else, and there are as many
// buckets as the number of children asks for. What finds its bucket full hangs below
// it, which is normal for those that have not been split yet.
//
// A Go map is simpler, but with it a filter takes 136 bytes in place of 101 and
// a tree takes 1.3 s in place of 0.8 to fill (BenchmarkFiltersMemory), and it never
// shrinks. Extendible hashing was tried: its directory is one more place in
// memory to wait for, a fifth of a match (BenchmarkFiltersMatchCold/literal).
type kidTable[K comparable, V any] struct {
	parts [][]bucket[K, V] // all but the last have partLen
	n     uint32           // how many buckets there are, at least one
	len   int              // how many children
}

// bucket is children whose hashes end alike, in no particular order, with nil
// where there is none. It is two cache lines, and the first says where in the
// second to look.
type bucket[K comparable, V any] struct {
	hashes [bucketLen]uint32
	nodes  [bucketLen]*node[K, V]
	more   *bucket[K, V] // for what has no place here
}

const (
	bucketLen = 10 // 128 bytes

	// With more than maxLoad children to a bucket there is to be another,
	// with fewer than minLoad one less.
	maxLoad = 7
	minLoad = 3

	partBits = 8
	partLen  = 1 << partBits
	partMask = partLen - 1
)

// hashSeed is random, so that clients cannot choose levels with equal hashes.
// If they could, these would hang below one bucket, and be as slow as a list.
var hashSeed = maphash.MakeSeed()

func hashOf(level string) uint32 {
	return uint32(maphash.String(hashSeed, level))
}

func newKidTable[K comparable, V any]() *kidTable[K, V] {
	return &kidTable[K, V]{parts: [][]bucket[K, V]{make([]bucket[K, V], 1)}, n: 1}
}

// home is the number of the bucket for a hash: its last bits, as many as the
// numbers of buckets have, or without the first of these where there is no such
// bucket yet.
func (t *kidTable[K, V]) home(hash uint32) uint32 {
	mask := uint32(1)<<bits.Len32(t.n-1) - 1
	i := hash & mask
	if i >= t.n {
		i &= mask >> 1
	}
	return i
}

func (t *kidTable[K, V]) bucket(i uint32) *bucket[K, V] {
	return &t.parts[i>>partBits][i&partMask]
}

// find is where the child for a level is, or nil.
func (t *kidTable[K, V]) find(hash uint32, level string) **node[K, V] {
	for b := t.bucket(t.home(hash)); b != nil; b = b.more {
		for i := range b.hashes {
			if b.hashes[i] == hash && b.nodes[i] != nil && b.nodes[i].first() == level {
				return &b.nodes[i]
			}
		}
	}
	return nil
}

// get is the child for a level, or nil.
func (t *kidTable[K, V]) get(hash uint32, level string) *node[K, V] {
	if at := t.find(hash, level); at != nil {
		return *at
	}
	return nil
}

// set puts c in, in the place of the child with the same first level if there
// is one.
func (t *kidTable[K, V]) set(hash uint32, c *node[K, V]) {
	if at := t.find(hash, c.first()); at != nil {
		*at = c
		return
	}
	t.put(hash, c)
	t.len++
	if t.len > maxLoad*int(t.n) {
		t.grow()
	}
}

// remove takes c out.
func (t *kidTable[K, V]) remove(hash uint32, c *node[K, V]) {
	t.bucket(t.home(hash)).remove(c)
	t.len--
	if t.len < minLoad*int(t.n) && t.n > 1 {
		t.shrink()
	}
}

// grow adds a bucket.
func (t *kidTable[K, V]) grow() {
	last := len(t.parts) - 1
	if len(t.parts[last]) == partLen {
		t.parts = append(t.parts, make([]bucket[K, V], 0, partLen))
		last++
	}
	t.parts[last] = append(t.parts[last], bucket[K, V]{})
	from := t.bucket(t.home(t.n)) // where those are that the new one is for
	t.n++
	t.deal(from.cut())
}

// shrink takes the last bucket away. The list of parts keeps its room, which is
// little.
func (t *kidTable[K, V]) shrink() {
	t.n--
	old := t.bucket(t.n).cut()
	last := len(t.parts) - 1
	switch part := t.parts[last][:t.n&partMask]; {
	case len(part) == 0:
		t.parts[last] = nil
		t.parts = t.parts[:last]
	case len(part) <= cap(part)/4:
		t.parts[last] = slices.Clone(part)
	default:
		t.parts[last] = part
	}
	t.deal(old)
}

// deal puts what was in a bucket where it belongs now.
func (t *kidTable[K, V]) deal(old bucket[K, V]) {
	for b := &old; b != nil; b = b.more {
		for i, c := range b.nodes {
			if c != nil {
				t.put(b.hashes[i], c)
			}
		}
	}
}

// put puts in a child that is not there.
func (t *kidTable[K, V]) put(hash uint32, c *node[K, V]) {
	b := t.bucket(t.home(hash))
	for {
		if i := slices.Index(b.nodes[:], nil); i >= 0 {
			b.hashes[i], b.nodes[i] = hash, c
			return
		}
		if b.more == nil {
			b.more = &bucket[K, V]{}
		}
		b = b.more
	}
}

// cut takes everything out of b.
func (b *bucket[K, V]) cut() bucket[K, V] {
	old := *b
	*b = bucket[K, V]{}
	return old
}

// remove takes c out of b, and the bucket below b that it leaves empty.
func (b *bucket[K, V]) remove(c *node[K, V]) {
	for up := b; ; up, b = b, b.more {
		i := slices.Index(b.nodes[:], c)
		if i < 0 {
			continue
		}
		b.nodes[i] = nil
		if up != b && b.nodes == [bucketLen]*node[K, V]{} {
			up.more = b.more
		}
		return
	}
}

// all goes through the children.
func (t *kidTable[K, V]) all(yield func(*node[K, V]) bool) {
	for _, part := range t.parts {
		for i := range part {
			for b := &part[i]; b != nil; b = b.more {
				for _, c := range b.nodes {
					if c != nil && !yield(c) {
						return
					}
				}
			}
		}
	}
}
