package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"lunamq/core/packet"
)

// loadWindow is how many messages one publisher has under way at most, the
// built-in receive maximum; loadAhead how many are not received yet, so that no
// receiver's queue overflows.
const (
	loadWindow = 100
	loadAhead  = 120
)

// loader publishes numbered messages as fast as they are acknowledged and
// received.
type loader struct {
	// Immutable:
	name    string
	qos     byte
	socket  *socket
	ledger  *ledger
	credits chan struct{} // one for each message that may be sent
	ids     chan uint16   // free packet identifiers
	stop    <-chan struct{}
	gone    chan struct{} // closed when the connection has ended
	ends    chan error    // gets why the broker ended the connection; nil: that is wrong
	loops   sync.WaitGroup

	// Owned by sendLoop while it runs:
	sent int

	mu sync.Mutex

	// Guarded by mu:
	out     *bufio.Writer
	pending []uint16 // identifiers that await PUBACK or PUBREC, in the order sent
	acked   int
	ending  bool // nothing is sent any more: that the connection ends is right

	creditMu sync.Mutex

	// Guarded by creditMu:
	got      map[string]int // by receiver: messages that came
	credited int            // the least of them
}

// newLoader connects a loader that will publish to load/<name> until stop, as
// fast as the slowest of its receivers, which are added before it runs.
func newLoader(t testing.TB, l *ledger, addr, name string, v packet.Version, qos byte, stop <-chan struct{}) *loader {
	t.Helper()
	p := &loader{
		name: name, qos: qos, ledger: l, stop: stop, socket: connectSocket(t, addr, v, name),
		credits: make(chan struct{}, loadAhead), ids: make(chan uint16, loadWindow), gone: make(chan struct{}),
		got: make(map[string]int),
	}
	p.out = bufio.NewWriterSize(p.socket.net, 8<<10)
	for range loadAhead {
		p.credits <- struct{}{}
	}
	for id := range loadWindow {
		p.ids <- uint16(id + 1)
	}
	return p
}

func (p *loader) run() {
	p.loops.Go(p.sendLoop)
	p.loops.Go(p.ackLoop)
}

// goodbye is a DISCONNECT from the broker, as an error.
type goodbye struct{ code packet.ReasonCode }

func (g goodbye) Error() string { return "DISCONNECT with " + g.code.String() }

// unexpected is a packet that the reader of a connection does not wait for.
func unexpected(v packet.Version, h packet.Header, b []byte) error {
	var d packet.Disconnect
	if h.Type == packet.DISCONNECT && d.Decode(v, h, b) == nil {
		return goodbye{d.Code}
	}
	return fmt.Errorf("%s came: % x", h.Type, firstBytes(b))
}

// received notes that a receiver has one more; when all of them have it, the
// loader may send one more.
func (p *loader) received(by string) {
	p.creditMu.Lock()
	defer p.creditMu.Unlock()
	p.got[by]++
	for _, n := range p.got {
		if n <= p.credited {
			return
		}
	}
	p.credited++
	p.credits <- struct{}{}
}

// wait returns how many messages were sent, when all of them are acknowledged.
func (p *loader) wait() int {
	p.loops.Wait()
	return p.sent
}

// sendLoop sends until stop, and disconnects when all is acknowledged.
func (p *loader) sendLoop() {
	for id, ok := p.slot(); ok; id, ok = p.slot() {
		payload := fmt.Appendf(nil, "%s %d", p.name, p.sent)
		m := packet.Publish{Topic: "load/" + p.name, QoS: p.qos, PacketID: id, Payload: payload}
		p.sent++
		p.mu.Lock()
		p.pending = append(p.pending, id)
		p.out.Write(m.Append(nil, p.socket.version)) // an error stays, and ends ackLoop
		p.mu.Unlock()
	}
	p.flush()
	for range loadWindow {
		select {
		case <-p.ids:
		case <-p.gone:
			return
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ending = true
	p.out.Write((&packet.Disconnect{}).Append(nil, p.socket.version))
	p.out.Flush()
}

// slot waits until a message may be sent; before it waits, what is buffered
// goes.
func (p *loader) slot() (id uint16, ok bool) {
	select {
	case <-p.stop:
		return 0, false
	case <-p.credits:
	default:
		p.flush()
		select {
		case <-p.credits:
		case <-p.stop:
			return 0, false
		case <-p.gone:
			return 0, false
		}
	}
	select {
	case id = <-p.ids:
		return id, true
	default:
		p.flush()
	}
	select {
	case id = <-p.ids:
		return id, true
	case <-p.gone:
		return 0, false
	}
}

func (p *loader) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.Flush() // an error stays, and ends ackLoop
}

// ackLoop takes the acknowledgements: none may refuse, and they come in the
// order of the messages [MQTT-4.6.0-2], [MQTT-4.6.0-3].
func (p *loader) ackLoop() {
	defer close(p.gone)
	for {
		h, b, err := p.socket.read()
		if err == nil {
			err = p.acknowledged(h, b)
		}
		if err != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			switch {
			case p.ending:
			case p.ends != nil:
				p.ends <- err
			default:
				p.ledger.fail(fmt.Errorf("publisher %s: %w", p.name, err))
			}
			return
		}
	}
}

