//go:build linux

package core

import (
	"io"
	"net"
	"testing"
	"time"

	"lunamq/core/packet"
)

// TestSlowRulesAreRemembered: while rules are slow, who meets none goes on, and that
// they are is not forgotten though their events leave the loop before it is held up.
func TestSlowRulesAreRemembered(t *testing.T) {
	b, addr := startBroker(t, wireOptions())
	asked, release := make(chan struct{}), make(chan struct{})
	if err := b.Register("slow", publishFunc(func(*PublishEvent) Decision {
		asked <- struct{}{}
		<-release
		return Decision{}
	})); err != nil {
		t.Fatal(err)
	}
	slow, other := dialPolled(t, addr, "slow"), dialPolled(t, addr, "other")
	m := packet.Publish{Topic: "t", QoS: 1, PacketID: 1}
	ping := func() { other.exchange([]byte{0xC0, 0}, 2) }
	b.mu.Lock()
	p := b.poller
	b.mu.Unlock()

	const known = 100 // ticks: rules are known to be slow, for a while
	p.cautious.Store(known)
	slow.exchange(m.Append(nil, packet.V311), 0)
	<-asked
	for began := time.Now(); time.Since(began) < 2*heldUpAfter; {
		ping()
	}
	release <- struct{}{}
	slow.exchange(nil, 4)
	eventually(t, "rules are still taken for slow", func() bool { return p.cautious.Load() > known })
}

type polled struct {
	t   *testing.T
	net net.Conn
}

func dialPolled(t *testing.T, addr, id string) polled {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	c := polled{t, nc}
	connect := packet.Connect{Version: packet.V311, ClientID: id, CleanStart: true}
	c.exchange(connect.Append(nil), 4)
	return c
}

// exchange writes, and reads an answer of n bytes.
func (c polled) exchange(request []byte, n int) {
	c.t.Helper()
	_ = c.net.SetDeadline(time.Now().Add(wirePatience))
	if _, err := c.net.Write(request); err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.ReadFull(c.net, make([]byte, n)); err != nil {
		c.t.Fatal(err)
	}
}
