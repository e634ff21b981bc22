// Package sandbox is Lua 5.1 (gopher-lua) that cannot hurt its host: every call has a budget of
// instructions and a deadline, every string a length, every library only what a rule may use.
//
// It knows gopher-lua and nothing of brokers. The package scripting builds the rules' API on it.
//
// # What a call costs
//
// One unit, the instruction, measures everything; a budget (Limits.Budget, 1 000 000) is spent by
//
//   - each instruction of the Lua machine: 1
//   - bytes of strings built or copied (.., rep, sub, format, gsub, concat, …): 1 per 16 bytes, so one
//     budget builds at most 16 MB however it is spent, and one string is never longer than MaxString
//   - bytes of long strings read (find of plain text, comparisons): 1 per 64
//   - pattern matching: 1 per 8 steps of the matcher (a step is about 3 ns, an instruction about 20)
//   - list elements moved by table.insert and table.remove: 1 per 16
//   - list slots made by assigning past the end of a list (t[60000] = x), values of unpack, and of `...`
//     or a call that ends a table constructor: 1 per 4
//   - comparisons of table.sort without a function: 1 per 2 (with one, the function's own instructions)
//   - slots that next and pairs step over: 1 per 16
//   - a coroutine: 200 (it takes about 10 KiB)
//   - an error caught by pcall or xpcall, and debug.traceback: 500 (it takes 10 to 25 µs)
//   - library calls of the embedder: what they Charge
//
// When the budget is used up, or the deadline has passed, the error raised cannot be caught: pcall,
// xpcall and coroutines pass it on, and each further instruction of the call raises it again.
//
// A call tells its host after 2000 instructions that it takes long, and from then on lets others run
// every 10 000, some 100 µs: the goroutines of its processor and the threads of its core (letOthers). It
// gives either at most a fifth of its time.
//
// What tables, closures and strings of one budget can take is 450 MiB at the worst (a million
// instructions of {} and x.a = 1, 0.4 s of them; the deadline cuts that to about a quarter), 25 to 130 MiB
// otherwise. What outlives calls is for the embedder to watch, with Measure.
//
// # How `..` and assignment are bounded
//
// gopher-lua runs some operations in one instruction whatever their size. The syntax tree is rewritten
// at load (rewrite.go): `a .. b .. c` becomes a call that checks lengths, `t[k] = v` with a computed k
// one that charges for the gap it opens, and `x = v` of a global goes through a table that can be
// sealed. A compiled chunk that still assigns a global by instruction is refused.
//
// The rewriting also goes round what gopher-lua compiles wrongly: `a, b = b, a` between locals,
// `x = f() and y` into a local, a call as the last named field of a constructor, `for k in next, t`.
//
// # Threads
//
// A world is one Lua global state with a lock, for which callers queue (Enter): turns are dealt fairly by
// who pays for them, weighed by how long they held the world. An event borrows a Lua thread, calls, gives
// it back; one whose call failed is dropped. A library call that waits (Wait, Release) lets others use the
// world meanwhile; it comes back before all that queue.
//
// Lists have at most 65 535 items (lua.MaxArrayIndex): a larger integer is an ordinary key.
package sandbox
