// Package lib is the Go side of the script libraries: kv, rate, json, crypto and time.
//
// It knows values, bytes and clocks. It does not know events, worlds, budgets or how a script is
// run: the package scripting binds what is here to Lua, checks arguments and charges the budget.
// Only json touches Lua values, because a detour over Go maps would cost more than the parsing.
//
// KV and Limiters are made once by the program, shared by every world and kept over reloads; they
// are safe for concurrent use and start no goroutine. Everything else is a function of its
// arguments.
package lib
