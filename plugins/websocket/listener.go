package websocket

import "net"

// DefaultPath is the path that is served when none is configured. "/" is then
// served as well: clients that are given only a host and a port ask for it.
const DefaultPath = "/mqtt"

// Config is what a listener asks of a request.
type Config struct {
	// Path is the only path served; "" serves DefaultPath and "/".
	Path string

	// Origins are the hosts whose pages may connect, as path.Match patterns of
	// "host" or "scheme://host"; the host asked for itself always may. Empty
	// allows all, as is customary for MQTT, which does not authenticate by
	// cookies. Requests without Origin, so not from a browser, always pass.
	Origins []string
}

// serves says whether a request for path is for this listener.
func (c *Config) serves(path string) bool {
	if c.Path == "" {
		return path == DefaultPath || path == "/"
	}
	return path == c.Path
}

type listener struct {
	net.Listener
	config Config
}

// Listen returns a listener whose connections speak WebSocket over those of
// inner. Closing it closes inner.
func Listen(inner net.Listener, c Config) net.Listener { return &listener{inner, c} }

// Accept returns the next connection, before its handshake.
func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{raw: raw, config: &l.config}, nil
}
