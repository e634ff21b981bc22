//go:build linux

package core

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// The poller driver, for plain TCP: an idle connection is a descriptor and its
// session, with no goroutine, no buffer and no net.Conn. One loop, the leader,
// waits in epoll and handles what is ready, in line; what was appended
// meanwhile is flushed once, at the end of the round. Sockets are
// registered once, edge-triggered: nothing is asked of epoll again while a
// connection goes about its business.
//
// A loop that is held up in one connection, by a rule that waits or runs long,
// or by very many receivers, is relieved by the watchdog: another goroutine
// takes what was ready and what is to be flushed, and leads on; the one that was
// held up ends with its connection. While that happens again and again, events that
// meet rules leave their loop before the rules are asked. A loop that always finds
// something ready gets a second one beside it, as long as there are processors.

// poller owns the epoll descriptor.
type poller struct {
	// Immutable:
	b    *Broker
	epfd int
	wake [2]int // a pipe: what is written ends the loops

	// Atomic:
	active   atomic.Int32 // loops that handle or wait
	closed   atomic.Bool
	watching atomic.Bool  // the watchdog runs
	wanted   atomic.Bool  // since it last looked
	cautious atomic.Int32 // ticks of the watchdog that rules are still taken for slow

	conns     descriptors
	listeners sync.Map // of descriptors to *pollListener

	mu sync.Mutex
	// Guarded by mu:
	loops  []*loop // active
	spare  []*loop // for reuse
	looked []*loop // the watchdog's, reused
	ended  sync.WaitGroup
}

// loop is one goroutine that waits in epoll and handles what is ready.
type loop struct {
	p *poller

	// Atomic:
	beats    atomic.Uint32 // connections and rounds handled
	waiting  atomic.Bool   // in epoll, for as long as it takes
	relieved atomic.Bool   // another goes on in its place

	flushes flushes

	mu sync.Mutex
	// Guarded by mu: what is ready and not handled yet
	events [readyEvents]syscall.EpollEvent
	next   int
	n      int

	// Owned by its goroutine:
	buf    []byte
	aside  time.Time // when it stepped aside before rules were asked
	eager  int       // how far waits have been short lately
	waits  int
	streak int // looked-at waits in a row that found something ready at once

	work  work          // what there was to do lately
	pause time.Duration // for so long it lets more come before the next round

	// Owned by the watchdog:
	lastBeats uint32
	still     bool // no beat at its last tick
}

// readyEvents is how many connections are taken from epoll at once: what they
// have to say is handled before anything is flushed, so a larger number saves
// writes under load and costs latency.
const readyEvents = 64

// loopBuffer is what a loop reads at most from one connection before it writes.
// It begins with a small buffer, until a read has filled that: while rules wait,
// each connection that is in one has a loop, and a thousand held 64 MiB.
const (
	loopBuffer  = 64 << 10
	firstBuffer = 4 << 10
)

// filled returns a buffer of full size for what follows a read that has filled one.
func (l *loop) filled() []byte {
	if len(l.buf) < loopBuffer {
		l.buf = make([]byte, loopBuffer)
	}
	return l.buf
}

// edgeTriggered is EPOLLET as epoll wants it.
const edgeTriggered = -syscall.EPOLLET & (1<<32 - 1)

// interest is what a socket is registered for. That it can be written to is asked
// for while it is full: epoll would tell it of each new connection.
func (s *pollSocket) interest() uint32 {
	if s.full.Load() {
		return syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | edgeTriggered
	}
	return syscall.EPOLLIN | syscall.EPOLLRDHUP | edgeTriggered
}

// hangup is what says that reading will find the end.
const hangup = syscall.EPOLLRDHUP | syscall.EPOLLHUP | syscall.EPOLLERR

func newPoller(b *Broker) (*poller, error) {
	epfd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	p := &poller{b: b, epfd: epfd}
	if err := syscall.Pipe2(p.wake[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		syscall.Close(epfd)
		return nil, err
	}
	ev := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(p.wake[0])}
	if err := syscall.EpollCtl(epfd, syscall.EPOLL_CTL_ADD, p.wake[0], &ev); err != nil {
		p.release()
		return nil, err
	}
	p.mu.Lock()
	p.startLocked(nil)
	p.mu.Unlock()
	return p, nil
}

