// Package core is the broker: clients, sessions, routing, and the hooks by
// which others take part. It knows core/packet and core/topic and nothing else
// of ours; rules, ACLs, TLS, WebSocket and stores come to it through the
// interfaces in hook.go, listener.go and store.go.
//
// # The way of a message
//
//	reader of the publisher                                              receiver
//	serve ─► handlePublish ─► judge ─► retain ─► route ─► deliver ─► outbox ┄► socket
//	driver   publish          publish  retain    route    deliver    outbox
//
// A read brings bytes; feed (conn.go) cuts them into packets and handles each.
// A PUBLISH is decoded in place: its strings are lent from the read buffer until
// somebody keeps the message (message_keep.go). ACLs and rules judge it, what
// they changed is validated and authorised again; then it is immutable, is
// retained, and is handed to every receiver. What can go now is appended to the
// receiver's outbox, else it waits in the session's queue. The sender is
// answered last, through a FIFO of completions (ack.go), when the store has
// what it must keep. At the end of the round every outbox that was appended to
// is flushed once, by a write that does not block.
//
// # Goroutines
//
//   - one per connection reads (driver.go), and does all of the above;
//   - one per outbox whose socket did not take everything writes the rest, and
//     lives until the outbox is empty (outbox.go);
//   - one, briefly, when an outbox that had refused something is empty: it sends
//     what the session has kept back (session.onDrained);
//   - one per session asks deliver hooks while messages wait for them
//     (pump.go), so that a rule that waits holds up its receiver alone;
//   - one per session reads messages that lie in the store alone, while there is
//     something to read for (page.go);
//   - one per connection completes what a store has told of (ack.go), so that
//     the store, which tells from a goroutine of its own, waits for nobody;
//   - at most sixteen see to sessions that are due: a will, their end (clock.go);
//   - with Options.Packets one per outbox shows packet hooks what goes, while there
//     is something (tap.go), and delayed packets come beside the reader, one at a
//     time with it (tap.feeding, which is taken before all locks below);
//   - timers: keep alive and handshake of a connection, the next session that is
//     due, the next expiry of a retained message, changed vars, $SYS.
//
// # With a durable store
//
// What a store keeps is committed, and what was acknowledged is kept. Messages
// that wait lie in the store alone but for a window (spill.go), and are read
// back page by page (page.go). These orders make a crash harmless:
//
//   - a message leaves when it is kept (held.go), one of QoS 2 when its packet
//     identifier is too, and PUBREL when PUBREC is (pump.go): what a receiver
//     has heard of is never unknown;
//   - the identifiers under which messages of a session left are committed
//     under its lock, in their order (window.go), so that none overtakes;
//   - an acknowledgement of what came again on another connection waits for the
//     commit of what came first (publish.go);
//   - a session that ends is taken out of the store together with what others
//     get of it, and its name is free after that (session.go);
//   - retained messages reach the store as they are in memory at that moment (ack.go).
//
// # Locks, in the order in which they may be taken
//
//	completions.mu → session.mu → sessionShard.mu → Broker.mu, Broker.shareMu →
//	group.mu → retainedStore.mu, retainedStore.commit → the trees' own locks →
//	outbox.mu, held.mu, clock.mu
//
// That a session is, or is no more, is stored under its own lock (restore.go),
// so that the store hears of it in the order in which it happened.
//
// No lock is held while a hook is asked or told. A session's connection is the
// one in session.owner; whoever clears that ends the connection, once.
package core
