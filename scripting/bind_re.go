package scripting

import (
	lua "github.com/yuin/gopher-lua"

	"lunamq/scripting/lib"
	"lunamq/scripting/sandbox"
)

// reCalls are re.match, find_all, replace and split: (pattern, text, …), in the
// syntax of Go's RE2, in linear time.
func (w *world) reCalls() map[string]lua.LGFunction {
	patterns := w.generation.engine.patterns
	return map[string]lua.LGFunction{
		"match":    func(L *lua.LState) int { return reMatch(L, patterns) },
		"find_all": func(L *lua.LState) int { return reFindAll(L, patterns) },
		"replace":  func(L *lua.LState) int { return reReplace(L, patterns) },
		"split":    func(L *lua.LState) int { return reSplit(L, patterns) },
	}
}

// reArgs are the first two arguments of every call.
func reArgs(L *lua.LState, call string, most int) (pattern, text string) {
	argNone(L, most, call)
	return argBytes(L, 1, call, "the pattern"), argBytes(L, 2, call, "the text")
}

// reLimit is an optional argument: how many, 0 all.
func reLimit(L *lua.LState, n int, call string) int {
	if L.Get(n) == lua.LNil {
		return 0
	}
	limit, err := toInteger(L.Get(n), 1, lib.MaxFound)
	if err != nil {
		L.RaiseError("%s: the limit %v", call, err)
	}
	return int(limit)
}

// reMatch is re.match(pattern, text): nil, or the match as a table: [0] the
// whole, [1] … the groups, and those with a name by it. A group that the match
// left out is false.
func reMatch(L *lua.LState, ps *lib.Patterns) int {
	pattern, text := reArgs(L, "re.match", 2)
	groups, ok, err := ps.Match(pattern, text, chargeFor(L))
	if err != nil {
		L.RaiseError("re.match: %v", err)
	}
	if !ok {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(matchTable(groups))
	return 1
}

func matchTable(groups []lib.Group) *lua.LTable {
	t := newTable()
	for i, g := range groups {
		var x lua.LValue = lua.LFalse
		if g.Set {
			x = lua.LString(g.Text)
		}
		t.RawSet(lua.LNumber(i), x)
		if g.Name != "" {
			t.RawSetString(g.Name, x)
		}
	}
	return t
}

// reFindAll is re.find_all(pattern, text [, limit]): a list of matches.
func reFindAll(L *lua.LState, ps *lib.Patterns) int {
	pattern, text := reArgs(L, "re.find_all", 3)
	matches, err := ps.FindAll(pattern, text, reLimit(L, 3, "re.find_all"), chargeFor(L))
	if err != nil {
		L.RaiseError("re.find_all: %v", err)
	}
	out := newTable()
	for _, groups := range matches {
		out.Append(matchTable(groups))
	}
	L.Push(out)
	return 1
}

// reReplace is re.replace(pattern, text, template): the new text, and how many
// were replaced. In the template $1 or ${name} is a group, $$ a dollar sign.
func reReplace(L *lua.LState, ps *lib.Patterns) int {
	pattern, text := reArgs(L, "re.replace", 3)
	out, n, err := ps.Replace(pattern, text, argBytes(L, 3, "re.replace", "the template"), chargeFor(L))
	if err != nil {
		L.RaiseError("re.replace: %v", err)
	}
	sandbox.PushString(L, out)
	L.Push(lua.LNumber(n))
	return 2
}

// reSplit is re.split(pattern, text [, limit]): a list of the pieces between
// the matches.
func reSplit(L *lua.LState, ps *lib.Patterns) int {
	pattern, text := reArgs(L, "re.split", 3)
	pieces, err := ps.Split(pattern, text, reLimit(L, 3, "re.split"), chargeFor(L))
	if err != nil {
		L.RaiseError("re.split: %v", err)
	}
	out := newTable()
	for _, p := range pieces {
		out.Append(lua.LString(p))
	}
	L.Push(out)
	return 1
}
