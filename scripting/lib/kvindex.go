package lib

import (
	"slices"
	"sort"
)

// kvChunk is the most entries a chunk of a kvIndex holds.
const kvChunk = 512

// kvIndex holds entries in order, in chunks of up to kvChunk. Finding a place is two binary
// searches, inserting moves at most 4 KiB of pointers, and a chunk is split once in 256 inserts:
// at a million entries some 4 000 chunk headers move then. Collecting and sorting the map's keys on
// each call of Keys took 3 s at a million keys where this takes 1.3 µs for ten of them
// (BenchmarkKVKeys, both on a busy machine).
type kvIndex struct {
	chunks [][]*kvEntry // none is empty
}

// chunkOf returns the last chunk whose first entry is not after k, or 0.
func (x *kvIndex) chunkOf(k kvKey) int {
	after := sort.Search(len(x.chunks), func(i int) bool { return x.chunks[i][0].compare(k) > 0 })
	return max(after-1, 0)
}

// placeIn returns where k is or would be in a chunk.
func placeIn(chunk []*kvEntry, k kvKey) int {
	return sort.Search(len(chunk), func(i int) bool { return chunk[i].compare(k) >= 0 })
}

// insert puts in an entry whose key is not there yet.
func (x *kvIndex) insert(e *kvEntry) {
	if len(x.chunks) == 0 {
		x.chunks = append(x.chunks, []*kvEntry{e})
		return
	}
	c := x.chunkOf(e.kvKey)
	chunk := x.chunks[c]
	at := placeIn(chunk, e.kvKey)
	if len(chunk) == kvChunk {
		c, at = x.split(c, at)
		chunk = x.chunks[c]
	}
	x.chunks[c] = slices.Insert(chunk, at, e)
}

// split makes room in the full chunk c and returns where its place at is now. Keys that come in
// rising order fill a chunk before they open the next.
func (x *kvIndex) split(c, at int) (int, int) {
	half := kvChunk / 2
	if at == kvChunk && c == len(x.chunks)-1 {
		half = kvChunk - 1
	}
	chunk := x.chunks[c]
	right := append(make([]*kvEntry, 0, kvChunk/2+1), chunk[half:]...)
	clear(chunk[half:])
	x.chunks[c] = chunk[:half]
	x.chunks = slices.Insert(x.chunks, c+1, right)
	if at > half {
		return c + 1, at - half
	}
	return c, at
}

// remove takes out an entry that is there.
func (x *kvIndex) remove(e *kvEntry) {
	c := x.chunkOf(e.kvKey)
	at := placeIn(x.chunks[c], e.kvKey)
	x.chunks[c] = slices.Delete(x.chunks[c], at, at+1)
	if len(x.chunks[c]) <= kvChunk/4 {
		x.merge(c)
	}
}

// merge drops the chunk c if it is empty and joins it with the next if both are small.
func (x *kvIndex) merge(c int) {
	small := x.chunks[c]
	switch {
	case len(small) == 0:
		x.chunks = slices.Delete(x.chunks, c, c+1)
	case c+1 < len(x.chunks) && len(small)+len(x.chunks[c+1]) <= kvChunk/2:
		x.chunks[c] = append(small, x.chunks[c+1]...)
		x.chunks = slices.Delete(x.chunks, c+1, c+2)
	}
}

// ascend calls visit with the entries from k on, in order, until it returns false. visit must not
// change the index.
func (x *kvIndex) ascend(k kvKey, visit func(*kvEntry) bool) {
	if len(x.chunks) == 0 {
		return
	}
	c := x.chunkOf(k)
	at := placeIn(x.chunks[c], k)
	for ; c < len(x.chunks); c++ {
		for _, e := range x.chunks[c][at:] {
			if !visit(e) {
				return
			}
		}
		at = 0
	}
}