// close ends the loops; no connection is left.
func (p *poller) close() {
	p.closed.Store(true)
	_, _ = syscall.Write(p.wake[1], []byte{0})
	p.ended.Wait()
	p.release()
}

func (p *poller) release() {
	syscall.Close(p.epfd)
	syscall.Close(p.wake[0])
	syscall.Close(p.wake[1])
}

// startLocked starts a loop; one that relieves another takes what is ready there.
func (p *poller) startLocked(relieves *loop) {
	var l *loop
	if n := len(p.spare); n > 0 {
		l, p.spare = p.spare[n-1], p.spare[:n-1]
	} else {
		l = &loop{p: p, buf: make([]byte, firstBuffer)}
	}
	l.relieved.Store(false)
	if relieves != nil {
		l.takeFrom(relieves)
	}
	l.aside = time.Time{}
	p.loops = append(p.loops, l)
	p.active.Add(1)
	p.ended.Add(1)
	go l.run(relieves)
}

// relieve lets another loop go on in the place of l, which is held up.
func (p *poller) relieve(l *loop) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dropLocked(l) {
		l.relieved.Store(true)
		p.startLocked(l)
	}
}

// dropLocked takes l out of the active loops; false if it is none.
func (p *poller) dropLocked(l *loop) bool {
	for i, x := range p.loops {
		if x == l {
			p.loops = append(p.loops[:i], p.loops[i+1:]...)
			p.active.Add(-1)
			return true
		}
	}
	return false
}

// run handles what is ready until the loop is not needed any more.
func (l *loop) run(relieves *loop) {
	defer l.p.ended.Done()
	if relieves != nil {
		relieves.flushes.flush()
	}
	for l.handleReady(); l.wait(); {
		l.handleReady()
		if l.pause > 0 {
			sleepNow(l.pause)
		}
	}
	p := l.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.spare) < maxSpareLoops {
		p.spare = append(p.spare, l)
	}
}

// maxSpareLoops bounds the loops, of up to 64 KiB each, that are kept for the next
// time one is held up.
const maxSpareLoops = 2

// takeFrom takes what another loop has not handled yet, before l may be relieved
// itself: it would keep what it took after that.
func (l *loop) takeFrom(other *loop) {
	other.mu.Lock()
	n := copy(l.events[:], other.events[other.next:other.n])
	other.next = other.n
	other.mu.Unlock()
	l.mu.Lock()
	l.next, l.n = 0, n
	l.mu.Unlock()
}

// wait takes from epoll what is ready; false ends the loop. Where others handle
// what is ready, it does not wait for more.
func (l *loop) wait() bool {
	p := l.p
	for {
		if l.relieved.Load() || p.closed.Load() {
			if !l.aside.IsZero() && time.Since(l.aside) > heldUpAfter {
				p.cautious.Store(slowFor)
			}
			return l.leave(true)
		}
		alone := p.active.Load() == 1
		n, err := 0, error(nil)
		if alone {
			l.waiting.Store(true)
			n, err = l.waitAlone()
			l.waiting.Store(false)
		} else {
			n, err = epollNow(p.epfd, l.events[:], 0)
		}
		switch {
		case n > 0:
			l.mu.Lock()
			l.next, l.n = 0, n
			l.mu.Unlock()
			return true
		case err != nil && err != syscall.EINTR:
			p.b.log.Error("epoll", "err", err) // does not happen with a descriptor of our own
			time.Sleep(time.Second)
		case !alone && !l.leave(false):
			return false
		}
	}
}

// A wait that is likely to be short is not told to the scheduler, which would
// watch it: with 5 000 messages a second that took a third of the broker's
// time, in threads that woke to find nothing to do. Others can have the
// processor again after shortWait; where there is only one, they need it sooner.
// While rules are taken for slow each wait is told: with a rule on one processor
// of two and a hidden wait on the other, Go looked for what had come on sockets of
// its own every 10 ms alone.
const (
	shortWait = 4 * time.Millisecond
	mostEager = 8
	lookEvery = 32 // waits
	looksBusy = 3 * time.Microsecond
	busyAfter = 64 // looks
)

