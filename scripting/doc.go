// Package scripting runs the rules of a scripts folder: it binds SCRIPT-API.md
// to the broker's hooks and keeps the rules as the files are.
//
// It knows core, its package sandbox (a Lua that cannot hurt its host) and its
// package lib (the Go side of the libraries). It knows no plugin and no
// configuration file.
//
// # The way of an event
//
//	core ─► OnPublish ─► ask ─► run ─► sandbox.Call ─► judge ─► Decision
//	        event_*.go   plan.go       kind.go          verdict.go
//
// A hook is registered for each kind of event that has handlers, no other. ask
// finds the handlers by their filters in Go; an event that none matches never
// meets Lua. run locks a world, makes an object of the event, calls the handler
// and judges what it returned. An object is userdata whose fields are looked up
// in a Go table (kind), so that what a rule does not read is not converted; it
// dies with its call. What a handler does to the broker is queued on the event's
// core.Turn.
//
// A handler that fails leaves no trace: before its first change of an event the
// event is kept (call.touch), and goes back to that; its effects are taken back.
// What acts at once stays: kv, log, rate, vars, metrics, timers.
//
// # Generations
//
// A generation is one immutable set of files with its compiled chunks, its
// handlers and its worlds. It is built aside, and one Register of its hooks is
// the swap. An event that holds the old one still is answered by it, whole; its
// timers end. kv and the rate limiters belong to the engine and outlive it.
//
// Where files have load or unload, the swap is a handover (lifecycle.go): a gate
// (gate.go) holds up new events until those inside have left, unload and load
// have run and the new generation is registered; then they are that one's. Until
// it is, a failure or the end of its time opens the gate of the old one again.
//
// # Going back
//
// The sources of the last generations are kept (history.go), in memory and in a
// folder (archive.go): state.json and a folder of files for each. A generation's
// number belongs to its set: gone back to, it runs under that number again, also
// after a restart, and a restart with the same files is no new generation. The set
// that was left is barred by its hash: the folder still holds it. While the folder
// holds a barred set, Status is not OK, for the folder is not what runs. The bar
// ends when the files change (and holds again should they change back), when
// somebody names that generation, or with Request.Force.
//
// A state.json that cannot be read, or a generation gone back to that cannot be
// loaded, stops the start: rules that somebody took out must not come back unseen.
// An archive that cannot be written is an error in the log, and the rules go on.
//
// A guard (guard.go) compares the share of failed calls of a new generation with
// that of the old one in all its life. It goes back when at least ten calls failed
// for at least three clients, and only from what a change brought: not from the
// start, not from what was gone back to, not from what was forced.
//
// # Counters
//
// Each handler counts verdicts, errors and overruns, exactly, since its generation
// took over, and the times of its calls, by samples (times.go). The same times are
// the load of a world (busy.go); when all worlds are busy nearly all the time, the
// log and Worlds say what to do.
//
// # What runs, and what the folder holds
//
// Status says it, as do lunamq status and lunamq scripts; $SYS/broker/scripts has ok,
// generation, hash, disk_hash, error and files, retained; and the broker's registry
// the gauges lunamq_scripts_reload_ok (1 or 0), lunamq_scripts_generation,
// lunamq_scripts_hash and lunamq_scripts_disk_hash. Those two are the first 48 bits
// of the hashes, as numbers: equal where the folder is what runs.
//
// # When rules take too much
//
// Time: an event that has to wait for its world waits in a queue (waiting.go) that
// deals turns fairly by client, weighed by how long its calls held the world; one
// that comes rarely waits for the call under way, whatever others have queued. What
// is not connected yet shares one account by its address. At most Options.Queue
// (100 000) wait for one world, for Options.QueueTime (5 s) at most; what comes
// beyond falls to on_error, is counted as skipped, and logged with its client. A
// call that would find its world free pays one compare-and-swap for all that.
//
// Overruns: a handler that overran its budget or deadline five times in 10 s for
// one client is paused for that client; one that did ten times for three clients or
// more is paused for all (pause.go). Its events fall to on_error without a call: a
// guard with on_error "deny" refuses, and nobody can shut it off by provoking it.
// A pause is 10 s, the next one twice as long, up to 5 min. It is logged once, with
// the line, and shown in HandlerCounts and on $SYS/broker/scripts/paused. A reload
// ends it. The functions of timers are paused likewise.
//
// Waiting: all library calls of one call that wait take Options.WaitLimit (5 s)
// together. Passwords are checked by one processor fewer than there are, and their
// queue is fair by client too.
//
// Memory: what the variables of a world take is estimated (memory.go) every 10 s, or
// when the heap has grown by a quarter of Options.Memory (64 MiB); not at all while
// the whole process has less than the alarm level. It is told from 80 % on, on
// $SYS/broker/scripts/memory; from 100 % on the world is rebuilt of the same files.
//
// # Goroutines and locks
//
// watchLoop looks at the folder after hints and from time to time; drainLoop
// takes file events; guardLoop goes back; busyLoop measures the load, memoryLoop the
// memory; alarmLoop publishes what is wrong. Handlers run
// on the goroutines of the core, timers on one that lives while some of a
// generation are due.
//
// Lock order: Engine.loadMu (one load at a time) before a world's lock, before
// Engine.mu (the status). An event takes a world's lock only. The locks of
// timers, kv, limiters, vars, reports, guards and pauses are innermost; handover.mu is
// held around Register.
//
// # Where SCRIPT-API.md is silent
//
//   - A failed handler is undone whole, also with on_error "pass": a topic half
//     rewritten is nobody's intention. In unsubscribe of 3.x, which cannot be
//     refused, a failed handler passes.
//   - allow in subscribe is held against the filter as it was when the handler
//     began. subscribed and unsubscribed match by overlap too, without $share.
//   - A bound of limits that does not bind reads as math.huge, and is written so
//     or as "unlimited"; a rate of 0 is refused, for to the core it is no limit.
//   - Options of MQTT 5 that a handler may set for 3.x as well (no_local, …,
//     session_expiry) read as nil there until they are set.
//   - mqtt.kick says administrative_action unless told otherwise; its third
//     argument is {text=, always=}.
//   - What cannot be decoded or parsed (json, time, a malformed password hash)
//     is a script error; pcall makes it a value.
//   - A bucket's calls take a colon (b:get(k)), those of kv a dot.
//   - acked is not told of what the receiver refused by its reason code.
//     session_ended has a reason of "expired", "clean_start" or
//     "connection_ended".
//   - authenticate: the first answer of a handler stands, a later one may only
//     refuse. A reason is one of CONNACK's, also at a re-authentication, where
//     DISCONNECT carries what it has of them.
//   - packet: type is the packet's name ("PUBLISH"), direction "in" or "out". A
//     handler that fails lets the packet go on. Delays and copies of several
//     handlers add up; what of a connection is held back beyond the outbox's
//     bytes goes at once, and copies that are larger are not made. What is held
//     ends with the connection. A handler that publishes for each packet that
//     goes makes packets without end: nothing here stops it.
//   - A timer counts from when it was made, fires from when its generation takes
//     over, and never after. One that was missed does not fire twice to catch up.
//     Its function's results count for nothing. Timers made in a handler stay
//     when the handler fails later. At file scope they are made in the first
//     world, in the others the handle is inert.
//   - load refuses its set by failing, whatever on_error says; at a reload kv
//     keeps what it wrote. unload may run more than once, for its handover may
//     fail behind it: it reads, and changes nothing. An unload that failed or
//     overran keeps the old rules once, and is passed over at the next attempt:
//     else its set could never be replaced. Events that no old handler wants do
//     not wait, nor do those that only new ones want.
//   - A world that is rebuilt calls load with nil, as at a start, and makes the timers
//     of its file scope anew; those made in its handlers end. unload is not called:
//     what it would hand over is what grew too large.
//   - mqtt.client and clients show who is connected. Ids in mqtt.client, kick,
//     subscribe and unsubscribe are those within the mount of the event's client,
//     or full, mount and id. A filter given to subscribe lies within the mount of
//     the client it is for. Objects they return live as long as the call.
//   - bit takes -2^31 to 2^32-1 and returns 0 to 2^32-1. re takes the pattern
//     first; a match is a table, [0] the whole, a group that was left out false.
//     bytes.unpack returns the place behind the last value, from 1. The digests of
//     crypto are bytes; jwt_verify waits, and returns the claims, or nil and why
//     the token does not hold. Counters have inc, gauges set and add, histograms observe
//     and a list of upper bounds as a third argument; a metric is there when its
//     set takes over, and of one that another kind has replaced nothing is left.
//   - A durable bucket is one of Options.Durable; without, it is in memory, the
//     same as the one of its name that is not durable. Its values are read from
//     memory and stored behind the rule's back (durable.go), some milliseconds
//     after they were set.
//   - A rate limiter is known by its file and its number in it, and takes hold at
//     its first use: a set that is refused does not change the running rates.
//
// # Trying rules
//
// A trial (trial.go) is a generation that no broker asks: a world of rules with
// an empty kv, a clock that is moved by hand, and a Host that keeps what rules
// publish and whom they kick. Beside it stands a second world, the tester's, of
// the code that tries: a test (tests.go, tester.go, expect.go), or Try alone. An
// event is built of a table (builder.go, trial_event.go) and put to the very
// plans that a broker would ask; while they run, the tester's world is released.
// Each test has a trial of its own. The budget of instructions is that of the
// rules; the deadline is not, for it measures the machine. Where a trial is
// traced, plan.ask has each handler watched (trial_step.go); elsewhere that costs
// one compare with nil.
//
// Check (check.go) loads a set as a reload would, and lints its syntax trees
// (lint.go) with what a world really has: a lint is an error that a rule would
// meet, or a statement that does nothing.
//
// What a field is stands with it (field.doc), what a function is in docs.go.
// LuaTypes and Reference write down what is bound; TestEverythingIsDocumented
// and TestReferenceIsGenerated hold that nothing is missing or stale.
//
// # What a new event takes
//
// A row in events (event.go) and a file event_name.go with its fields and its
// hook; a row in trials (trial_event.go) and in eventDocs (docs.go), and go
// generate.
package scripting
