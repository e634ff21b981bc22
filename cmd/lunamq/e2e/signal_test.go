package e2e

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"lunamq/core/packet"
)

// wakeRules log the wills that are sent, for nobody is there to receive them.
const wakeRules = `mqtt.on("will", function(msg)
  log.info("the will of " .. msg.client.id, { because = msg.reason })
end)
`

// TestSignalTerm ends the program while publishers of 3.1.1 and 5 run at full
// speed: clients of 5 are told 0x8B (4.13.1), all wills are sent, those with a
// delay too, and the program exits with 0; no message comes twice, refused or
// out of order.
func TestSignalTerm(t *testing.T) {
	const publishers, mourned = 10, 6
	p := start(t, setup{config: roomy, rules: map[string]string{"10-wills.lua": wakeRules}})
	addr, l := p.addr("local"), newLedger()
	stop := make(chan struct{})
	defer close(stop)
	var names []string
	for i := range publishers {
		names = append(names, fmt.Sprintf("p%d", i))
	}
	all := receive(t, l.view("all", names...), addr, packet.V5, "load/#")
	all.ends = make(chan error, 1)
	var loaders []*loader
	for i, name := range names {
		one := newLoader(t, l, addr, name, packet.V311+packet.Version(i%2), byte(1+i%4/2), stop)
		one.ends = make(chan error, 1)
		all.paces(one)
		loaders = append(loaders, one)
	}
	for i := range mourned {
		mortal(t, addr, i)
	}
	all.run()
	for _, one := range loaders {
		one.run()
	}
	l.awaitMore(t, 500)

	p.signal(syscall.SIGTERM)
	checkEnd(t, "the receiver", packet.V5, <-all.ends)
	for _, one := range loaders {
		checkEnd(t, one.name, one.socket.version, <-one.ends)
		if sent := one.wait(); one.acked > sent {
			t.Errorf("%s: %d of %d messages acknowledged", one.name, one.acked, sent)
		}
	}
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for i := range mourned {
		if i%4 == 1 { // on disk, until it is due
			continue
		}
		p.waitFor(fmt.Sprintf(`msg="the will of mortal-%d"`, i))
	}
	l.await(t, "no error", func() bool { return true })
}

// mortal connects a client with a will, every other one with a delay and a
// session that would outlive its connection.
func mortal(t *testing.T, addr string, i int) {
	t.Helper()
	c := packet.Connect{Version: packet.V311 + packet.Version(i%2), ClientID: fmt.Sprintf("mortal-%d", i), CleanStart: true, HasWill: true}
	c.Will = packet.Will{Topic: "wills", Payload: []byte("gone"), QoS: byte(i % 3)}
	if i%4 == 1 {
		c.Props.Set(packet.SessionExpiry)
		c.Props.SessionExpiry = 3600
		c.Will.Props.Set(packet.WillDelay)
		c.Will.Props.WillDelay = 1800
	}
	openSocket(t, addr).connect(&c)
}

// checkEnd holds that a connection was ended as its version can be told.
func checkEnd(t *testing.T, name string, v packet.Version, err error) {
	t.Helper()
	var bye goodbye
	switch told := errors.As(err, &bye); {
	case v == packet.V5 && (!told || bye.code != packet.ServerShuttingDown):
		t.Errorf("%s was told %v, not 0x8B", name, err)
	case v != packet.V5 && told:
		t.Errorf("%s, of %s, was sent a %v", name, v, err)
	}
}
