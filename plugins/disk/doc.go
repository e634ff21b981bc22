// Package disk is the store that outlives the process: core.Store over
// github.com/cockroachdb/pebble/v2. It knows core and pebble, and nothing of
// clients or rules.
//
// # The way of a batch
//
//	any goroutine   commit goroutine                      answer goroutine
//	Commit ─► queue ─► encode ─► one log entry, one sync ─► Committed, in order
//	commit.go          write.go  commit.go                  commit.go
//
// Commit puts a batch into a queue and returns. One goroutine takes all that is
// queued, encodes it into one pebble batch and commits that with one sync: the
// longer a sync takes, the more share it. Another goroutine tells who waits, in
// the order of the commits, for what they then do may take long. The batches of
// one group are applied together or not at all.
//
// # What is on the disk
//
// key.go has the keys, record.go the checksum that every record carries,
// message.go and session.go the fields. A record's version is beside its
// checksum; the version of the whole lies in a file (format.go), and a store of a
// newer one is refused. In the store's folder lie
//
//	LOCK, pid            a second process is refused, and told by whom
//	format               the version of all of it
//	db/                  the database
//	db-TIME.damaged/     one that was damaged, as it was
//
// # When the disk fails
//
// A store that cannot write fails (fail.go): its database is left behind a gate
// (gate.go) that lets it change nothing any more, whatever is queued and what
// comes is refused at once, and the folder is opened anew when a trial write
// goes through and enough is free. What was acknowledged is on the disk. What
// was refused may be there, too, if the error came after it was written: it is
// then delivered once more after the next start. What the broker did meanwhile
// and could not store stays in its memory alone: a message that was delivered
// and acknowledged in that time is delivered again after a restart, a session
// that ended is back until its expiry. With less than Options.Reserve free the
// store does not fail: it refuses messages and values, and goes on storing that
// messages are settled and sessions end.
//
// # When a file is damaged
//
// Open reads every record but large payloads, and any damage leads to a salvage
// (salvage.go): each table and each log is read by itself, what is intact goes
// into a new database, and the damaged one is put aside as it is. Of a table
// whose index or footer is damaged nothing can be found, so tables are small
// (options.go, tableSize). A log that is all zeros, or garbage, looks as one after
// a power cut of which nothing was acknowledged: the store starts, and says so.
package disk
