package bench

import (
	"crypto/tls"
	"io"
	"net"
	"testing"

	"lunamq/core"
	"lunamq/core/packet"
	tlsplugin "lunamq/plugins/tls"
	"lunamq/plugins/websocket"
)

// startBroker runs a broker in this process and returns its URL, and what trusts
// its certificate.
func startBroker(t *testing.T, scheme string) (url string, trust *tls.Config) {
	t.Helper()
	b, err := core.New(core.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	l := listen(t)
	url = scheme + "://" + l.Addr().String()
	if scheme == "tls" || scheme == "wss" {
		certs, err := newCertificates(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if l, err = tlsplugin.Listen(l, tlsplugin.Config{CertFile: certs.cert, KeyFile: certs.key}); err != nil {
			t.Fatal(err)
		}
		trust = certs.trust
	}
	if scheme == "ws" || scheme == "wss" {
		l = websocket.Listen(l, websocket.Config{})
		url += "/mqtt"
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		b.Serve(core.Listener{Name: "test", Net: l}) // it ends when the broker is closed
	}()
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		<-served
	})
	return url, trust
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// fault changes what goes to clients: it returns what is sent in place of a
// packet.
type fault func(h packet.Header, raw []byte) []byte

// startFaulty puts a proxy before a broker, with a fault for each connection.
func startFaulty(t *testing.T, newFault func() fault) (url string) {
	t.Helper()
	inner, _ := startBroker(t, "tcp")
	l := listen(t)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			broker, err := net.Dial("tcp", inner[len("tcp://"):])
			if err != nil {
				client.Close()
				return
			}
			go func() {
				io.Copy(broker, client)
				broker.Close()
			}()
			go func() {
				spoil(client, broker, newFault())
				client.Close()
			}()
		}
	}()
	return "tcp://" + l.Addr().String()
}

// spoil copies packets from the broker to a client, with a fault.
func spoil(client io.Writer, broker io.Reader, f fault) {
	var have []byte
	buf := make([]byte, 4096)
	for {
		n, err := broker.Read(buf)
		have = append(have, buf[:n]...)
		for {
			h, ok, parseErr := packet.ParseHeader(have)
			if parseErr != nil || !ok || len(have) < h.Size {
				break
			}
			if _, err := client.Write(f(h, have[:h.Size])); err != nil {
				return
			}
			have = have[h.Size:]
		}
		if err != nil {
			return
		}
	}
}

// nth spoils the nth PUBLISH of each connection.
func nth(n int, spoil func(raw []byte) []byte) func() fault {
	return func() fault {
		seen := 0
		return func(h packet.Header, raw []byte) []byte {
			if h.Type != packet.PUBLISH {
				return raw
			}
			if seen++; seen != n {
				return raw
			}
			return spoil(raw)
		}
	}
}
