package bench

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

// dialer opens connections to one broker.
type dialer struct {
	url     *url.URL
	address string // host:port
	tls     *tls.Config
	timeout time.Duration
	local   bool // the broker is on a loopback address of IPv4
}

var defaultPorts = map[string]string{"tcp": "1883", "tls": "8883", "ws": "80", "wss": "443"}

func newDialer(o *Options) (*dialer, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, optionError("--url: %v", err)
	}
	port := defaultPorts[u.Scheme]
	if port == "" || u.Hostname() == "" {
		return nil, optionError("--url %q: must be tcp://, tls://, ws:// or wss://HOST:PORT", o.URL)
	}
	if u.Port() != "" {
		port = u.Port()
	}
	d := &dialer{url: u, address: net.JoinHostPort(u.Hostname(), port), tls: &tls.Config{}, timeout: o.Timeout}
	if o.TLS != nil {
		d.tls = o.TLS.Clone()
	}
	if d.tls.ServerName == "" {
		d.tls.ServerName = u.Hostname()
	}
	ip := net.ParseIP(u.Hostname())
	d.local = ip != nil && ip.IsLoopback() && ip.To4() != nil && canBindLoopback
	return d, nil
}

// perSource is how many connections come from one address of this machine. Linux
// has 28 232 ports for outgoing ones (ip_local_port_range) and takes every second
// first; it looks for a free one by trying, which with 16384 from one address cost
// three times the CPU of the whole connection.
const perSource = 8192

// sources are as many addresses as are used in turn: a million connections.
const sources = 128

// source is the address of a connection of that number: 127.0.0.1 has too few
// ports for 60 000 of them, but all of 127.0.0.0/8 is this machine.
func (d *dialer) source(number int) net.Addr {
	block := number / perSource % sources
	if !d.local || block == 0 {
		return nil
	}
	return &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(block))}
}

// dial opens connection number so and so.
func (d *dialer) dial(ctx context.Context, number int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	tcp := &net.Dialer{LocalAddr: d.source(number), KeepAlive: -1, Control: lateBind}
	switch d.url.Scheme {
	case "tls":
		return (&tls.Dialer{NetDialer: tcp, Config: d.tls}).DialContext(ctx, "tcp", d.address)
	case "ws", "wss":
		return d.webSocket(ctx, tcp)
	}
	return tcp.DialContext(ctx, "tcp", d.address)
}

func (d *dialer) webSocket(ctx context.Context, tcp *net.Dialer) (net.Conn, error) {
	transport := &http.Transport{DialContext: tcp.DialContext, TLSClientConfig: d.tls, DisableKeepAlives: true}
	c, _, err := websocket.Dial(ctx, d.url.String(), &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport}, Subprotocols: []string{"mqtt"}, // [MQTT-6.0.0-3]
	})
	if err != nil {
		return nil, err
	}
	return websocket.NetConn(context.WithoutCancel(ctx), c, websocket.MessageBinary), nil // [MQTT-6.0.0-1]
}

// lateBind has a source address take its port at connect, not at bind, so that
// one port serves several destinations.
func lateBind(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) { bindNoPort(int(fd)) })
}
