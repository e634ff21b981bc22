package websocket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/coder/websocket"

	"lunamq/core"
)

const (
	// maxFrame is the most that one message to a client holds: clients bound
	// messages by default, coder/websocket at 32 KiB, Netty and Jetty at 64.
	maxFrame = 32 << 10

	// closeWait bounds how long Close may wait for a peer that does not read.
	closeWait = 100 * time.Millisecond
)

var (
	_ core.Handshaker = (*conn)(nil)
	_ core.TLSConn    = (*conn)(nil)
)

// errBeforeHandshake is the answer to Read and Write on a connection that has
// no WebSocket yet.
var errBeforeHandshake = errors.New("websocket: read or write before the handshake")

// conn is a stream of bytes in binary messages. One goroutine may read while
// others write and close. After a deadline has passed it is of no more use:
// the cut frame cannot be taken up again.
type conn struct {
	// Immutable:
	raw    net.Conn
	config *Config

	// Owned by the reader:
	message io.Reader // the rest of the message being read, nil between two

	writing sync.Mutex // held while messages are written

	// Guarded by mu:
	mu     sync.Mutex
	ws     *websocket.Conn // nil before the handshake; then never changed
	closed bool
}

// open takes ws into use, unless the connection was closed meanwhile.
func (c *conn) open(ws *websocket.Conn) error {
	c.mu.Lock()
	closed := c.closed
	c.ws = ws
	c.mu.Unlock()
	if closed {
		ws.CloseNow()
		return net.ErrClosed
	}
	return nil
}

func (c *conn) opened() (*websocket.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ws == nil {
		return nil, errBeforeHandshake
	}
	return c.ws, nil
}

// Read reads what the client sent in binary messages, wherever it cut them
// [MQTT-6.0.0-2]. io.EOF is a close by the client that is in order.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if c.message == nil {
			if err := c.nextMessage(); err != nil {
				return 0, err
			}
		}
		n, err := c.message.Read(p)
		switch {
		case err == nil && n > 0:
			return n, nil
		case err == io.EOF:
			c.message = nil
			if n > 0 {
				return n, nil
			}
		case err != nil: // the n bytes of a frame cut short are not unmasked yet
			return 0, readError(err)
		}
	}
}

// nextMessage waits for the next message. One of text closes the connection
// [MQTT-6.0.0-1].
func (c *conn) nextMessage() error {
	ws, err := c.opened()
	if err != nil {
		return err
	}
	kind, message, err := ws.Reader(context.Background())
	if err != nil {
		return readError(err)
	}
	if kind != websocket.MessageBinary {
		c.shut(websocket.StatusUnsupportedData, "MQTT is sent in binary frames")
		return errors.New("websocket: the client sent a text frame, MQTT is sent in binary ones [MQTT-6.0.0-1]")
	}
	c.message = message
	return nil
}

// readError makes io.EOF of a close that is in order.
func readError(err error) error {
	switch websocket.CloseStatus(err) {
	case websocket.StatusNormalClosure, websocket.StatusGoingAway, websocket.StatusNoStatusRcvd:
		return io.EOF
	}
	return fmt.Errorf("websocket: %w", err)
}

// Write sends p in binary messages of at most maxFrame bytes.
func (c *conn) Write(p []byte) (int, error) {
	ws, err := c.opened()
	if err != nil {
		return 0, err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	sent := 0
	for sent < len(p) {
		part := p[sent:min(len(p), sent+maxFrame)]
		if err := ws.Write(context.Background(), websocket.MessageBinary, part); err != nil {
			return sent, fmt.Errorf("websocket: %w", err)
		}
		sent += len(part)
	}
	return sent, nil
}

// Close sends a close frame, if the peer's socket takes it within closeWait,
// and ends the connection; it does not wait for the peer's answer.
func (c *conn) Close() error { return c.shut(websocket.StatusNormalClosure, "") }

func (c *conn) shut(code websocket.StatusCode, reason string) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return net.ErrClosed
	}
	c.closed = true
	ws := c.ws
	if ws != nil {
		c.raw.SetReadDeadline(time.Unix(1, 0)) // wakes the reader
		c.raw.SetWriteDeadline(time.Now().Add(closeWait))
	}
	c.mu.Unlock()
	if ws == nil {
		return c.raw.Close()
	}
	if !c.writing.TryLock() { // in the middle of a message no close frame fits
		err := c.raw.Close()
		ws.CloseNow()
		return err
	}
	defer c.writing.Unlock()
	ws.Close(code, reason) // fails after the frame is out: the answer is not waited for
	return nil
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error { return c.setDeadline(t, c.raw.SetDeadline) }

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { return c.setDeadline(t, c.raw.SetReadDeadline) }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(t, c.raw.SetWriteDeadline) }

// setDeadline keeps off those deadlines that Close has set.
func (c *conn) setDeadline(t time.Time, set func(time.Time) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	return set(t)
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// RemoteAddr is the peer's address.
func (c *conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// TLSInfo implements core.TLSConn with the facts of the connection under this
// one.
func (c *conn) TLSInfo() *core.TLSInfo {
	if t, ok := c.raw.(core.TLSConn); ok {
		return t.TLSInfo()
	}
	return nil
}
