package topic

import "strings"

const (
	shareMark   = "$share" // MQTT 5, 4.8.2
	sharePrefix = shareMark + "/"
)

// SplitShare takes "$share/group/filter" apart. Any other filter comes back
// whole as rest, with shared false.
func SplitShare(filter string) (group, rest string, shared bool) {
	if !strings.HasPrefix(filter, sharePrefix) {
		return "", filter, false
	}
	group, rest, _ = strings.Cut(filter[len(sharePrefix):], "/")
	return group, rest, true
}

// Levels is the number of levels of a topic name or filter: one more than it
// has slashes.
func Levels(s string) int {
	return strings.Count(s, "/") + 1
}

// Level is the i-th level of a topic name or filter, counted from 1, and
// whether there is one. It is a part of name and lives as long.
func Level(name string, i int) (string, bool) {
	if i < 1 {
		return "", false
	}
	for ; i > 1; i-- {
		slash := strings.IndexByte(name, '/')
		if slash < 0 {
			return "", false
		}
		name = name[slash+1:]
	}
	return firstLevel(name), true
}

// HasWildcard tells whether a valid filter, shared or not, can match more than
// one name.
func HasWildcard(filter string) bool {
	return strings.IndexByte(filter, '+') >= 0 || strings.IndexByte(filter, '#') >= 0
}

// firstLevel is s up to its first slash.
func firstLevel(s string) string {
	if i := strings.IndexByte(s, '/'); i >= 0 {
		return s[:i]
	}
	return s
}

// levelAt is the level of s that begins at pos, and where the next begins. The
// place after the last level is len(s)+1: s has no more levels when pos > len(s).
func levelAt(s string, pos int) (level string, next int) {
	level = firstLevel(s[pos:])
	return level, pos + len(level) + 1
}

// isWild tells whether a level of a filter is a wildcard.
func isWild(level string) bool {
	return level == "+" || level == "#"
}

// isDollar tells whether a topic begins with '$'. Filters that begin with a
// wildcard do not match such names [MQTT-4.7.2-1].
func isDollar(s string) bool {
	return s != "" && s[0] == '$'
}