func (l *loop) waitAlone() (n int, err error) {
	l.waits++
	look := l.waits%lookEvery == 0
	if l.eager <= 0 || l.p.cautious.Load() > 0 {
		began := time.Now()
		n, err = syscall.EpollWait(l.p.epfd, l.events[:], -1)
		took := time.Since(began)
		if took < shortWait && runtime.GOMAXPROCS(0) > 1 {
			l.eager = mostEager
		}
		if look {
			l.look(took)
		}
		return n, err
	}
	var began time.Time
	if look {
		began = time.Now()
	}
	n, err = epollNow(l.p.epfd, l.events[:], int(shortWait/time.Millisecond))
	if n == 0 {
		l.eager -= mostEager / 2
	} else if l.eager < mostEager {
		l.eager++
	}
	if look {
		l.look(time.Since(began))
	}
	return n, err
}

// look counts waits that did not wait: a loop that always finds something ready
// gets another beside it.
func (l *loop) look(took time.Duration) {
	if took > looksBusy {
		l.streak = 0
		return
	}
	if l.streak++; l.streak < busyAfter {
		return
	}
	l.streak = 0
	p := l.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.loops) < min(runtime.GOMAXPROCS(0), runtime.NumCPU()) && !l.relieved.Load() {
		p.startLocked(nil)
	}
}

// leave takes the loop out of the active ones, and ends it: always if it must,
// else if another is there to wait. It returns whether the loop goes on.
func (l *loop) leave(must bool) bool {
	p := l.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if !must && len(p.loops) == 1 {
		return true
	}
	p.dropLocked(l)
	return false
}

// handleReady handles what is ready, in one round.
func (l *loop) handleReady() {
	r := l.p.b.newRound()
	r.loop, r.flushes = l, &l.flushes
	events := 0
	for {
		l.mu.Lock()
		if l.next == l.n {
			l.mu.Unlock()
			break
		}
		ev := l.events[l.next]
		l.next++
		l.mu.Unlock()
		l.beats.Store(l.beats.Load() + 1)
		events++
		l.handle(r, ev)
	}
	l.beats.Store(l.beats.Load() + 1)
	l.beforeMany(l.flushes.len())
	flushes := l.flushes.len()
	r.flush()
	l.note(work{events: events, packets: int(r.counts.packetsReceived), sent: int(r.counts.packetsSent), flushes: flushes})
	r.loop = nil
	r.reset()
	rounds.Put(r)
}

func (l *loop) handle(r *round, ev syscall.EpollEvent) {
	if ev.Pad == listenerMark {
		if pl, ok := l.p.listeners.Load(ev.Fd); ok {
			pl.(*pollListener).accept()
		}
		return
	}
	if c := l.p.conns.get(int(ev.Fd)); c != nil {
		c.poll.ready(r, l.buf, ev.Events)
		r.settle()
	}
}

// A loop that is faster than its clients finds one or two messages a round, and
// spends its time on system calls: at 200 000 messages a second of ten
// publishers, four microseconds each. So while messages come fast, and several at a
// time from one client, which then does not wait for each, the loop lets more
// come between its rounds. Who sends one at a time is answered at once.
//
// What a few clients send without waiting, and spread over many receivers, leaves
// one or two messages for each of those, and a write costs ten times what a message
// does. There it waits for half of what its writes take: 200 000 filters of 200
// clients cost 4.3 µs a message without, 3.1 with it, at the same latency
// (lunamq bench filters).
const (
	gatherFor    = 50 * time.Microsecond // and what the kernel adds to it, about as much
	gatherRate   = 50                    // packets a millisecond, from which on it is worth it
	gatherEnough = 128                   // packets a round, from which on it is not
	loadRounds   = 16                    // between looks at the time
	loadFor      = time.Millisecond      // that a decision stands at least

	spreadFor     = 5 * time.Microsecond // for each receiver
	spreadMost    = time.Millisecond
	spreadSeveral = 32 // packets from one client, that does not wait for answers then
	spreadEnough  = 16 // packets for each receiver
)

