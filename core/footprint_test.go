package core

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// startBroker starts a broker on a TCP port of its own, until the test ends.
func startBroker(t *testing.T, o Options) (*Broker, string) {
	t.Helper()
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go b.Serve(Listener{Name: "test", Net: l})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := b.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return b, l.Addr().String()
}

// eventually waits, without a fixed time, until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(wirePatience); !cond(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func heapBytes() int64 {
	runtime.GC()
	runtime.GC() // what pools hold is gone after the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestNothingIsLeft: when all clients have gone, goroutines are back to the
// number at the start and the heap within 10 % or 1 MiB of it.
func TestNothingIsLeft(t *testing.T) { onDrivers(t, testNothingIsLeft) }

func testNothingIsLeft(t *testing.T, d Driver) {
	o := wireOptions()
	o.Driver = d
	b, addr := startBroker(t, o)
	crowd(t, b, addr, 20) // what is made once is made
	goroutines, before := runtime.NumGoroutine(), heapBytes()
	crowd(t, b, addr, 200)
	eventually(t, fmt.Sprintf("%d goroutines", goroutines), func() bool { return runtime.NumGoroutine() <= goroutines })
	after := heapBytes()
	if allowed := max(before/10, 1<<20); after-before > allowed {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	if b.metrics.Subscriptions.Load() != 0 || b.sessions.count.Load() != 0 || b.queuedCount.Load() != 0 || b.queuedBytes.Load() != 0 || b.pending.Load() != 0 {
		t.Errorf("left: %d subscriptions, %d sessions, %d messages of %d bytes, %d in the handshake", b.metrics.Subscriptions.Load(),
			b.sessions.count.Load(), b.queuedCount.Load(), b.queuedBytes.Load(), b.pending.Load())
	}
	if b.subs.Len() != 0 || b.shared.Len() != 0 {
		t.Errorf("left in the trees: %d, %d", b.subs.Len(), b.shared.Len())
	}
}

// crowd lets n clients connect, subscribe, publish, and leave in every way.
func crowd(t *testing.T, b *Broker, addr string, n int) {
	t.Helper()
	var clients sync.WaitGroup
	for i := range n {
		clients.Go(func() {
			if err := visit(addr, i); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	clients.Wait()
	eventually(t, "no connections", func() bool { return b.metrics.Connections.Load() == 0 && b.sessions.count.Load() == 0 })
}

func visit(addr string, i int) error {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	c := &wireConn{net: nc, in: bufio.NewReader(nc), version: 5}
	lines := []string{
		fmt.Sprintf("CONNECT id=c%d ka=60 will=w/%d:bye:q1", i, i),
		fmt.Sprintf("SUBSCRIBE id=1 f=t/%d:q1 f=t/+:q0 f=$share/g/t/#:q1", i),
	}
	if i%3 == 0 { // a session that is kept, and ended by a second visit
		lines[0] += " expiry=100"
	}
	for n := range 10 {
		lines = append(lines, fmt.Sprintf("PUBLISH topic=t/%d q=1 id=%d payload=%0100d", i, n+1, n))
	}
	switch i % 4 {
	case 0:
		lines = append(lines, "DISCONNECT expiry=0")
	case 1:
		lines = append(lines, "DISCONNECT code=4 expiry=0")
	case 2:
		lines = append(lines, "PINGRESP")
	}
	if i%3 != 0 && i%4 < 2 {
		lines[len(lines)-1] = "DISCONNECT"
	}
	for _, line := range lines {
		p, v, err := encodeLine(line, c.version)
		if err != nil {
			return err
		}
		c.version = v
		if _, err := nc.Write(p); err != nil {
			return err
		}
	}
	if i%4 == 3 { // leaves without a word
		if err := nc.(*net.TCPConn).CloseWrite(); err != nil {
			return err
		}
	}
	_ = nc.SetReadDeadline(time.Now().Add(wirePatience))
	if _, err := io.Copy(io.Discard, c.in); err != nil && !isReset(err) {
		return err
	}
	if i%3 == 0 {
		return leaveForGood(addr, i)
	}
	return nil
}

// isReset: the broker closed with bytes of ours unread, which TCP tells.
func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}

// leaveForGood ends a session that was kept.
func leaveForGood(addr string, i int) error {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	p, _, _ := encodeLine(fmt.Sprintf("CONNECT clean id=c%d", i), 5)
	p = append(p, 0xE0, 0x00)
	if _, err := nc.Write(p); err != nil {
		return err
	}
	_ = nc.SetReadDeadline(time.Now().Add(wirePatience))
	_, err = io.Copy(io.Discard, nc)
	return err
}

// TestShutdownLeavesNothing: after Shutdown no goroutine of the broker is left,
// whatever its clients were about.
func TestShutdownLeavesNothing(t *testing.T) { onDrivers(t, testShutdownLeavesNothing) }

func testShutdownLeavesNothing(t *testing.T, d Driver) {
	start := runtime.NumGoroutine()
	o := wireOptions()
	o.Driver = d
	o.SysInterval = time.Second
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go b.Serve(Listener{Name: "test", Net: l})
	for i := range 50 {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		p, _, _ := encodeLine(fmt.Sprintf("CONNECT id=c%d expiry=100 will=w:bye:q1:delay%d", i, i), 5)
		_, _ = nc.Write(p[:len(p)*(i%3)/2]) // nothing, half, all
	}
	eventually(t, "50 connections", func() bool { return b.metrics.Accepted.Load() == 50 && b.metrics.Connected.Load() == 16 })
	ctx, cancel := context.WithTimeout(t.Context(), wirePatience)
	defer cancel()
	if err := b.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, fmt.Sprintf("%d goroutines", start), func() bool { return runtime.NumGoroutine() <= start })
}

// TestCrowdOnTCP: a thousand sockets that send nothing hold neither a read
// buffer nor anybody up.
func TestCrowdOnTCP(t *testing.T) { onDrivers(t, testCrowdOnTCP) }

func testCrowdOnTCP(t *testing.T, d Driver) {
	o := wireOptions()
	o.Driver = d
	o.HandshakeTimeout = time.Hour
	b, addr := startBroker(t, o)
	crowd(t, b, addr, 20)
	before := heapBytes()
	const n = 1000
	for range n {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
	}
	eventually(t, "all are accepted", func() bool { return b.metrics.Connections.Load() == n })
	if each := (heapBytes() - before) / n; each > 4<<10 { // two ends of each socket are in this process
		t.Errorf("a silent connection costs %d bytes of heap", each)
	}
	if err := visit(addr, 1); err != nil {
		t.Error(err)
	}
}

// shakingConn is a connection with a handshake of its own before MQTT.
type shakingConn struct {
	net.Conn
	shake func(context.Context) error
	info  *TLSInfo
}

func (c *shakingConn) Handshake(ctx context.Context) error { return c.shake(ctx) }
func (c *shakingConn) TLSInfo() *TLSInfo                   { return c.info }

// TestHandshaker: the handshake before MQTT is under the one deadline, its
// failure closes, and what it found is told to connect hooks.
func TestHandshaker(t *testing.T) {
	fails := errors.New("no common cipher")
	for _, c := range []struct {
		name  string
		shake func(context.Context) error
		took  time.Duration // until the close; -1: accepted
	}{
		{"agreed", func(context.Context) error { return nil }, -1},
		{"failed", func(context.Context) error { return fails }, 0},
		{"never ends", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen *TLSInfo
				s := newStage(t, wireOptions(), connectFunc(func(ev *ConnectEvent) Decision { seen = ev.TLS; return Decision{} }))
				defer s.end()
				ours, theirs := net.Pipe()
				info := &TLSInfo{Version: "1.3"}
				s.l.conns <- &shakingConn{Conn: theirs, shake: c.shake, info: info}
				p := &peer{s: s, net: ours, version: 5}
				go p.readLoop()
				if c.took < 0 {
					p.send("CONNECT clean id=a")
					p.expect("CONNACK")
					if seen != info {
						t.Errorf("the connect hook saw %v", seen)
					}
					return
				}
				if c.took > 0 {
					time.Sleep(c.took - time.Millisecond)
					if p.isClosed() {
						t.Fatal("closed too early")
					}
					time.Sleep(time.Millisecond)
				}
				if !p.isClosed() {
					t.Error("not closed")
				}
			})
		})
	}
}

