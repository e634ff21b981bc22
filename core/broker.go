package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"lunamq/core/packet"
	"lunamq/core/topic"
)

// Broker is an MQTT broker. Make one with New, let others take part with
// Register, open its ways in with Serve, end it with Shutdown.
type Broker struct {
	// Immutable:
	o          Options
	log        *slog.Logger
	store      Store
	durable    bool // what the store keeps outlives the process: what waits may lie there alone
	stores     bool // there is a store
	subs       *topic.Filters[*session, *subscription]
	shared     *topic.Filters[string, *group] // by filter and group name
	retained   *retainedStore
	sys        *sys
	maxPayload int

	// Atomic:
	hooks        atomic.Pointer[hookTable]
	closing      atomic.Bool
	serving      sync.Once
	queuedBytes  atomic.Int64 // in memory: queued, in flight, left in outboxes
	spilledBytes atomic.Int64 // queued, in the store alone
	queuedCount  atomic.Int64
	pending      atomic.Int64  // connections in the handshake
	lives        atomic.Uint32 // of sessions, for the store
	mounts       atomic.Bool   // some session has had a mount

	metrics   Metrics
	registry  Registry
	values    Values
	sessions  sessions
	clock     clock
	deadlines clock // of the connections: handshake and keep alive

	told chan struct{} // closed when every client has been told that the broker ends

	registerMu sync.Mutex
	shareMu    sync.Mutex // membership of shared subscriptions

	mu sync.Mutex
	// Guarded by mu:
	listeners map[net.Listener]*listening
	conns     map[*conn]struct{}
	poller    *poller        // once a listener wants it; immutable after
	wait      sync.WaitGroup // for connections
	work      sync.WaitGroup // for goroutines that read the store
}

// listening is a listener that is served, with the count of its connections.
type listening struct {
	Listener
	count  atomic.Int64
	limits sharedLimits
	closed chan struct{} // by the broker
	close  func()        // what took the listener over; guarded by the broker's mu
}

// closesWith has close called when the broker closes its listeners; false if it has.
func (b *Broker) closesWith(here *listening, close func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	here.close = close
	return !b.closing.Load()
}

// sharedLimits remembers the limits of the last client.
type sharedLimits struct{ last atomic.Pointer[Limits] }

// share returns limits that are equal to l and may be kept: mostly those of the
// client before.
func (h *sharedLimits) share(l *Limits) *Limits {
	if last := h.last.Load(); last != nil && *last == *l {
		return last
	}
	mine := *l
	h.last.Store(&mine)
	return &mine
}

// New makes a broker and loads what its store has kept.
func New(o Options) (*Broker, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Store == nil {
		o.Store = noStore{}
	}
	b := &Broker{
		o: o, log: o.Log, store: o.Store,
		subs:       topic.NewFilters[*session, *subscription](),
		shared:     topic.NewFilters[string, *group](),
		retained:   newRetainedStore(),
		durable:    o.Store.Durable(),
		clock:      newClock(),
		deadlines:  newClock(),
		maxPayload: maxWirePacket,
		told:       make(chan struct{}),
		listeners:  make(map[net.Listener]*listening),
		conns:      make(map[*conn]struct{}),
	}
	_, without := o.Store.(noStore)
	b.stores = !without
	b.hooks.Store(&hookTable{})
	b.values.store = b.store
	b.sys = newSys(b)
	if err := b.restore(); err != nil {
		return nil, fmt.Errorf("load the store: %w", err)
	}
	if o.SysInterval > 0 {
		b.sys.run(o.SysInterval)
	}
	return b, nil
}

// Metrics returns the broker's counters.
func (b *Broker) Metrics() *Metrics { return &b.metrics }

// ErrClosed is returned by Serve when the broker has been ended.
var ErrClosed = errors.New("the broker is closed")

// Serve accepts connections until the broker ends, or the listener is closed;
// one of plain TCP is taken over, and ends with the broker alone.
func (b *Broker) Serve(l Listener) error {
	if l.Options == nil {
		l.Options = &b.o.Listener
	}
	here := &listening{Listener: l, closed: make(chan struct{})}
	b.mu.Lock()
	if b.closing.Load() {
		b.mu.Unlock()
		return ErrClosed
	}
	b.listeners[l.Net] = here
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.listeners, l.Net)
		b.mu.Unlock()
	}()
	b.serving.Do(b.armSessions)
	if polled, err := b.servePolled(here); polled {
		return err
	}
	for failures := 0; ; {
		nc, err := l.Net.Accept()
		if err == nil {
			failures = 0
			b.admit(here, arrival{net: nc, remote: remoteOf(nc)})
			continue
		}
		if b.closing.Load() || errors.Is(err, net.ErrClosed) {
			return ErrClosed
		}
		failures++
		time.Sleep(b.acceptFailed(here, err, failures))
	}
}

// acceptFailed says how long to wait before the next try: out of descriptors,
// most likely, it would burn a core (mosquitto #948).
func (b *Broker) acceptFailed(l *listening, err error, failures int) time.Duration {
	delay := min(5*time.Millisecond<<min(failures-1, 10), time.Second)
	b.log.Error("accept failed", "listener", l.Name, "err", err, "retry_in", delay.String())
	return delay
}

// arrival is a connection that was accepted, for one of the drivers.
type arrival struct {
	net    net.Conn // nil: the poller's
	fd     int
	remote string
	poller *poller
}