func (p *loader) acknowledged(h packet.Header, b []byte) error {
	var ack packet.Ack
	if h.Type != packet.PUBACK && h.Type != packet.PUBREC && h.Type != packet.PUBCOMP {
		return unexpected(p.socket.version, h, b)
	}
	if err := ack.Decode(p.socket.version, h, b); err != nil {
		return err
	}
	if ack.Code != packet.Success {
		return fmt.Errorf("%s with %s", h.Type, ack.Code)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if h.Type != packet.PUBCOMP {
		if len(p.pending) == 0 || p.pending[0] != ack.PacketID {
			return fmt.Errorf("%s of %d is out of order", h.Type, ack.PacketID)
		}
		p.pending = p.pending[1:]
	}
	if h.Type == packet.PUBREC {
		p.out.Write((&packet.Ack{Type: packet.PUBREL, PacketID: ack.PacketID}).Append(nil, p.socket.version))
		p.out.Flush() // an error stays, and the next read tells why
		return nil
	}
	p.acked++
	p.ids <- ack.PacketID
	return nil
}

// receiver takes messages as fast as they come and holds them against a view.
type receiver struct {
	socket  *socket
	view    *view
	loaders map[string]*loader // told of what came; set before run
	ends    chan error         // gets why the broker ended the connection; nil: that is wrong
	again   bool               // messages may have DUP: the session is older than the connection
	loops   sync.WaitGroup
}

// receive subscribes with QoS 2.
func receive(t testing.TB, v *view, addr string, version packet.Version, filters ...string) *receiver {
	t.Helper()
	r := &receiver{socket: connectSocket(t, addr, version, v.name), view: v, loaders: make(map[string]*loader)}
	r.socket.subscribe(2, filters...)
	return r
}

// paces makes the receiver one that a loader waits for.
func (r *receiver) paces(p *loader) {
	r.loaders[p.name] = p
	p.got[r.view.name] = 0
}

// run receives until the connection ends.
func (r *receiver) run() {
	r.loops.Go(func() {
		for {
			h, b, err := r.socket.read()
			if err == nil {
				err = r.handle(h, b)
			}
			if errors.Is(err, net.ErrClosed) {
				return
			}
			switch {
			case err == nil:
				continue
			case r.ends != nil:
				r.ends <- err
			default:
				r.view.fail(fmt.Errorf("receiver %s: %w", r.view.name, err))
			}
			return
		}
	})
}

// close ends the receiver.
func (r *receiver) close() {
	r.socket.net.Close()
	r.loops.Wait()
}

func (r *receiver) handle(h packet.Header, b []byte) error {
	v := r.socket.version
	switch h.Type {
	case packet.PUBLISH:
		var m packet.Publish
		if err := m.Decode(v, h, b); err != nil {
			return err
		}
		if m.Dup && !r.again {
			return fmt.Errorf("%s came with DUP, on its first connection", m.Payload)
		}
		r.view.take(m.Payload)
		if p := r.loaders[strings.TrimPrefix(m.Topic, "load/")]; p != nil {
			p.received(r.view.name)
		}
		ack := packet.Ack{Type: packet.PUBACK, PacketID: m.PacketID}
		if m.QoS == 2 {
			ack.Type = packet.PUBREC
		}
		r.socket.write(ack.Append(nil, v)) // of an error the next read tells why
		return nil
	case packet.PUBREL:
		var rel packet.Ack
		if err := rel.Decode(v, h, b); err != nil {
			return err
		}
		r.socket.write((&packet.Ack{Type: packet.PUBCOMP, PacketID: rel.PacketID}).Append(nil, v))
		return nil
	}
	return unexpected(v, h, b)
}
