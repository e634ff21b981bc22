package topic

// Names keeps topics in the order of their levels: "a" is followed by all that
// is below it, "a/…", before "a!" comes. Bytes compare that way once '/' is the
// smallest: a key is a topic with '/' as 0 and the bytes below '/' one higher.
// Different topics have different keys, whatever their bytes.
const (
	keySep  = 0
	keyPlus = '+' + 1
	keyHash = '#' + 1

	// belowSep is more than keySep and no more than any other byte: with
	// prefix+keySep for all that is below prefix, prefix+belowSep comes next.
	belowSep = keySep + 1

	keyDollar      = '$' + 1
	keyAfterDollar = keyDollar + 1
)

// lentKey is the room for a key on the goroutine's stack; longer ones are
// allocated.
const lentKey = 256

// appendKey appends the key of a topic to dst.
func appendKey(dst []byte, topic string) []byte {
	for i := range len(topic) {
		c := topic[i]
		switch {
		case c == '/':
			c = keySep
		case c < '/':
			c++
		}
		dst = append(dst, c)
	}
	return dst
}

// separator is the shortest key that is more than low and no more than high,
// in memory of its own: a name that was deleted is not kept alive by it.
func separator(low, high string) string {
	i := 0
	for i < len(low) && low[i] == high[i] {
		i++
	}
	return string(append([]byte(nil), high[:i+1]...))
}