// refuse closes a connection that is not served.
func (a arrival) refuse() {
	if a.net != nil {
		go a.net.Close() // closing TLS may wait
		return
	}
	closeDescriptor(a.fd)
}

// admit starts a connection, or closes it at once if there are too many.
func (b *Broker) admit(l *listening, a arrival) {
	b.metrics.Accepted.Add(1)
	b.mu.Lock()
	full := len(b.conns) >= b.o.MaxConnections || l.count.Load() >= int64(l.Options.MaxConnections) || b.pending.Load() >= int64(b.o.MaxPending)
	if full || b.closing.Load() {
		b.mu.Unlock()
		b.metrics.Refused.Add(1)
		a.refuse()
		return
	}
	c := &conn{
		b: b, listener: l, remote: a.remote,
		maxPacket: int32(min(b.o.HandshakePacketSize, l.Options.MaxPacketSize)),
	}
	c.out.b = b
	if a.net != nil {
		c.out.sock = newNetSocket(&c.out, a.net)
	} else {
		c.poll.init(c, a)
	}
	if b.o.Packets {
		c.tap = newTap(c)
		c.out.staging = &staging{tap: c.tap}
	}
	b.conns[c] = struct{}{}
	l.count.Add(1)
	b.pending.Add(1)
	b.metrics.Connections.Add(1)
	b.wait.Add(1)
	b.mu.Unlock()
	if c.poll.isPolled() {
		a.poller.add(c)
		return
	}
	go c.serve()
}

func remoteOf(nc net.Conn) string {
	if a := nc.RemoteAddr(); a != nil && a.String() != "" && a.String() != "@" {
		return a.String()
	}
	return "local"
}

// forget is called at the end of a connection's goroutine.
func (b *Broker) forget(c *conn) {
	c.leaveHandshake()
	b.mu.Lock()
	delete(b.conns, c)
	b.mu.Unlock()
	c.listener.count.Add(-1)
	b.metrics.Connections.Add(-1)
	b.wait.Done()
}

// background starts a goroutine that Shutdown and Close wait for; false if the
// broker is being closed.
func (b *Broker) background(fn func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing.Load() {
		return false
	}
	b.work.Go(fn)
	return true
}

// sleep waits; false if the broker ends meanwhile.
func (b *Broker) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-b.told:
		return false
	}
}

// Shutdown ends the broker gracefully: no new connections, 0x8B to every
// client, then the wills, then the store. It returns when all connections are
// gone or ctx is done.
func (b *Broker) Shutdown(ctx context.Context) error {
	if b.closing.Swap(true) {
		return nil
	}
	b.closeListeners()
	b.sys.close()
	b.stopRetainedTimer()
	r := b.newRound()
	b.endAll(r)
	if !b.store.Durable() {
		b.sendDelayedWills(r)
	}
	b.commitNow(r)
	r.end()
	err := b.waitConns(ctx)
	b.clock.stop()
	b.deadlines.stop()
	b.work.Wait()
	if err == nil { // else some may be inside a hook that does not return
		b.closePoller()
	}
	return errors.Join(err, b.store.Close())
}

var shuttingDown = stop{reason: packet.ServerShuttingDown, text: "the broker is shutting down", by: ByBroker}

// endAll tells every client first and sends the wills after.
func (b *Broker) endAll(r *round) {
	why := shuttingDown
	var all []ended
	b.sessions.each(func(s *session) {
		c := s.conn.Load()
		if c == nil {
			return
		}
		c.posted.CompareAndSwap(nil, &why)
		if e, mine := c.release(r, why); mine {
			c.out.shut(c.lastPacketFor(why), b.o.ShutdownTimeout)
			all = append(all, e)
		}
	})
	close(b.told)
	for _, e := range all {
		b.finish(r, e)
		r.flush()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns { // those that were not accepted yet
		if c.posted.CompareAndSwap(nil, &why) {
			c.out.abort()
		}
	}
}

// sendDelayedWills sends the wills that wait: with a store that forgets, their
// sessions end with the process.
func (b *Broker) sendDelayedWills(r *round) {
	b.sessions.each(func(s *session) {
		s.mu.Lock()
		w := s.will
		s.will = nil
		s.mu.Unlock()
		if w != nil {
			b.sendDueWill(r, w)
		}
	})
}

func (b *Broker) closeListeners() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for l, here := range b.listeners {
		_ = l.Close()
		if here.close != nil {
			here.close()
		}
		close(here.closed)
	}
	clear(b.listeners)
}

func (b *Broker) waitConns(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		b.wait.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		b.abortAll()
		select {
		case <-done:
		case <-time.After(b.o.ShutdownTimeout): // one is inside a hook that does not return
		}
		return ctx.Err()
	}
}

func (b *Broker) abortAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		c.out.abort()
	}
}

// Close ends the broker at once: sockets are closed, no wills are sent.
func (b *Broker) Close() error {
	if b.closing.Swap(true) {
		return nil
	}
	b.closeListeners()
	b.sys.close()
	b.stopRetainedTimer()
	b.sessions.each(func(s *session) {
		s.mu.Lock()
		s.will = nil
		s.mu.Unlock()
	})
	close(b.told)
	b.abortAll()
	b.wait.Wait()
	b.clock.stop()
	b.deadlines.stop()
	b.work.Wait()
	b.closePoller()
	return b.store.Close()
}

func (b *Broker) closePoller() {
	b.mu.Lock()
	p := b.poller
	b.mu.Unlock()
	if p != nil {
		p.close()
	}
}
