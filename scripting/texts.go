package scripting

import (
	"hash/maphash"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// texts remembers short strings of the core as rules get them. A client's name and
// its topics are read again and again, and each time would be two allocations: a
// tenth of the time of a rule that reads the topic and sets another
// (BenchmarkReadAndSetTopic). A string has one place, and the next one takes it over.
// Guarded by the world's lock.
type texts [64]struct {
	text  string
	value lua.LValue
}

// longestText is how long a string is at most that is remembered.
const longestText = 64

var textSeed = maphash.MakeSeed()

// of is s as a Lua value: a copy, for what the core shows is lent.
func (t *texts) of(s string) lua.LValue {
	if len(s) > longestText {
		return lua.LString(strings.Clone(s))
	}
	at := &t[maphash.String(textSeed, s)%uint64(len(t))]
	if at.text != s || at.value == nil {
		at.text = strings.Clone(s)
		at.value = lua.LString(at.text)
	}
	return at.value
}
