package e2e

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"lunamq/core/packet"
)

// everyListener has all five ways in; cert.pem and key.pem are beside it.
func everyListener(socket string) string {
	var b strings.Builder
	for _, l := range [][2]string{{"local", "tcp"}, {"safe", "tls"}, {"web", "ws"}, {"safeweb", "wss"}} {
		b.WriteString("[[listener]]\nname = \"" + l[0] + "\"\nurl = \"" + l[1] + "://127.0.0.1:0\"\n")
		if strings.HasPrefix(l[0], "safe") {
			b.WriteString("cert = \"cert.pem\"\nkey = \"key.pem\"\n")
		}
	}
	b.WriteString("[[listener]]\nname = \"socket\"\nurl = \"unix://" + socket + "\"\n")
	return b.String()
}

// TestTransports: what one client publishes over any way in, another gets over
// any other, and rules see by which it came.
func TestTransports(t *testing.T) {
	cert, key, trust := certificate(t)
	socket := t.TempDir() + "/s"
	p := start(t, setup{
		listeners: everyListener(socket),
		files:     map[string]string{"cert.pem": cert, "key.pem": key},
		rules: map[string]string{"by.lua": `mqtt.on("publish", "way/#", function(msg)
			msg.payload = msg.payload .. " by " .. msg.client.listener .. (msg.client.tls and " " .. msg.client.tls.version or "")
		end)`},
	})
	tests := []struct {
		name, listener, want string
		login                login
	}{
		{"paho 3.1.1 tcp", "local", "local", login{version: packet.V311}},
		{"paho 3.1.1 tls", "safe", "safe 1.3", login{version: packet.V311}},
		{"paho 3.1.1 ws", "web", "web", login{version: packet.V311}},
		{"paho 3.1.1 wss", "safeweb", "safeweb 1.3", login{version: packet.V311}},
		{"paho 3.1 ws", "web", "web", login{version: packet.V31}},
		{"paho 5 tls", "safe", "safe 1.3", login{}},
		{"paho 5 unix", "socket", "socket", login{}},
		{"mosquitto tls", "safe", "safe 1.3", login{client: "mosquitto", version: packet.V5}},
		{"mosquitto unix", "socket", "socket", login{client: "mosquitto"}},
	}
	watch := p.connect(login{})
	granted(t, watch, "way/#", 1)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := p.on(t)
			tt.login.url, tt.login.trust = p.url(tt.listener), trust
			c := p.connect(tt.login)
			granted(t, c, "way/#", 1)
			published(t, c, message{topic: "way/x", payload: tt.name, qos: 1})
			want := "way/x " + tt.name + " by " + tt.want + " q1"
			expect(t, c, want)
			expect(t, watch, want)
			c.close()
		})
	}
	t.Run("raw unix", func(t *testing.T) { checkRawUnix(t, socket) })
}

// checkRawUnix says CONNECT in single bytes.
func checkRawUnix(t *testing.T, path string) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := &socket{t: t, net: conn, in: bufio.NewReader(conn), version: packet.V311}
	for _, b := range (&packet.Connect{Version: packet.V311, CleanStart: true, ClientID: "bytes"}).Append(nil) {
		s.send([]byte{b})
	}
	var ack packet.Connack
	s.expect(packet.CONNACK, &ack)
	if ack.Code != packet.Success {
		t.Errorf("refused with %d", ack.Code)
	}
	s.ping()
}

// TestUntrusted: a client that does not know the certificate does not talk to
// the broker, and the broker goes on.
func TestUntrusted(t *testing.T) {
	cert, key, trust := certificate(t)
	p := start(t, setup{
		listeners: "[[listener]]\nname = \"local\"\nurl = \"tls://127.0.0.1:0\"\ncert = \"cert.pem\"\nkey = \"key.pem\"\n",
		files:     map[string]string{"cert.pem": cert, "key.pem": key},
	})
	if conn, err := tls.Dial("tcp", p.addr("local"), nil); err == nil {
		conn.Close()
		t.Fatal("an unknown certificate was taken")
	}
	if conn, err := tls.Dial("tcp", p.addr("local"), &tls.Config{RootCAs: trust.RootCAs, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
		conn.Close()
		t.Fatal("TLS 1.1 was spoken (RFC 8996)")
	}
	c := p.connect(login{trust: trust})
	granted(t, c, "x", 1)
	published(t, c, message{topic: "x", payload: "y", qos: 1})
	expect(t, c, "x y q1")
}

// certificate makes one for 127.0.0.1, its key, and the trust in it.
func certificate(t testing.TB) (cert, key string, trust *tls.Config) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	public, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(publicPEM)
	return string(publicPEM), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})), &tls.Config{RootCAs: pool}
}
