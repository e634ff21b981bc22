package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"lunamq/core/packet"
)

// TestRoughClients: clients that do everything a network can do to a broker, over real
// sockets with small buffers, with rules that wait, on few and many processors
// and with both drivers; some brokers are ended in the middle of it. Well-behaved
// clients are served all the time, and nothing is left at the end.
func TestRoughClients(t *testing.T) {
	for driver, name := range map[Driver]string{DriverPoller: "poller", DriverGoroutine: "goroutine"} {
		for _, procs := range []int{1, 2, 8} {
			for _, ended := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %d processors, ended %v", name, procs, ended), func(t *testing.T) {
					defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
					stress(t, driver, ended)
				})
			}
		}
	}
}

func stress(t *testing.T, driver Driver, ended bool) {
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	o := wireOptions()
	o.Driver = driver
	o.OutboxBytes = 16 << 10
	o.WriteTimeout = 2 * time.Second
	o.Store = durableStore{NewMemoryStore()}
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	_ = b.Register("test",
		publishFunc(func(ev *PublishEvent) Decision {
			if len(ev.Message.Payload) > 0 && ev.Message.Payload[0] == 'w' {
				time.Sleep(time.Millisecond) // a rule that asks somebody
			}
			return Decision{}
		}),
		disconnectedFunc(func(ev *DisconnectedEvent) { time.Sleep(time.Millisecond / 4) }))
	l := listenTCP(t)
	served := make(chan error, 1)
	go func() { served <- b.Serve(Listener{Name: "test", Net: l}) }()
	stop := make(chan struct{})
	var good, bad sync.WaitGroup
	for i := range 2 {
		good.Go(func() {
			if err := behave(l.Addr().String(), i, stop); err != nil && !ended {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	for i := range 8 {
		bad.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 7))
			for range 15 {
				misbehave(l.Addr().String(), fmt.Sprintf("x%d", rnd.IntN(6)), rnd)
			}
		})
	}
	if ended {
		eventually(t, "the middle", func() bool { return b.metrics.Connects.Load() > 30 })
	} else {
		bad.Wait()
	}
	close(stop)
	if !ended {
		good.Wait()
		eventually(t, "no connections", func() bool { return b.metrics.Connections.Load() == 0 })
	}
	ctx, cancel := context.WithTimeout(context.Background(), wirePatience)
	defer cancel()
	if err := b.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	_ = l.Close() // if it was not served yet
	bad.Wait()
	good.Wait()
	if n, m, p := b.metrics.Connections.Load(), b.metrics.Connected.Load(), b.pending.Load(); n != 0 || m != 0 || p != 0 {
		t.Errorf("%d connections, %d connected, %d in the handshake", n, m, p)
	}
	if n := b.metrics.Panics.Load() + b.metrics.HookPanics.Load(); n != 0 {
		t.Errorf("%d panics", n)
	}
	eventually(t, fmt.Sprintf("%d goroutines", goroutines), func() bool { return runtime.NumGoroutine() <= goroutines })
	if n := openFiles(t); n > files+2 { // the runtime's own poller, once
		t.Errorf("%d files are open, %d at the start", n, files)
	}
}

// openFiles counts them, where the system tells.
func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(list)
}

