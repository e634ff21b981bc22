package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"lunamq/core/packet"
)

// keepAlive is as long as it can be, in seconds: idle clients are to do nothing.
const keepAlive = 65535

// client is one connection to the broker.
type client struct {
	id      string
	version packet.Version
	conn    net.Conn
	rest    []byte // read behind the last packet that receive returned
	window  int    // the broker's receive maximum
}

// connect opens a connection and waits for CONNACK.
func (r *run) connect(ctx context.Context, id string, number int) (*client, error) {
	conn, err := r.dialer.dial(ctx, number)
	if err != nil {
		return nil, fmt.Errorf("client %s: %w", id, err)
	}
	c := &client{id: id, version: r.o.Version, conn: conn, window: maxWindow}
	if err := c.handshake(&r.o); err != nil {
		conn.Close()
		return nil, c.failed(err)
	}
	return c, nil
}

func (c *client) failed(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the broker closed the connection")
	}
	return fmt.Errorf("client %s: %w", c.id, err)
}

func (c *client) handshake(o *Options) error {
	if err := c.conn.SetDeadline(time.Now().Add(o.Timeout)); err != nil {
		return err
	}
	p := packet.Connect{Version: o.Version, ClientID: c.id, CleanStart: o.Clean, KeepAlive: keepAlive,
		HasUsername: o.Username != "", Username: o.Username, HasPassword: o.Password != "", Password: []byte(o.Password)}
	if !o.Clean && o.Version >= packet.V5 { // else the session ends with the connection (3.1.2.11.2)
		p.Props.Set(packet.SessionExpiry)
		p.Props.SessionExpiry = uint32(time.Hour / time.Second)
	}
	if _, err := c.conn.Write(p.Append(nil)); err != nil {
		return err
	}
	h, body, err := c.receive()
	if err != nil {
		return err
	}
	if h.Type != packet.CONNACK {
		return fmt.Errorf("the broker answers CONNECT with %s", h.Type)
	}
	var ack packet.Connack
	if err := ack.Decode(c.version, h, body); err != nil {
		return err
	}
	if ack.Code != packet.Success {
		return refused(c.version, &ack)
	}
	if ack.Props.Has(packet.ReceiveMaximum) {
		c.window = min(c.window, int(ack.Props.ReceiveMaximum))
	}
	return c.conn.SetDeadline(time.Time{})
}

// returnCodes are those of 3.1.1, table 3.1.
var returnCodes = [...]string{1: "unacceptable protocol version", 2: "identifier rejected", 3: "server unavailable", 4: "bad user name or password", 5: "not authorized"}

func refused(v packet.Version, ack *packet.Connack) error {
	if v < packet.V5 {
		return fmt.Errorf("the broker refuses the connection: %s (return code %d)", returnCodes[ack.Code], ack.Code)
	}
	return fmt.Errorf("the broker refuses the connection: %s", reasonText(ack.Code, ack.Props.ReasonString))
}

// reasonText is a reason code, with the reason string if there is one.
func reasonText(code packet.ReasonCode, text string) string {
	if text == "" {
		return code.String()
	}
	return code.String() + ": " + text
}

// receive reads one packet. Its body is valid until the next.
func (c *client) receive() (packet.Header, []byte, error) {
	var small [512]byte
	for {
		h, ok, err := packet.ParseHeader(c.rest)
		if err != nil {
			return h, nil, err
		}
		if ok && len(c.rest) >= h.Size {
			body := c.rest[h.HeaderLen:h.Size]
			c.rest = c.rest[h.Size:]
			return h, body, nil
		}
		n, err := c.conn.Read(small[:])
		if n == 0 && err != nil {
			return h, nil, err
		}
		c.rest = append(c.rest, small[:n]...)
	}
}

// subscribe subscribes and waits for SUBACK.
func (c *client) subscribe(filters []string, qos byte, timeout time.Duration) error {
	p := packet.Subscribe{PacketID: 1}
	for _, f := range filters {
		p.Filters = append(p.Filters, packet.FilterOptions{Filter: f, QoS: qos})
	}
	if err := c.conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if _, err := c.conn.Write(p.Append(nil, c.version)); err != nil {
		return c.failed(err)
	}
	h, body, err := c.receive()
	if err != nil {
		return c.failed(err)
	}
	var ack packet.Suback
	if h.Type != packet.SUBACK {
		return c.failed(fmt.Errorf("the broker answers SUBSCRIBE with %s", h.Type))
	}
	if err := ack.Decode(c.version, h, body); err != nil {
		return c.failed(err)
	}
	if len(ack.Codes) != len(filters) {
		return c.failed(fmt.Errorf("SUBACK has %d codes for %d filters", len(ack.Codes), len(filters)))
	}
	for i, code := range ack.Codes {
		if code.IsError() {
			return c.failed(fmt.Errorf("the broker refuses the subscription to %s: %s", filters[i], reasonText(code, ack.Props.ReasonString)))
		}
		if byte(code) < qos {
			return c.failed(fmt.Errorf("the broker grants QoS %d to %s, and QoS %d is to be measured", byte(code), filters[i], qos))
		}
	}
	return c.conn.SetDeadline(time.Time{})
}

// filtersPerPacket is how many filters one SUBSCRIBE has at most.
const filtersPerPacket = 100

// subscribeAll subscribes to any number of filters.
func (c *client) subscribeAll(filters []string, o *Options) error {
	for part := range slices.Chunk(filters, filtersPerPacket) {
		if err := c.subscribe(part, o.QoS, o.Timeout); err != nil {
			return err
		}
	}
	return nil
}

// ping waits for the answer to a PINGREQ, on a connection that nobody else reads.
func (c *client) ping(timeout time.Duration) error {
	if err := c.conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return c.failed(err)
	}
	if _, err := c.conn.Write(pingreq); err != nil {
		return c.failed(err)
	}
	h, _, err := c.receive()
	if err != nil {
		return c.failed(err)
	}
	if h.Type != packet.PINGRESP {
		return c.failed(fmt.Errorf("the broker answers PINGREQ with %s", h.Type))
	}
	return nil
}

var (
	pingreq    = (&packet.Pingreq{}).Append(nil, packet.V311)
	disconnect = (&packet.Disconnect{}).Append(nil, packet.V311) // the shortest form is the same in all versions
)

// leave ends the connection as a client should (3.14).
func (c *client) leave() {
	c.conn.SetWriteDeadline(time.Now().Add(time.Second)) // a broker that takes nothing is left at once
	c.conn.Write(disconnect)
	c.conn.Close()
}
