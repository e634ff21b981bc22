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
// is flushed once, by a write that does not block; a large payload goes at once,
// from where it was read to (outbox.flushWithLocked).
//
// # Goroutines
//
//   - of the poller (poller.go), one loop waits in epoll for all plain TCP on
//     Linux, reads, and does all of the above for each connection that is ready;
//     more are there while one always finds something ready, and in place of each
//     that is held up (see below);
//   - the poller's watchdog, which lives while rules are asked or very many
//     receivers served, and relieves loops that do not get on;
//   - of the goroutine driver (driver.go), for all else, one per connection reads,
//     and does all of the above;
//   - of the goroutine driver, one per outbox whose socket did not take everything
//     writes the rest, and lives until the outbox is empty (netsocket.go); the
//     poller's loops write it when epoll says that the socket takes more;
//   - one, briefly, when an outbox that had refused something is empty: it sends
//     what the session has kept back (session.onDrained);
//   - one per session asks deliver hooks while messages wait for them
//     (pump.go), so that a rule that waits holds up its receiver alone;
//   - one per session reads messages that lie in the store alone, while there is
//     something to read for (page.go);
//   - one per connection completes what a store has told of (ack.go), so that
//     the store, which tells from a goroutine of its own, waits for nobody;
//   - at most sixteen see to sessions that are due, a will, their end, and as many
//     to connections that are, the end of the handshake or keep alive (clock.go);
//   - with Options.Packets one per outbox shows packet hooks what goes, while there
//     is something (tap.go), and delayed packets come beside the reader, one at a
//     time with it (tap.feeding, which is taken before all locks below);
//   - timers: the next session and the next connection that are due, a socket of
//     the poller that is full or half closed, a listener that is out of descriptors,
//     the next expiry of a retained message, changed vars, $SYS.
//
// # The poller
//
// A socket is in epoll from accept to its end, edge-triggered: an event is told
// once. So whoever stops before there is nothing left sees to it that somebody
// looks again:
//
//   - who reads has the socket's turn (pollsocket.go). Whoever is told of more
//     meanwhile leaves a note, and who gives the turn up has epoll tell again;
//     so does who reads no further because it is the others' turn;
//   - a reader that pauses, while the client does not take what it is sent or the
//     store what it sends, says so and looks once more; whoever makes room looks
//     whether it has paused, and has epoll tell again;
//   - a socket that is full is said to be, and then epoll is asked once more;
//   - a socket that is closed is shut down, of which epoll tells; its descriptor is
//     closed by who has the turn, under the outbox's lock. An event that was meant
//     for the one before of its number finds nothing to do.
//
// What a loop does must not wait. Rules may: they are asked through a round that
// knows its loop (round.beforeHooks), so that the watchdog looks; and whatever
// waits for a lock that rules may hold, or for the store, leaves the loop's other
// connections to another first (round.mayWait). A loop that was relieved keeps its
// connection, its round and its buffer to the end of what it was doing, and ends.
//
// # With a durable store
//
// What a store keeps is committed, and what was acknowledged is kept. Messages
// that wait lie in the store alone but for a window (spill.go), and are read
// back page by page (page.go). These orders make a crash harmless:
//
//   - CONNACK, and all behind it, leaves when the session it speaks of is kept
//     (cork.go), or the end of the one before;
//   - a message leaves when it is kept (held.go), one of QoS 2 when its packet
//     identifier is too, and PUBREL when PUBREC is (pump.go): what a receiver
//     has heard of is never unknown;
//   - the identifiers under which messages of a session left are committed
//     under its lock, in their order (window.go), so that none overtakes;
//   - an acknowledgement of what came again on another connection waits for the
//     commit of what came first (publish.go);
//   - a session that ends is taken out of the store together with what others
//     get of it, and its name is free after that (session.go); what comes of it
//     later is of another life than the next session (Op.Life);
//   - retained messages reach the store as they are in memory at that moment (ack.go).
//
// # Locks, in the order in which they may be taken
//
//	completions.mu → session.mu → sessionShard.mu → Broker.mu, Broker.shareMu →
//	group.mu → retainedStore.mu, retainedStore.commit → the trees' own locks →
//	outbox.mu, held.mu, clock.mu → flushes.mu, descriptors.mu
//
// and Broker.mu → pollListener.mu, poller.mu → loop.mu, in which no other is taken.
//
// That a session is, or is no more, is stored under its own lock (restore.go),
// so that the store hears of it in the order in which it happened.
//
// No lock is held while a hook is asked or told. A session's connection is the
// one in session.owner; whoever clears that ends the connection, once.
package core
