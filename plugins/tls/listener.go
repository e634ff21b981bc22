package tls

import (
	"crypto/tls"
	"net"
)

// listener makes TLS servers of what inner accepts.
type listener struct {
	net.Listener
	config *tls.Config
}

// Listen returns a listener whose connections speak TLS over those of inner.
// An error names the file and what to do about it. Closing it closes inner.
func Listen(inner net.Listener, c Config) (net.Listener, error) {
	config, err := c.load()
	if err != nil {
		return nil, err
	}
	return &listener{inner, config}, nil
}

// Accept returns the next connection, before its handshake.
func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	under := &link{Conn: raw}
	return &conn{tls.Server(under, l.config), under}, nil
}
