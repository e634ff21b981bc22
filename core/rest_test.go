package core

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// TestRest: what is added and dropped is what a plain slice would hold, and a
// pooled buffer is held only while there is something in it.
func TestRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q rest
		var want []byte
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "drop") {
				n := rapid.IntRange(0, len(want)).Draw(t, "n")
				if n == 0 {
					continue
				}
				q.drop(n)
				want = want[n:]
			} else {
				p := bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, rapid.SampledFrom([]int{1, 100, 5000, restFew, 60_000, restPooled}).Draw(t, "size"))
				if room := q.room(); room != nil && rapid.Bool().Draw(t, "read into the room") {
					p = room[:copy(room, p)]
				}
				want = append(bytes.Clone(want), p...)
				q.add(p)
			}
			if !bytes.Equal(q.buf, want) {
				t.Fatalf("%d bytes are held, want %d", len(q.buf), len(want))
			}
			if len(want) == 0 && (q.pooled != nil || q.buf != nil) {
				t.Fatal("an empty rest holds memory")
			}
		}
	})
}
