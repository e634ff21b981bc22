package tls

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lunamq/core"
)

// authority makes certificates for one test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.key = key
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert, a.file = a.sign(template, template, &key.PublicKey, "ca")
	return a
}

func (a *authority) sign(template, parent *x509.Certificate, key *ecdsa.PublicKey, name string) (*x509.Certificate, string) {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, a.write(name+".pem", "CERTIFICATE", der)
}

func (a *authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	file := filepath.Join(a.dir, name)
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return file
}

// issue makes a certificate of this authority and returns it and its files.
func (a *authority) issue(name string, serial int64) (cert *x509.Certificate, certFile, keyFile string) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, certFile = a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name, Organization: []string{"Works"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, &key.PublicKey, name)
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, certFile, a.write(name+".key", "EC PRIVATE KEY", der)
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func listen(t *testing.T, c Config) net.Listener {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { inner.Close() })
	l, err := Listen(inner, c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// connect returns both ends; the client's handshake result comes on the channel.
func connect(t *testing.T, l net.Listener, c *tls.Config) (server net.Conn, client *tls.Conn, done chan error) {
	t.Helper()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client, done = tls.Client(raw, c), make(chan error, 1)
	go func() { done <- client.Handshake() }()
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close(); server.Close() })
	return server, client, done
}

