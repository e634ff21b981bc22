package websocket

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"lunamq/core"
)

const (
	// maxRequest bounds the request line and headers together: a Cookie of 16
	// KiB, which browsers send along unasked, and as much for all the rest.
	maxRequest = 32 << 10

	// maxMessage bounds one WebSocket message: the largest MQTT packet there
	// is (MQTT 5.0, 2.1.4: 268 435 455 bytes after the fixed header of 5).
	// Messages are read as a stream; this bounds no memory.
	maxMessage = 268_435_460

	// bufferSize of reading and of writing: what http.Server takes, too.
	bufferSize = 4 << 10
)

// subprotocols in the order of our preference: "mqtt" is that of 3.1.1 and 5.0
// [MQTT-6.0.0-3], "mqttv3.1" that of clients of 3.1.
var subprotocols = []string{"mqtt", "mqttv3.1"}

// Handshake implements core.Handshaker: that of the connection under this one,
// then the HTTP request.
func (c *conn) Handshake(ctx context.Context) error {
	if h, ok := c.raw.(core.Handshaker); ok {
		if err := h.Handshake(ctx); err != nil {
			return err
		}
	}
	stop := context.AfterFunc(ctx, func() { c.raw.SetDeadline(time.Unix(1, 0)) })
	err := c.upgrade()
	if !stop() {
		return fmt.Errorf("websocket handshake: %w", context.Cause(ctx))
	}
	return err
}

// upgrade reads the request and answers it; with nil c.ws is ready.
func (c *conn) upgrade() error {
	limited := &io.LimitedReader{R: c.raw, N: maxRequest}
	x := &exchange{
		conn:   c.raw,
		br:     bufio.NewReaderSize(limited, bufferSize),
		bw:     bufio.NewWriterSize(c.raw, bufferSize),
		header: make(http.Header),
	}
	if first, err := x.br.Peek(1); err == nil && first[0] == 0x10 {
		return errors.New("websocket handshake: an MQTT CONNECT came in place of an HTTP request: the client must use ws:// or wss:// here")
	}
	r, err := http.ReadRequest(x.br)
	switch {
	case err != nil && limited.N == 0:
		return x.refuse(http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("the request has more than %d bytes", maxRequest))
	case isNetwork(err):
		return fmt.Errorf("websocket handshake: %w", err)
	case err != nil:
		return x.refuse(http.StatusBadRequest, "not an HTTP request: "+err.Error())
	case !c.config.serves(r.URL.Path):
		return x.refuse(http.StatusNotFound, fmt.Sprintf("MQTT is not at %q", r.URL.Path))
	case r.Header.Get("Upgrade") != "" && !offersSubprotocol(r):
		return x.refuse(http.StatusBadRequest, `Sec-WebSocket-Protocol must offer "mqtt" or "mqttv3.1"`)
	}
	return c.accept(x, r)
}

// accept lets the library check the request and answer it.
func (c *conn) accept(x *exchange, r *http.Request) error {
	ws, err := websocket.Accept(x, r, &websocket.AcceptOptions{
		Subprotocols:       subprotocols,
		OriginPatterns:     c.config.Origins,
		InsecureSkipVerify: len(c.config.Origins) == 0,
	})
	if err != nil {
		return errors.Join(fmt.Errorf("websocket handshake: %w", err), x.bw.Flush())
	}
	ws.SetReadLimit(maxMessage)
	return c.open(ws)
}

// isNetwork says whether the connection failed, not what came over it.
func isNetwork(err error) bool {
	var failed net.Error
	return errors.As(err, &failed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// offersSubprotocol says whether the client offers one of ours. [MQTT-6.0.0-3]
func offersSubprotocol(r *http.Request) bool {
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for offered := range strings.SplitSeq(line, ",") {
			for _, ours := range subprotocols {
				if strings.EqualFold(strings.TrimSpace(offered), ours) {
					return true
				}
			}
		}
	}
	return false
}
