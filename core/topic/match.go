package topic

// The empty name. A topic name has at least one character [MQTT-4.7.3-1], so
// "/#" and "+" have no name in common although "/#" matches its parent level,
// the empty one, and "+" matches an empty level; Overlap and Covers mind it.
const (
	anyOne    = "+"
	belowRoot = "/#"
)

// Match tells whether a filter (without "$share/group/") matches a topic name.
// It allocates nothing and reads both once.
func Match(filter, name string) bool {
	if name == "" || isDollar(name) && isWild(firstLevel(filter)) { // [MQTT-4.7.2-1]
		return false
	}
	f, n := 0, 0
	for f <= len(filter) {
		var want, have string
		want, f = levelAt(filter, f)
		if want == "#" { // also the parent level (4.7.1.2): n may be past the end
			return true
		}
		if n > len(name) {
			return false
		}
		have, n = levelAt(name, n)
		if want != "+" && want != have {
			return false
		}
	}
	return n > len(name)
}

// Overlap tells whether some topic name matches both filters.
func Overlap(a, b string) bool {
	if a == anyOne && b == belowRoot || a == belowRoot && b == anyOne {
		return false
	}
	if isDollar(a) && isWild(firstLevel(b)) || isDollar(b) && isWild(firstLevel(a)) { // [MQTT-4.7.2-1]
		return false
	}
	i, j := 0, 0
	for i <= len(a) && j <= len(b) {
		var la, lb string
		la, i = levelAt(a, i)
		lb, j = levelAt(b, j)
		if la == "#" || lb == "#" {
			return true
		}
		if la != lb && la != "+" && lb != "+" {
			return false
		}
	}
	return endsOrHash(a, i) && endsOrHash(b, j)
}

// endsOrHash tells whether what is left of a filter at pos matches the parent
// level: nothing, or "#".
func endsOrHash(filter string, pos int) bool {
	return pos > len(filter) || filter[pos:] == "#"
}

// Covers tells whether every topic name that matches b matches a too.
func Covers(a, b string) bool {
	if isDollar(b) && isWild(firstLevel(a)) { // [MQTT-4.7.2-1]
		return false
	}
	b = withoutParent(b)
	i, j := 0, 0
	for i <= len(a) {
		var la, lb string
		la, i = levelAt(a, i)
		if la == "#" {
			return true
		}
		if j > len(b) {
			return false
		}
		lb, j = levelAt(b, j)
		if lb == "#" || la != "+" && la != lb { // "#" has its parent level too, and a does not
			return false
		}
	}
	return j > len(b)
}

// withoutParent spells the two filters whose "#" has no parent level that is
// a name, such that "#" has one: the names they match stay the same.
func withoutParent(filter string) string {
	switch filter {
	case "#":
		return "+/#"
	case belowRoot:
		return "/+/#"
	}
	return filter
}
