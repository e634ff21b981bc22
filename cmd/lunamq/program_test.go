package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// connect is a CONNECT of MQTT 3.1.1, connack what it is answered with.
var (
	connect = []byte("\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00")
	connack = []byte{0x20, 2, 0, 0}
)

const rule = `mqtt.on("connect", function(c) return mqtt.allow() end)`

// checkConnect connects a client over c, and returns when it is accepted.
func checkConnect(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := c.Write(connect); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(connack))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, connack) {
		t.Fatalf("CONNACK % x, err %v", got, err)
	}
}

func checkDial(t *testing.T, network, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	checkConnect(t, c)
	return c
}

// A broker starts, serves, tells what it does, and ends gracefully.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "rules/10-hello.lua", rule)
	r := start(t, dir, "--listen", "tcp://127.0.0.1:0", "--scripts", "rules", "--log-level", "info")
	r.waitFor("built-in defaults")
	line := r.waitFor("rules in force")
	for _, want := range []string{"files=1", "10-hello.lua", "connect 1"} {
		if !strings.Contains(line, want) {
			t.Errorf("%q lacks %q", line, want)
		}
	}
	addr := r.waitListening("tcp://127.0.0.1:0")
	c := checkDial(t, "tcp", addr)
	r.waitFor("msg=ready")
	r.signal(syscall.SIGHUP)
	r.waitFor("SIGHUP: the rules are reloaded")
	r.signal(syscall.SIGTERM)
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		t.Errorf("the client of 3.1.1 got % x, err %v, want the end", rest, err)
	}
	if code, said := r.wait(); code != exitOK {
		t.Errorf("exit code %d, want %d:\n%s", code, exitOK, said)
	}
}

// What a fresh checkout runs: config.toml with the example rules.
func TestShippedConfiguration(t *testing.T) {
	r := start(t, "../..", "serve", "--listen", "tcp://127.0.0.1:0", "--data", t.TempDir())
	r.waitFor("config=config.toml")
	r.waitFor("rules in force")
	checkDial(t, "tcp", r.waitListening("tcp://127.0.0.1:0"))
	r.signal(syscall.SIGINT)
	_ = r.cmd.Process.Signal(syscall.SIGINT) // as timeout(1) does: still graceful; an error is that it has ended
	if code, said := r.wait(); code != exitOK {
		t.Errorf("exit code %d, want %d:\n%s", code, exitOK, said)
	}
}

// Every scheme, by the file.
func TestEveryWayIn(t *testing.T) {
	dir := t.TempDir()
	pool := writeCertificate(t, dir)
	write(t, dir, "c/lunamq.toml", `
[[listener]]
name = "plain"
url = "tcp://127.0.0.1:0"
[[listener]]
name = "secure"
url = "tls://127.0.0.1:0"
cert = "../cert.pem"
key = "../key.pem"
[[listener]]
name = "web"
url = "ws://127.0.0.1:0"
[[listener]]
name = "websecure"
url = "wss://127.0.0.1:0"
cert = "../cert.pem"
key = "../key.pem"
min_version = "1.3"
[[listener]]
name = "local"
url = "unix://`+filepath.Join(dir, "mqtt.sock")+`"
`)
	r := start(t, dir, "--config", "c/lunamq.toml")
	checkDial(t, "tcp", r.waitListening("plain"))
	trust := &tls.Config{RootCAs: pool}
	c, err := tls.Dial("tcp", r.waitListening("secure"), trust)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	checkConnect(t, c)
	checkWeb(t, "ws://"+r.waitListening("web"), nil)
	checkWeb(t, "wss://"+r.waitListening("websecure")+"/mqtt", trust)
	socket := r.waitListening("local")
	checkDial(t, "unix", socket)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("socket: mode %v, err %v, want 0660", info.Mode(), err)
	}
	r.signal(syscall.SIGTERM)
	if code, said := r.wait(); code != exitOK {
		t.Errorf("exit code %d, want %d:\n%s", code, exitOK, said)
	}
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func checkWeb(t *testing.T, url string, trust *tls.Config) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust}}
	ws, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{Subprotocols: []string{"mqtt"}, HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	c := websocket.NetConn(t.Context(), ws, websocket.MessageBinary)
	defer c.Close()
	checkConnect(t, c)
}

