//go:build linux

package core

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"lunamq/core/packet"
)

// TestEndHoldsUpNobody: a rule that is told that a connection has ended, and
// waits, holds up nobody else, however the connection ends.
func TestEndHoldsUpNobody(t *testing.T) {
	for name, end := range map[string]func(*tcpClient){
		"closed":     func(c *tcpClient) { c.net.Close() },
		"reset":      func(c *tcpClient) { c.net.(*net.TCPConn).SetLinger(0); c.net.Close() },
		"half":       func(c *tcpClient) { c.net.(*net.TCPConn).CloseWrite() },
		"disconnect": func(c *tcpClient) { c.send("DISCONNECT") },
		"malformed":  func(c *tcpClient) { c.write([]byte{0, 0}) },
	} {
		t.Run(name, func(t *testing.T) {
			b, addr := startBroker(t, wireOptions())
			told, gate := make(chan struct{}), make(chan struct{})
			t.Cleanup(func() { close(gate) })
			_ = b.Register("test", disconnectedFunc(func(ev *DisconnectedEvent) {
				if ev.Client.ID == "a" {
					close(told)
					<-gate
				}
			}))
			other := dialTCP(t, addr, "clean id=b")
			end(dialTCP(t, addr, "clean id=a"))
			<-told
			other.ping()
			dialTCP(t, addr, "clean id=c").ping()
		})
	}
}

// ping has the broker answer.
func (c *tcpClient) ping() {
	c.t.Helper()
	c.net.SetReadDeadline(time.Now().Add(wirePatience))
	c.send("PINGREQ")
	if got := c.next(); got[0]>>4 != byte(packet.PINGRESP) {
		c.t.Fatalf("got % x for a PINGREQ", got)
	}
}

// TestDelayedHoldUpNobody: while rules wait in a packet that was delayed, what
// its client sends next waits, and nobody else does.
func TestDelayedHoldUpNobody(t *testing.T) {
	o := wireOptions()
	o.Packets = true
	b, addr := startBroker(t, o)
	asked, gate := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(gate) })
	_ = b.Register("test", packetFunc(func(ev *PacketEvent) Decision {
		if ev.Type == packet.PUBLISH && ev.Direction == PacketIn {
			ev.Delay = time.Millisecond
		}
		return Decision{}
	}), publishFunc(func(*PublishEvent) Decision {
		close(asked)
		<-gate
		return Decision{}
	}))
	other := dialTCP(t, addr, "clean id=b")
	a := dialTCP(t, addr, "clean id=a")
	a.send("PUBLISH topic=t")
	<-asked
	eventually(t, "the watchdog rests", func() bool { return !b.poller.watching.Load() })
	a.send("PINGREQ")
	a.send("PINGREQ")
	for range 3 {
		other.ping()
	}
	dialTCP(t, addr, "clean id=c").ping()
}

// TestWatchdogIsNotMissed: a watchdog that is about to rest goes on if it was
// wanted since it last looked: who wanted it saw it running.
func TestWatchdogIsNotMissed(t *testing.T) {
	p := &poller{}
	p.watching.Store(true)
	(&loop{p: p}).watch()
	if p.rest() || !p.watching.Load() {
		t.Error("it rests, and is wanted")
	}
	p.wanted.Store(false)
	if !p.rest() || p.watching.Load() {
		t.Error("it does not rest")
	}
}

// TestListenerIsClosed: when Shutdown or Close is back, the port is free, and no
// descriptor is left, however early it was called.
func TestListenerIsClosed(t *testing.T) {
	before := descriptorsOpen(t)
	for i := range 200 {
		b, err := New(wireOptions())
		if err != nil {
			t.Fatal(err)
		}
		l := listenTCP(t)
		served := make(chan error, 1)
		go func() { served <- b.Serve(Listener{Name: "test", Net: l}) }()
		if i%2 == 0 {
			c := dialTCP(t, l.Addr().String(), "clean id=a")
			c.ping()
			c.net.Close()
		}
		if i%4 < 2 {
			err = b.Close()
		} else {
			err = b.Shutdown(context.Background())
		}
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 1 {
			_ = l.Close() // of one that was not served yet
		}
		again, err := net.Listen("tcp", l.Addr().String())
		if err != nil {
			t.Fatalf("the port is not free: %v", err)
		}
		again.Close()
		if err := <-served; err != ErrClosed {
			t.Fatalf("served: %v", err)
		}
	}
	if after := descriptorsOpen(t); after > before+20 { // of one broker there are four
		t.Errorf("%d descriptors, %d at the start", after, before)
	}
}

