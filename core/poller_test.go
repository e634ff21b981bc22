//go:build linux

package core

import (
	"net"
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
