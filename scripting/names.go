package scripting

import (
	"hash/maphash"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// names remembers short topics, client identifiers and the like as rules get them.
// They are read again and again, and each time would be two allocations: a tenth of
// the time of a rule that reads the topic and sets another (BenchmarkReadAndSetTopic).
// A name has one place, and the next one takes it over. User names and properties,
// which may be secrets, are not among them. Guarded by the world's lock.
type names [64]struct {
	name  string
	value lua.LValue
}

// longestName is how long a string is at most that is remembered.
const longestName = 64

var nameSeed = maphash.MakeSeed()

// of is s as a Lua value: a copy, for what the core shows is lent.
func (n *names) of(s string) lua.LValue {
	if len(s) > longestName {
		return lua.LString(strings.Clone(s))
	}
	at := &n[maphash.String(nameSeed, s)%uint64(len(n))]
	if at.name != s || at.value == nil {
		at.name = strings.Clone(s)
		at.value = lua.LString(at.name)
	}
	return at.value
}