func descriptorsOpen(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestAcceptPauses: out of descriptors, the listener tries again after a pause,
// however many clients come meanwhile, and then serves them.
func TestAcceptPauses(t *testing.T) {
	const clients = 100
	o := wireOptions()
	log := new(countingLog)
	o.Log = slog.New(log)
	_, addr := startBroker(t, o)
	dialTCP(t, addr, "clean id=a").ping()
	to, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	fds := make([]int, clients)
	for i := range fds {
		if fds[i], err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(fds[i])
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := syscall.Rlimit{Cur: 3, Max: limit.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	began := time.Now()
	for _, fd := range fds {
		if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a failure", func() bool { return log.n.Load() > 0 })
	for log.n.Load() < 4 && time.Since(began) < wirePatience { // 5, 10, 20, 40 ms
		runtime.Gosched()
	}
	failures, took := log.n.Load(), time.Since(began)
	if most := 2 + math.Log2(1+float64(took/(5*time.Millisecond))); float64(failures) > most {
		t.Errorf("%d attempts within %s", failures, took)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	for i, fd := range fds {
		hello, _, err := encodeLine(fmt.Sprintf("CONNECT clean id=c%d", i), packet.V5)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := syscall.Write(fd, hello); err != nil {
			t.Fatal(err)
		}
		if n, err := syscall.Read(fd, hello); err != nil || n == 0 || hello[0]>>4 != byte(packet.CONNACK) {
			t.Fatalf("client %d read %d, %v", i, n, err)
		}
	}
}

// countingLog counts errors.
type countingLog struct {
	slog.Handler
	n atomic.Int64
}

func (*countingLog) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelError
}

func (l *countingLog) Handle(context.Context, slog.Record) error {
	l.n.Add(1)
	return nil
}

// TestManyReceiversHoldUpNobody: while a message goes to very many receivers, the
// other clients are served.
func TestManyReceiversHoldUpNobody(t *testing.T) {
	b, addr := startBroker(t, wireOptions())
	for i := range manyReceivers + 1 {
		c := dialTCP(t, addr, fmt.Sprintf("id=r%d expiry=1000", i), "SUBSCRIBE id=1 f=t")
		c.net.Close()
	}
	asked, gate := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(gate) })
	_ = b.Register("test", wantsFunc(func(topic string) bool {
		if topic == "t" {
			close(asked)
			<-gate
		}
		return false
	}))
	other, p := dialTCP(t, addr, "clean id=b"), dialTCP(t, addr, "clean id=a")
	p.send("PUBLISH topic=t")
	<-asked
	other.ping()
}

// wantsFunc wants no message.
type wantsFunc func(topic string) bool

func (f wantsFunc) WantsDeliver(topic string) bool { return f(topic) }
func (wantsFunc) OnDeliver(*DeliverEvent) Decision { return Decision{} }

// TestLateHandshakeTimeout: the end of the handshake that was due, and is seen to
// when the client has been accepted meanwhile, ends nothing.
func TestLateHandshakeTimeout(t *testing.T) {
	for _, line := range []string{"clean id=a", "clean id=a ka=60"} {
		b, addr := startBroker(t, wireOptions())
		c := dialTCP(t, addr, line)
		b.lookup("", "a").onDue()
		c.ping()
		if b.Client("", "a") == nil {
			t.Errorf("%s: ended", line)
		}
	}
}

// TestOneProcessor: a loop does not keep the only processor while it waits.
func TestOneProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	b, err := New(wireOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	p, err := newPoller(b)
	if err != nil {
		t.Fatal(err)
	}
	p.close()
	if p.epfd, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(p.epfd)
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fds[0])
	defer syscall.Close(fds[1])
	ready := syscall.EpollEvent{Events: syscall.EPOLLOUT}
	if err := syscall.EpollCtl(p.epfd, syscall.EPOLL_CTL_ADD, fds[0], &ready); err != nil {
		t.Fatal(err)
	}
	l := &loop{p: p}
	for range 100 { // so that some are short, however busy the machine is
		if n, err := l.waitAlone(); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if l.eager != 0 {
			t.Fatal("it waits unseen")
		}
	}
}

// TestManyInRules: clients whose rules wait, all at once, take little memory each.
func TestManyInRules(t *testing.T) {
	const clients = 300
	b, addr := startBroker(t, wireOptions())
	gate := make(chan struct{})
	var asked sync.WaitGroup
	asked.Add(clients)
	_ = b.Register("test", publishFunc(func(*PublishEvent) Decision {
		asked.Done()
		<-gate
		return Decision{}
	}))
	var all []*tcpClient
	for i := range clients {
		all = append(all, dialTCP(t, addr, fmt.Sprintf("clean id=c%d", i)))
	}
	before := heapBytes()
	for _, c := range all {
		c.send("PUBLISH topic=t")
	}
	asked.Wait()
	if each := (heapBytes() - before) / clients; each > 24<<10 {
		t.Errorf("%d bytes each", each)
	}
	close(gate)
	for _, c := range all {
		c.ping()
	}
}