// work is what a loop has had to do since began.
type work struct {
	began                                  time.Time
	rounds, events, packets, sent, flushes int
}

// gather is for how long the loop is to let more come after each round, when that
// was to do in some time.
func (w *work) gather(took time.Duration) (d time.Duration) {
	if w.packets <= gatherRate*int(took/time.Microsecond)/1000 || 4*w.packets <= 5*w.events {
		return 0
	}
	if w.packets < gatherEnough*w.rounds {
		d = gatherFor
	}
	if w.packets > spreadSeveral*w.events && w.sent < spreadEnough*w.flushes {
		d = max(d, min(spreadMost, spreadFor*time.Duration(w.flushes/w.rounds)))
	}
	return d
}

// note takes in a round and decides, now and then, whether to gather.
func (l *loop) note(round work) {
	w := &l.work
	w.rounds++
	w.events += round.events
	w.packets += round.packets
	w.sent += round.sent
	w.flushes += round.flushes
	if w.rounds%loadRounds != 0 {
		return
	}
	now := time.Now()
	took := now.Sub(w.began)
	if took < loadFor {
		return
	}
	l.pause = w.gather(took)
	*w = work{began: now}
}

// beforeHooks has the loop watched, and leaves its other connections to another
// while rules are taken for slow.
func (l *loop) beforeHooks() {
	l.watch()
	if l.p.cautious.Load() > 0 && !l.relieved.Load() {
		l.aside = time.Now()
		l.stepAside()
	}
}

// manyReceivers is how many a loop serves unseen: at a microsecond or two each it
// is not held up for longer than the watchdog looks away.
const manyReceivers = 1024

// beforeMany has the loop watched while a message goes to n receivers.
func (l *loop) beforeMany(n int) {
	if n > manyReceivers {
		l.watch()
	}
}

// stepAside leaves the loop's other connections to another.
func (l *loop) stepAside() {
	if !l.relieved.Load() {
		l.p.relieve(l)
	}
}

// descriptors finds a connection by its descriptor.
type descriptors struct {
	mu     sync.Mutex
	chunks atomic.Pointer[[]*descriptorChunk]
}

type descriptorChunk [1024]atomic.Pointer[conn]

func (d *descriptors) get(fd int) *conn {
	chunks := d.chunks.Load()
	if chunks == nil || fd/len(descriptorChunk{}) >= len(*chunks) {
		return nil
	}
	return (*chunks)[fd/len(descriptorChunk{})][fd%len(descriptorChunk{})].Load()
}

func (d *descriptors) set(fd int, c *conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var chunks []*descriptorChunk
	if old := d.chunks.Load(); old != nil {
		chunks = *old
	}
	if fd/len(descriptorChunk{}) >= len(chunks) {
		chunks = append([]*descriptorChunk(nil), chunks...)
		for fd/len(descriptorChunk{}) >= len(chunks) {
			chunks = append(chunks, new(descriptorChunk))
		}
		d.chunks.Store(&chunks)
	}
	chunks[fd/len(descriptorChunk{})][fd%len(descriptorChunk{})].Store(c)
}

// add begins to serve a connection.
func (p *poller) add(c *conn) {
	c.b.deadlines.set(c, c.b.o.HandshakeTimeout)
	if err := c.poll.enter(); err != nil {
		c.b.log.Error("epoll refused a connection", "addr", c.remote, "err", err)
		c.poll.refused()
	}
}

// init makes the socket c's.
func (s *pollSocket) init(c *conn, a arrival) {
	s.c, s.fd = c, int32(a.fd)
	c.out.sock, c.out.through = s, true
}

func closeDescriptor(fd int) { _ = syscall.Close(fd) }

// epollNow waits without telling the scheduler; a signal of the scheduler ends it.
func epollNow(epfd int, events []syscall.EpollEvent, milliseconds int) (int, error) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(epfd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(milliseconds), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// sleepNow sleeps without telling the scheduler; a signal of the scheduler ends it.
func sleepNow(d time.Duration) {
	t := syscall.NsecToTimespec(int64(d))
	_, _, _ = syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), 0, 0)
}
