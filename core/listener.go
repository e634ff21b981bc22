package core

import (
	"context"
	"net"
)

// Listener is a way in: a named net.Listener with what it announces.
type Listener struct {
	Name string
	Net  net.Listener
	// Options, where nil, are Options.Listener of the broker.
	Options *ListenerOptions
}

// Handshaker is implemented by connections that have something to agree on
// before the first byte of MQTT (TLS, WebSocket). It is called on the
// connection's own goroutine, under the deadline of the handshake.
type Handshaker interface {
	Handshake(ctx context.Context) error
}

// TLSConn is implemented by connections that know facts of their TLS; asked
// after the handshake. nil: no TLS.
type TLSConn interface {
	TLSInfo() *TLSInfo
}
