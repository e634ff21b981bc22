package core

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lunamq/core/packet"
)

// pipeListener is a net.Listener of net.Pipe connections: a broker over it can
// live in virtual time.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// stage is a broker in virtual time; it is made inside a synctest bubble.
type stage struct {
	t *testing.T
	b *Broker
	l *pipeListener
}

func newStage(t *testing.T, o Options, hooks ...any) *stage {
	t.Helper()
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if len(hooks) > 0 {
		if err := b.Register("test", hooks...); err != nil {
			t.Fatal(err)
		}
	}
	s := &stage{t: t, b: b, l: newPipeListener()}
	go b.Serve(Listener{Name: "pipe", Net: s.l})
	return s
}

// end shuts the broker down; the bubble needs it.
func (s *stage) end() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.b.Shutdown(ctx); err != nil {
		s.t.Error(err)
	}
	synctest.Wait()
}

// peer is a client at the other end of a pipe. A goroutine takes all that comes.
type peer struct {
	s       *stage
	net     net.Conn
	version packet.Version

	mu     sync.Mutex
	got    []byte
	closed bool
}

func (s *stage) dial() *peer {
	ours, theirs := net.Pipe()
	s.l.conns <- theirs
	p := &peer{s: s, net: ours, version: packet.V5}
	go p.readLoop()
	return p
}

// connect dials and sends a CONNECT, which must be accepted.
func (s *stage) connect(line string) *peer {
	s.t.Helper()
	p := s.dial()
	p.send("CONNECT " + line)
	got := p.packets()
	if len(got) == 0 || packet.Type(got[0][0]>>4) != packet.CONNACK || got[0][3] != 0 {
		s.t.Fatalf("CONNECT %s: got % x", line, got)
	}
	return p
}

func (p *peer) readLoop() {
	buf := make([]byte, 4096)
	for {
		n, err := p.net.Read(buf)
		p.mu.Lock()
		p.got = append(p.got, buf[:n]...)
		p.closed = p.closed || err != nil
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// send sends a packet in the notation of packetline_test.go; that the other
// end is closed already is no failure.
func (p *peer) send(line string) {
	p.s.t.Helper()
	b, v, err := encodeLine(line, p.version)
	if err != nil {
		p.s.t.Fatalf("%s: %v", line, err)
	}
	p.version = v
	_, _ = p.net.Write(b)
}

// packets returns what came since it was last asked, when all is quiet.
func (p *peer) packets() (list [][]byte) {
	p.s.t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.got) > 0 {
		h, ok, err := packet.ParseHeader(p.got)
		if err != nil || !ok || h.Size > len(p.got) {
			p.s.t.Fatalf("not a packet: % x", p.got)
		}
		list = append(list, p.got[:h.Size])
		p.got = p.got[h.Size:]
	}
	return list
}

// expect holds that these packets came, and nothing else.
func (p *peer) expect(lines ...string) {
	p.s.t.Helper()
	got := p.packets()
	for i, line := range lines {
		if i >= len(got) {
			p.s.t.Fatalf("want %s, got nothing", line)
		}
		want, err := encodeExpected(line, p.version, got[i])
		if err != nil {
			p.s.t.Fatal(err)
		}
		if string(got[i]) != string(want) {
			p.s.t.Fatalf("got  % x  %s\nwant % x  %s", got[i], describePacket(got[i], p.version), want, line)
		}
	}
	if len(got) > len(lines) {
		p.s.t.Fatalf("more came than was expected: % x", got[len(lines):])
	}
}

// isClosed says whether the broker has closed the connection.
func (p *peer) isClosed() bool {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

func (p *peer) drop() {
	p.net.Close()
	synctest.Wait()
}

// diary is a set of hooks that writes down what it is told.
type diary struct {
	mu      sync.Mutex
	entries []string
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries = append(d.entries, fmt.Sprintf(format, args...))
}

func (d *diary) take() []string {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.entries
	d.entries = nil
	return list
}

func (d *diary) OnConnect(ev *ConnectEvent) Decision {
	d.note("connect %s", ev.ClientID)
	return Decision{}
}

func (d *diary) OnConnected(ev *ConnectedEvent) { d.note("connected %s", ev.Client.ID) }

func (d *diary) OnDisconnected(ev *DisconnectedEvent) {
	d.note("disconnected %s %s by %s will %q", ev.Client.ID, ev.Reason, ev.By, ev.Will)
}

func (d *diary) OnWill(ev *WillEvent) Decision {
	d.note("will %s %s", ev.Client.ID, ev.Reason)
	return Decision{}
}

func (d *diary) OnPublish(ev *PublishEvent) Decision {
	d.note("publish %s %s", ev.Message.Origin, ev.Message.Topic)
	return Decision{}
}
