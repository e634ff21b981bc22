package websocket

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"time"
)

// exchange is one HTTP request and its answer over a connection that belongs
// to no http.Server. It implements http.ResponseWriter and http.Hijacker.
type exchange struct {
	conn   net.Conn
	br     *bufio.Reader
	bw     *bufio.Writer
	header http.Header
}

// Header implements http.ResponseWriter.
func (x *exchange) Header() http.Header { return x.header }

// WriteHeader implements http.ResponseWriter. A status other than 101 is the
// last thing that is said on this connection.
func (x *exchange) WriteHeader(status int) {
	if status != http.StatusSwitchingProtocols && x.header.Get("Connection") == "" {
		x.header.Set("Connection", "close")
	}
	fmt.Fprintf(x.bw, "HTTP/1.1 %03d %s\r\n", status, http.StatusText(status))
	_ = x.header.Write(x.bw) // an error of bw stays and comes with Flush
	_, _ = x.bw.WriteString("\r\n")
}

// Write implements http.ResponseWriter, after WriteHeader.
func (x *exchange) Write(b []byte) (int, error) { return x.bw.Write(b) }

// Hijack implements http.Hijacker, after WriteHeader.
func (x *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := x.bw.Flush(); err != nil {
		return nil, nil, err
	}
	return hijacked{x.conn}, bufio.NewReadWriter(x.br, x.bw), nil
}

// refuse answers with status and text, and returns an error that says so.
func (x *exchange) refuse(status int, text string) error {
	http.Error(x, text, status)
	if err := x.bw.Flush(); err != nil {
		return fmt.Errorf("websocket handshake refused with %d, %s: %w", status, text, err)
	}
	return fmt.Errorf("websocket handshake refused with %d, %s", status, text)
}

// hijacked keeps the library from touching the connection's deadlines: they
// are the broker's.
type hijacked struct{ net.Conn }

// SetDeadline does nothing.
func (hijacked) SetDeadline(time.Time) error { return nil }