// brokenStore panics where it is told to.
type brokenStore struct {
	*MemoryStore
	broken atomic.Bool
}

func (b *brokenStore) Commit(batch *Batch, done Committed) bool {
	if b.broken.Swap(false) {
		panic("broken store")
	}
	return b.MemoryStore.Commit(batch, done)
}

// TestConnectionPanic: a panic while a packet is handled ends that connection
// and nothing else.
func TestConnectionPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &brokenStore{MemoryStore: NewMemoryStore()}
		o := wireOptions()
		o.Store = store
		s := newStage(t, o)
		defer s.end()
		s.connect("id=keeper expiry=100").send("SUBSCRIBE id=1 f=t:q1")
		p := s.connect("clean id=a")
		q := s.connect("clean id=b")
		store.broken.Store(true)
		p.send("PUBLISH topic=t q=1 id=1")
		p.expect("DISCONNECT code=0x80 reason=*")
		if !p.isClosed() {
			t.Error("not closed")
		}
		q.send("PUBLISH topic=t q=1 id=1")
		q.expect("PUBACK id=1")
		if s.b.metrics.Panics.Load() != 1 || s.b.metrics.Connected.Load() != 2 {
			t.Errorf("%d panics, %d connected", s.b.metrics.Panics.Load(), s.b.metrics.Connected.Load())
		}
	})
}

// TestByteByByte: a stream cut anywhere means the same.
func TestByteByByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, wireOptions())
		defer s.end()
		var stream bytes.Buffer
		for _, line := range []string{"CONNECT clean id=a", "SUBSCRIBE id=1 f=t:q1", "PUBLISH topic=t payload=hello q=1 id=1", "PINGREQ", "DISCONNECT"} {
			b, _, _ := encodeLine(line, 5)
			stream.Write(b)
		}
		whole := stream.Bytes()
		for size := 1; size <= len(whole); size++ {
			p := s.dial()
			for at := 0; at < len(whole); at += size {
				_, _ = p.net.Write(whole[at:min(at+size, len(whole))])
			}
			p.expect("CONNACK", "SUBACK id=1 codes=1", "PUBLISH topic=t payload=hello q=1 id=1", "PUBACK id=1", "PINGRESP")
			if !p.isClosed() {
				t.Fatalf("parts of %d bytes: not closed", size)
			}
		}
	})
}