// writeCertificate writes cert.pem and key.pem for 127.0.0.1.
func writeCertificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	write(t, dir, "cert.pem", string(certPEM))
	write(t, dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return pool
}

// Beyond loopback, somebody must be asked, or it must be said to be meant so.
func TestExposedListener(t *testing.T) {
	const listener = "[[listener]]\nname = \"all\"\nurl = \"tcp://0.0.0.0:0\"\n"
	tests := []struct{ name, config, want string }{
		{"with open", listener + "[auth]\nopen = true\n", "everybody who reaches listener all"},
		{"with a connect handler", listener + "[scripting]\ndir = \"rules\"\n", "carries passwords and messages unencrypted"},
		{"with deny", listener + "[auth]\ndefault = \"deny\"\n", "nobody can connect"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "config.toml", tt.config)
			write(t, dir, "rules/10-hello.lua", rule)
			r := start(t, dir)
			r.waitFor(tt.want)
			r.waitListening("all")
			r.signal(syscall.SIGTERM)
			if code, said := r.wait(); code != exitOK {
				t.Errorf("exit code %d:\n%s", code, said)
			}
		})
	}
}

// What stops the start, and what is said about it.
func TestRefusedStarts(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	dir := t.TempDir()
	write(t, dir, "bad.toml", "[mqtt]\nmax_qos = 3\n")
	write(t, dir, "tls.toml", "[[listener]]\nurl = \"tls://127.0.0.1:0\"\ncert = \"no.pem\"\nkey = \"no.key\"\n")
	write(t, dir, "broken/broken.lua", "mqtt.on(\n")
	tests := []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"everybody from everywhere", []string{"--listen", "tcp://0.0.0.0:0"}, exitError, []string{"tcp://0.0.0.0:0", "open = true", "connect handler"}},
		{"a port in use", []string{"--listen", "tcp://" + busy.Addr().String()}, exitError, []string{busy.Addr().String(), "another program", "choose another port"}},
		{"an error in the file", []string{"--config", "bad.toml"}, exitError, []string{"bad.toml:2: mqtt.max_qos = 3: must be 0, 1 or 2"}},
		{"no file", []string{"--config", "none.toml"}, exitError, []string{"none.toml", "no such file"}},
		{"no certificate", []string{"--config", "tls.toml"}, exitError, []string{"no.pem", "set cert"}},
		{"no folder of rules", []string{"--scripts", "nowhere"}, exitError, []string{"nowhere", "create it"}},
		{"a file as folder of rules", []string{"--scripts", "bad.toml"}, exitError, []string{"bad.toml is a file"}},
		{"broken rules", []string{"--scripts", "broken"}, exitError, []string{"broken.lua:1", "nothing listens"}},
		{"an unknown flag", []string{"--port", "1"}, exitUsage, []string{"unknown flag: --port", "--help"}},
		{"an unknown command", []string{"run"}, exitUsage, []string{`unknown command "run"`}},
		{"an argument", []string{"serve", "now"}, exitUsage, []string{`unknown command "now"`}},
		{"a listener that is none", []string{"--listen", "tcp://127.0.0.1"}, exitUsage, []string{"--listen", "has no port"}},
		{"a level that is none", []string{"--log-level", "loud"}, exitUsage, []string{"--log-level", "debug, info, warn or error"}},
		{"no folder of data", []string{"--data", ""}, exitUsage, []string{"--data"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, said := start(t, dir, tt.args...).wait()
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(said, want) {
					t.Errorf("%q is not in\n%s", want, said)
				}
			}
			if strings.Contains(said, "msg=listening") {
				t.Errorf("it listened:\n%s", said)
			}
		})
	}
}

func TestVersionAndHelp(t *testing.T) {
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ arg, want string }{
		{"version", "lunamq "},
		{"--help", "lunamq --config /etc/lunamq/config.toml"},
		{"--help", "version"},
	}
	for _, tt := range tests {
		out, err := exec.Command(file, tt.arg).Output()
		if err != nil || !strings.Contains(string(out), tt.want) {
			t.Errorf("lunamq %s: %q, err %v, want %q in it", tt.arg, out, err, tt.want)
		}
	}
}