func TestFacts(t *testing.T) {
	ca := newAuthority(t, "test authority")
	_, certFile, keyFile := ca.issue("broker.test", 7)
	clientCert, clientFile, clientKey := ca.issue("gw-7", 0xBEEF)
	pair, err := tls.LoadX509KeyPair(clientFile, clientKey)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(clientCert.Raw)
	certFacts := core.TLSInfo{CommonName: "gw-7", Subject: "CN=gw-7,O=Works", Serial: "beef", Fingerprint: hex.EncodeToString(sum[:])}
	tests := []struct {
		name    string
		version uint16
		certs   []tls.Certificate
		want    core.TLSInfo
	}{
		{"1.3 with a certificate", tls.VersionTLS13, []tls.Certificate{pair}, certFacts},
		{"1.2 with a certificate", tls.VersionTLS12, []tls.Certificate{pair}, certFacts},
		{"1.3 without", tls.VersionTLS13, nil, core.TLSInfo{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := listen(t, Config{CertFile: certFile, KeyFile: keyFile, ClientCAFile: ca.file})
			server, client, done := connect(t, l, &tls.Config{
				RootCAs: ca.pool(), ServerName: "broker.test", MinVersion: tt.version, MaxVersion: tt.version, Certificates: tt.certs,
			})
			if info := server.(core.TLSConn).TLSInfo(); info != nil {
				t.Errorf("before the handshake: %+v, want nil", info)
			}
			if err := server.(core.Handshaker).Handshake(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			tt.want.Version = map[uint16]string{tls.VersionTLS12: "1.2", tls.VersionTLS13: "1.3"}[tt.version]
			tt.want.Cipher = tls.CipherSuiteName(client.ConnectionState().CipherSuite)
			tt.want.ServerName = "broker.test"
			if diff := cmp.Diff(&tt.want, server.(core.TLSConn).TLSInfo()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRefusedHandshakes(t *testing.T) {
	ca, other := newAuthority(t, "ours"), newAuthority(t, "theirs")
	_, certFile, keyFile := ca.issue("broker.test", 7)
	_, strangerFile, strangerKey := other.issue("stranger", 8)
	stranger, err := tls.LoadX509KeyPair(strangerFile, strangerKey)
	if err != nil {
		t.Fatal(err)
	}
	required := Config{CertFile: certFile, KeyFile: keyFile, ClientCAFile: ca.file, RequireClientCert: true}
	optional := required
	optional.RequireClientCert = false
	only13 := Config{CertFile: certFile, KeyFile: keyFile, MinVersion: tls.VersionTLS13}
	tests := []struct {
		name   string
		server Config
		client *tls.Config
		want   string
	}{
		{"no certificate where one is required", required, &tls.Config{}, "didn't provide a certificate"},
		{"a certificate of another authority", optional, &tls.Config{Certificates: []tls.Certificate{stranger}}, "failed to verify certificate"},
		{"TLS 1.1", optional, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "unsupported versions"},
		{"TLS 1.2 where 1.3 is the minimum", only13, &tls.Config{MaxVersion: tls.VersionTLS12}, "unsupported versions"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.client.RootCAs, tt.client.ServerName = ca.pool(), "broker.test"
			if len(tt.client.Certificates) > 0 { // shown although the server names other authorities
				cert := tt.client.Certificates[0]
				tt.client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
			}
			server, _, _ := connect(t, listen(t, tt.server), tt.client)
			err := server.(core.Handshaker).Handshake(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
			if info := server.(core.TLSConn).TLSInfo(); info != nil {
				t.Errorf("facts after a failed handshake: %+v", info)
			}
		})
	}
}

// A peer that says nothing holds neither Accept nor, once ctx is done, Handshake.
func TestSilentPeer(t *testing.T) {
	ca := newAuthority(t, "ours")
	_, certFile, keyFile := ca.issue("broker.test", 7)
	l := listen(t, Config{CertFile: certFile, KeyFile: keyFile})
	silent, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.(core.Handshaker).Handshake(ctx) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("handshake ended with %v, want %v", err, context.Canceled)
	}
}

// Both directions at once, then a close under a blocked Read and a Write.
func TestBothWaysAtOnce(t *testing.T) {
	ca := newAuthority(t, "ours")
	_, certFile, keyFile := ca.issue("broker.test", 7)
	l := listen(t, Config{CertFile: certFile, KeyFile: keyFile})
	server, client, done := connect(t, l, &tls.Config{RootCAs: ca.pool(), ServerName: "broker.test"})
	if err := errors.Join(server.(core.Handshaker).Handshake(t.Context()), <-done); err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	var all sync.WaitGroup
	send := func(c net.Conn) {
		if _, err := c.Write(data); err != nil {
			t.Error(err)
		}
	}
	receive := func(c net.Conn) {
		got := make([]byte, len(data))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, data) {
			t.Errorf("received other bytes than were sent (err %v)", err)
		}
	}
	for _, c := range []net.Conn{server, client} {
		all.Go(func() { send(c) })
		all.Go(func() { receive(c) })
	}
	all.Wait()

	// The client reads nothing from here on: the writer blocks on a full socket.
	started := make(chan struct{})
	all.Go(func() {
		_, err := server.Read(make([]byte, 1))
		if err == nil {
			t.Error("Read returned without data")
		}
	})
	all.Go(func() {
		close(started)
		for {
			if _, err := server.Write(data); err != nil {
				return
			}
		}
	})
	<-started
	server.Close()
	all.Wait()
}

func TestLoadErrors(t *testing.T) {
	ca := newAuthority(t, "ours")
	_, certFile, keyFile := ca.issue("broker.test", 7)
	_, _, otherKey := ca.issue("other.test", 8)
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		c    Config
		want []string
	}{
		{"no certificate", Config{KeyFile: keyFile}, []string{"no certificate given", "set cert"}},
		{"no key", Config{CertFile: certFile}, []string{"no private key given", "set key"}},
		{"missing file", Config{CertFile: "/nowhere/a.pem", KeyFile: keyFile}, []string{"/nowhere/a.pem", "no such file", "set cert"}},
		{"key of another certificate", Config{CertFile: certFile, KeyFile: otherKey}, []string{certFile, otherKey, "does not match", "first certificate"}},
		{"not PEM", Config{CertFile: empty, KeyFile: keyFile}, []string{empty, "must be PEM"}},
		{"authorities without a certificate", Config{CertFile: certFile, KeyFile: keyFile, ClientCAFile: empty}, []string{empty, "BEGIN CERTIFICATE"}},
		{"required without authorities", Config{CertFile: certFile, KeyFile: keyFile, RequireClientCert: true}, []string{"set client_ca"}},
		{"TLS 1.0", Config{CertFile: certFile, KeyFile: keyFile, MinVersion: tls.VersionTLS10}, []string{"TLS 1.0", "1.2 and 1.3"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Listen(nil, tt.c)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
		})
	}
}
