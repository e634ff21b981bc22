package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"lunamq/cmd/lunamq/config"
	tlsplugin "lunamq/plugins/tls"
	"lunamq/plugins/websocket"
)

// way is one open listener.
type way struct {
	config *config.Listener
	net    net.Listener
}

// open opens all listeners or, with an error, none.
func (p *program) open() (err error) {
	defer func() {
		if err != nil {
			p.closeWays()
		}
	}()
	for i := range p.config.Listeners {
		l := &p.config.Listeners[i]
		n, err := openListener(l)
		if err != nil {
			return fmt.Errorf("listener %s: %w", nameAndURL(l), err)
		}
		p.ways = append(p.ways, &way{l, n})
	}
	return p.checkExposed()
}

func (p *program) closeWays() {
	for _, w := range p.ways {
		w.net.Close()
	}
	p.ways = nil
}

// nameAndURL names a listener; one without a name of its own is its URL.
func nameAndURL(l *config.Listener) string {
	if l.Name == l.URL {
		return l.URL
	}
	return l.Name + " " + l.URL
}

// openListener binds one and puts TLS and WebSocket around it.
func openListener(l *config.Listener) (net.Listener, error) {
	n, err := bind(l)
	if err != nil {
		return nil, err
	}
	if l.Scheme() == "tls" || l.Scheme() == "wss" {
		secure, err := tlsplugin.Listen(n, tlsplugin.Config{
			CertFile:          l.Cert,
			KeyFile:           l.Key,
			ClientCAFile:      l.ClientCA,
			RequireClientCert: l.RequireClientCert,
			MinVersion:        minVersion(l),
		})
		if err != nil {
			n.Close()
			return nil, err
		}
		n = secure
	}
	if l.Scheme() == "ws" || l.Scheme() == "wss" {
		n = websocket.Listen(n, websocket.Config{Path: l.Path, Origins: l.Origins})
	}
	return n, nil
}

func minVersion(l *config.Listener) uint16 {
	if l.MinVersion == "1.3" {
		return tls.VersionTLS13
	}
	return tls.VersionTLS12
}

func bind(l *config.Listener) (net.Listener, error) {
	if l.Scheme() == "unix" {
		return bindSocket(l.Address(), os.FileMode(l.Mode))
	}
	n, err := net.Listen("tcp", l.Address())
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%w: another program, perhaps another broker, listens there (ss -ltnp tells which): end it, or choose another port with url or --listen", err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%w: this user may not listen there: choose a port above 1023, or grant the capability CAP_NET_BIND_SERVICE", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%w: no interface of this machine has the address (ip address lists them)", err)
	}
	return n, err
}

// errTaken: a unix socket is somebody's.
var errTaken = errors.New("another program listens there")

// bindSocket listens at a unix socket. A socket there that nobody listens at is
// what a killed broker leaves behind, and is removed; anything else stays.
func bindSocket(path string, mode os.FileMode) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil {
		if info.Mode()&os.ModeSocket == 0 {
			return nil, fmt.Errorf("%s is there and is no socket: remove it, or choose another path", path)
		}
		if c, err := net.Dial("unix", path); err == nil {
			c.Close()
			return nil, fmt.Errorf("%s: %w: end it, or choose another path", path, errTaken)
		} else if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("%s is there, and whether somebody listens cannot be told: %w", path, err)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove the socket that a former broker left: %w", err)
		}
	}
	n, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EINVAL) { // unix(7): sun_path has 108 bytes, elsewhere 104
		return nil, fmt.Errorf("%s: the path of a socket has at most some 100 bytes: choose a shorter one", path)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the folder must exist and be writable by this user", err)
	}
	if err := os.Chmod(path, mode); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}
