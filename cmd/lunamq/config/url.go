package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// schemes are the ways in.
var schemes = []string{"tcp", "tls", "ws", "wss", "unix"}

// Scheme is "tcp", "tls", "ws", "wss" or "unix".
func (l *Listener) Scheme() string { return l.scheme }

// Address is "host:port", or the path of a unix socket.
func (l *Listener) Address() string { return l.address }

// parseURL takes l.URL apart. A path of ws and wss becomes l.Path.
func (l *Listener) parseURL() error {
	u, err := url.Parse(l.URL)
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return fmt.Errorf("is no URL: %w", err)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return fmt.Errorf("must be a scheme, a host and a port, such as %q", defaultURL)
	}
	switch l.scheme = u.Scheme; l.scheme {
	case "unix":
		return l.parseSocket(u)
	case "ws", "wss":
		if u.Path != "" && l.Path != "" && u.Path != l.Path {
			return fmt.Errorf("has another path than path = %q", l.Path)
		}
		l.Path = max(l.Path, u.Path) // one is the other or ""
	case "tcp", "tls":
		if u.Path != "" {
			return fmt.Errorf("has the path %q: paths are for ws:// and wss://", u.Path)
		}
	default:
		hint := "write " + strings.Join(schemes, "://, ") + "://"
		if near := nearest(l.scheme, schemes); near != "" {
			hint = "did you mean " + near + "://?"
		}
		return fmt.Errorf("has an unknown scheme: %s", hint)
	}
	return l.parseHost(u)
}

func (l *Listener) parseSocket(u *url.URL) error {
	if u.Host != "" || len(u.Path) < 2 {
		return errors.New("must be unix:///the/path/of/the/socket, with three slashes")
	}
	l.address = u.Path
	return nil
}

// parseHost checks host and port; an empty host is all addresses.
func (l *Listener) parseHost(u *url.URL) error {
	host, port, err := net.SplitHostPort(u.Host)
	if err != nil || port == "" {
		return fmt.Errorf("has no port: write %s://HOST:PORT", l.scheme)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("has the port %s: it must be from 0 to 65535", port)
	}
	l.address = net.JoinHostPort(host, port)
	return nil
}