// behave publishes to itself with QoS 2 and awaits each message, once.
func behave(addr string, i int, stop <-chan struct{}) error {
	w, err := netDial(addr)
	if err != nil {
		return err
	}
	defer w.net.Close()
	say := func(line string) error {
		p, _, err := encodeLine(line, packet.V5)
		if err == nil {
			_ = w.net.SetDeadline(time.Now().Add(wirePatience))
			_, err = w.net.Write(p)
		}
		return err
	}
	if err := errors.Join(say(fmt.Sprintf("CONNECT clean id=good%d", i)), say(fmt.Sprintf("SUBSCRIBE id=1 f=good/%d:q2", i))); err != nil {
		return err
	}
	for n := 0; ; n++ {
		if err := say(fmt.Sprintf("PUBLISH topic=good/%d q=2 id=%d payload=%d", i, n%100+1, n)); err != nil {
			return err
		}
		for done := 0; done < 2; { // it has come, and it has left
			p, err := w.read()
			if err != nil {
				return fmt.Errorf("message %d: %w", n, err)
			}
			h, _, _ := packet.ParseHeader(p)
			switch h.Type {
			case packet.PUBLISH:
				var in packet.Publish
				if err := in.Decode(packet.V5, h, p[h.HeaderLen:]); err != nil {
					return err
				}
				if string(in.Payload) != fmt.Sprint(n) {
					return fmt.Errorf("message %d: got %q", n, in.Payload)
				}
				_, err = w.net.Write((&packet.Ack{Type: packet.PUBREC, PacketID: in.PacketID}).Append(nil, packet.V5))
			case packet.PUBREC:
				_, err = w.net.Write((&packet.Ack{Type: packet.PUBREL, PacketID: uint16(n%100 + 1)}).Append(nil, packet.V5))
			case packet.PUBREL:
				_, err = w.net.Write(append([]byte{byte(packet.PUBCOMP) << 4, 2}, p[2:4]...))
				done++
			case packet.PUBCOMP:
				done++
			}
			if err != nil {
				return err
			}
		}
		select {
		case <-stop:
			return say("DISCONNECT")
		default:
		}
	}
}

// roughPatience is how long a client that does not care stays: windows of few
// bytes let through little.
const roughPatience = 300 * time.Millisecond

// misbehave is one connection of a client that does not care.
func misbehave(addr, id string, rnd *rand.Rand) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer nc.Close()
	tc := nc.(*net.TCPConn)
	_ = tc.SetReadBuffer(4 << 10)
	_ = tc.SetDeadline(time.Now().Add(roughPatience))
	lines := []string{"CONNECT id=" + id + []string{"", " clean", " expiry=100", " will=x/w:bye:q1"}[rnd.IntN(4)], "SUBSCRIBE id=1 f=x/+:q2 f=$share/g/x/#:q1"}
	payload := fmt.Sprintf("%0*d", 1+rnd.IntN(1000), 0)
	for i := range rnd.IntN(40) {
		lines = append(lines, fmt.Sprintf("PUBLISH topic=x/%d q=%d id=%d payload=%s%s", rnd.IntN(3), i%3, i+10, []string{"w", "p"}[rnd.IntN(2)], payload))
	}
	var stream []byte
	for _, line := range lines {
		p, _, err := encodeLine(line, packet.V5)
		if err != nil {
			panic(err)
		}
		stream = append(stream, p...)
	}
	if rnd.IntN(3) == 0 { // what lies in the middle of a packet at the end
		stream = stream[:rnd.IntN(len(stream))]
	}
	switch rnd.IntN(3) {
	case 0: // byte by byte, at first
		for len(stream) > 0 && rnd.IntN(200) > 0 {
			if _, err := nc.Write(stream[:1]); err != nil {
				return
			}
			stream = stream[1:]
		}
	case 1: // in two parts
		n := rnd.IntN(len(stream) + 1)
		if _, err := nc.Write(stream[:n]); err != nil {
			return
		}
		stream = stream[n:]
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = nc.Write(stream)
	}()
	switch rnd.IntN(5) {
	case 0: // gone, with everything unread
		_ = tc.SetLinger(0)
	case 1: // it says no more, and reads to the end
		<-written
		_ = tc.CloseWrite()
		_, _ = io.Copy(io.Discard, nc)
	case 2: // it reads a little and then nothing
		_, _ = io.CopyN(io.Discard, nc, int64(rnd.IntN(10_000)))
	case 3: // it reads slowly
		var small [64]byte
		for range rnd.IntN(100) {
			if _, err := nc.Read(small[:]); err != nil {
				break
			}
		}
	case 4: // it leaves as one should, maybe with something unread
		<-written
		_, _ = nc.Write([]byte{byte(packet.DISCONNECT) << 4, 0})
	}
	nc.Close()
	<-written
}
