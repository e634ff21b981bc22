package websocket

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"lunamq/core"
)

// served is a listener whose connections are handed to the test after their
// handshake, with its result.
type served struct {
	net.Listener
	t     *testing.T
	conns chan handshaken
}

type handshaken struct {
	net.Conn
	err error
}

func serve(t *testing.T, c Config) *served {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &served{Listen(inner, c), t, make(chan handshaken)}
	done := make(chan struct{})
	t.Cleanup(func() { s.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := s.Accept()
			if err != nil {
				return
			}
			go func() {
				err := c.(core.Handshaker).Handshake(t.Context())
				select {
				case s.conns <- handshaken{c, err}:
				case <-t.Context().Done():
					c.Close()
				}
			}()
		}
	}()
	return s
}

// dial connects a client and returns both ends.
func (s *served) dial(subprotocols ...string) (server net.Conn, client *websocket.Conn) {
	s.t.Helper()
	client, _, err := websocket.Dial(s.t.Context(), "ws://"+s.Addr().String()+"/mqtt", &websocket.DialOptions{Subprotocols: subprotocols})
	if err != nil {
		s.t.Fatal(err)
	}
	got := <-s.conns
	if got.err != nil {
		s.t.Fatal(got.err)
	}
	s.t.Cleanup(func() { client.CloseNow(); got.Close() })
	return got.Conn, client
}

func TestSubprotocols(t *testing.T) {
	s := serve(t, Config{})
	tests := []struct {
		offered []string
		want    string
	}{
		{[]string{"mqtt"}, "mqtt"},
		{[]string{"mqttv3.1"}, "mqttv3.1"},
		{[]string{"mqttv3.1", "mqtt"}, "mqtt"},
		{[]string{"chat", "mqtt"}, "mqtt"},
	}
	for _, tt := range tests {
		if _, client := s.dial(tt.offered...); client.Subprotocol() != tt.want {
			t.Errorf("offered %q: got %q, want %q", tt.offered, client.Subprotocol(), tt.want)
		}
	}
}

// request is a good one, line by line, which the cases below spoil.
func request(replace ...string) string {
	return strings.NewReplacer(replace...).Replace("GET /mqtt HTTP/1.1\r\n" +
		"Host: broker\r\n" +
		"Connection: Upgrade\r\n" +
		"Upgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
		"Sec-WebSocket-Protocol: mqtt\r\n" +
		"\r\n")
}

func TestRequests(t *testing.T) {
	cookie := func(n int) string { return "Host: broker\r\nCookie: a=" + strings.Repeat("x", n) + "\r\n" }
	tests := []struct {
		name    string
		config  Config
		request string
		status  int
		text    string
	}{
		{"a good one", Config{}, request(), 101, ""},
		{"at the root", Config{}, request("/mqtt", "/"), 101, ""},
		{"with a query", Config{}, request("/mqtt", "/mqtt?x=1"), 101, ""},
		{"at a configured path", Config{Path: "/broker"}, request("/mqtt", "/broker"), 101, ""},
		{"at the root beside a configured path", Config{Path: "/broker"}, request("/mqtt", "/"), 404, `not at "/"`},
		{"at another path", Config{}, request("/mqtt", "/mqtt/"), 404, `not at "/mqtt/"`},
		{"no subprotocol", Config{}, request("Sec-WebSocket-Protocol: mqtt\r\n", ""), 400, `"mqtt" or "mqttv3.1"`},
		{"another subprotocol", Config{}, request(": mqtt\r\n", ": mqttv5, chat\r\n"), 400, `"mqtt" or "mqttv3.1"`},
		{"a page visit", Config{}, request("Connection: Upgrade\r\nUpgrade: websocket\r\n", ""), 426, "Upgrade"},
		{"POST", Config{}, request("GET", "POST"), 405, "not GET"},
		{"another version", Config{}, request("Version: 13", "Version: 8"), 400, "only 13"},
		{"no key", Config{}, request("Sec-WebSocket-Key", "X-Key"), 400, "Sec-WebSocket-Key"},
		{"no HTTP", Config{}, "hello\r\n\r\n", 400, "not an HTTP request"},
		{"a Cookie of 16 KiB", Config{}, request("Host: broker\r\n", cookie(16<<10)), 101, ""},
		{"a Cookie of 32 KiB", Config{}, request("Host: broker\r\n", cookie(32<<10)), 431, "32768 bytes"},
		{"any page", Config{}, request("Host: broker\r\n", "Host: broker\r\nOrigin: https://evil.test\r\n"), 101, ""},
		{"a page of another host", Config{Origins: []string{"*.works.test"}}, request("Host: broker\r\n", "Host: broker\r\nOrigin: https://evil.test\r\n"), 403, "evil.test"},
		{"a page of an allowed host", Config{Origins: []string{"*.works.test"}}, request("Host: broker\r\n", "Host: broker\r\nOrigin: https://a.works.test\r\n"), 101, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, tt.config)
			client, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if _, err := io.WriteString(client, tt.request); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(bufio.NewReader(client), nil)
			if err != nil {
				t.Fatal(err)
			}
			server := <-s.conns
			defer server.Close()
			if answer.StatusCode != tt.status {
				t.Errorf("status %d, want %d", answer.StatusCode, tt.status)
			}
			if (server.err == nil) != (tt.status == 101) {
				t.Errorf("status %d, and the handshake ended with %v", tt.status, server.err)
			}
			server.Close()
			if tt.status != 101 {
				body, _ := io.ReadAll(answer.Body)
				if !strings.Contains(string(body), tt.text) || !strings.Contains(server.err.Error(), tt.text) {
					t.Errorf("%q must be in the body %q and in the error %q", tt.text, body, server.err)
				}
			}
		})
	}
}

func TestPlainMQTT(t *testing.T) {
	s := serve(t, Config{})
	client, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Write([]byte("\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00")); err != nil {
		t.Fatal(err)
	}
	server := <-s.conns
	defer server.Close()
	if server.err == nil || !strings.Contains(server.err.Error(), "ws://") {
		t.Errorf("error %v, want one that names ws://", server.err)
	}
}

// A client that is slow with its request holds nobody else, and ends with ctx.
func TestSlowHandshake(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Listen(inner, Config{})
	defer l.Close()
	dial := func(request string) (client, server net.Conn) {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(client, request); err != nil {
			t.Fatal(err)
		}
		if server, err = l.Accept(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close(); server.Close() })
		return client, server
	}
	_, slow := dial(request()[:40])
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- slow.(core.Handshaker).Handshake(ctx) }()

	_, quick := dial(request())
	if err := quick.(core.Handshaker).Handshake(t.Context()); err != nil {
		t.Errorf("behind a slow client: %v", err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("slow handshake ended with %v, want %v", err, context.Canceled)
	}
}

// Frames and fragments cut anywhere carry one stream, both ways. [MQTT-6.0.0-2]
func TestFramesCutAnywhere(t *testing.T) {
	s := serve(t, Config{})
	server, client := s.dial("mqtt")
	client.SetReadLimit(maxFrame)
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOf(rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 0, 300))).Draw(t, "messages of fragments")
		var want []byte
		for _, message := range parts {
			want = append(want, bytes.Join(message, nil)...)
		}
		sent := make(chan error, 1)
		go func() { sent <- sendMessages(ctx, client, parts) }()
		got := make([]byte, len(want))
		for n := 0; n < len(got); {
			k, err := server.Read(got[n:min(len(got), n+rapid.IntRange(1, 400).Draw(t, "read"))])
			if err != nil {
				t.Fatal(err)
			}
			n += k
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatal("the server read other bytes than were sent")
		}
		go func() { _, err := server.Write(want); sent <- err }()
		var back []byte
		for len(back) < len(want) {
			kind, message, err := client.Read(ctx)
			if err != nil || kind != websocket.MessageBinary {
				t.Fatalf("kind %v, err %v", kind, err)
			}
			back = append(back, message...)
		}
		if err := <-sent; err != nil || !bytes.Equal(back, want) {
			t.Fatalf("the client read other bytes than were sent (err %v)", err)
		}
	})
}

func sendMessages(ctx context.Context, client *websocket.Conn, parts [][][]byte) error {
	for _, message := range parts {
		w, err := client.Writer(ctx, websocket.MessageBinary)
		if err != nil {
			return err
		}
		for _, fragment := range message {
			if _, err := w.Write(fragment); err != nil {
				return err
			}
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
	return nil
}

// What is larger than clients take in one message by default goes in several.
func TestLargeWrite(t *testing.T) {
	server, client := serve(t, Config{}).dial("mqtt")
	want := bytes.Repeat([]byte("0123456789"), 50_000)
	sent := make(chan error, 1)
	go func() { _, err := server.Write(want); sent <- err }()
	var got []byte
	for len(got) < len(want) {
		_, message, err := client.Read(t.Context()) // its default limit holds: 32 KiB
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, message...)
	}
	if err := <-sent; err != nil || !bytes.Equal(got, want) {
		t.Errorf("other bytes came than were sent (err %v)", err)
	}
}

// [MQTT-6.0.0-1]
func TestTextFrame(t *testing.T) {
	server, client := serve(t, Config{}).dial("mqtt")
	if err := client.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Read(make([]byte, 10)); err == nil || !strings.Contains(err.Error(), "MQTT-6.0.0-1") {
		t.Errorf("Read: %v, want an error that cites MQTT-6.0.0-1", err)
	}
	if _, _, err := client.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusUnsupportedData {
		t.Errorf("the client got %v, want a close with 1003", err)
	}
}

func TestClose(t *testing.T) {
	t.Run("by the client", func(t *testing.T) {
		server, client := serve(t, Config{}).dial("mqtt")
		go client.Close(websocket.StatusNormalClosure, "")
		if n, err := server.Read(make([]byte, 10)); n != 0 || err != io.EOF {
			t.Errorf("Read: %d, %v, want 0, %v", n, err, io.EOF)
		}
	})
	t.Run("by the server, under a blocked Read", func(t *testing.T) {
		server, client := serve(t, Config{}).dial("mqtt")
		ended := make(chan error, 1)
		go func() { _, err := server.Read(make([]byte, 10)); ended <- err }()
		server.Close()
		if err := <-ended; err == nil {
			t.Error("Read returned without data")
		}
		if _, _, err := client.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
			t.Errorf("the client got %v, want a close with 1000", err)
		}
		if err := server.SetReadDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("SetReadDeadline: %v, want %v", err, net.ErrClosed)
		}
	})
	t.Run("before the handshake", func(t *testing.T) {
		a, b := net.Pipe()
		defer b.Close()
		c := &conn{raw: a, config: &Config{}}
		if _, err := c.Read(make([]byte, 1)); err != errBeforeHandshake {
			t.Errorf("Read: %v", err)
		}
		if _, err := c.Write([]byte("x")); err != errBeforeHandshake {
			t.Errorf("Write: %v", err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// upgraded returns a server conn over a pipe and its peer, which takes nothing
// that it is not read from.
func upgraded(t *testing.T) (*conn, net.Conn) {
	t.Helper()
	a, b := net.Pipe()
	c := &conn{raw: a, config: &Config{}}
	answered := make(chan error, 1)
	go func() {
		if _, err := io.WriteString(b, request()); err != nil {
			answered <- err
			return
		}
		_, err := http.ReadResponse(bufio.NewReader(b), nil)
		answered <- err
	}()
	if err := errors.Join(c.Handshake(t.Context()), <-answered); err != nil {
		t.Fatal(err)
	}
	return c, b
}

// Close does not wait for a peer that takes nothing, with a Write under way or
// without.
func TestCloseOfDeafPeer(t *testing.T) {
	for _, writing := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c, peer := upgraded(t)
			defer peer.Close()
			ended := make(chan error, 1)
			if writing {
				go func() { _, err := c.Write(make([]byte, 100)); ended <- err }()
				synctest.Wait()
			}
			start := time.Now()
			c.Close()
			if took := time.Since(start); took > closeWait {
				t.Errorf("writing %v: Close took %v, want at most %v", writing, took, closeWait)
			}
			if writing {
				if err := <-ended; err == nil {
					t.Error("the Write of which nothing was taken succeeded")
				}
			}
		})
	}
}

// A frame of which a part came before the deadline yields no masked bytes.
func TestDeadlineInsideFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := upgraded(t)
		defer peer.Close()
		defer c.Close()
		if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		go peer.Write([]byte{0x82, 0x84, 1, 2, 3, 4, 'a', 'b'}) // 4 masked bytes announced, 2 sent
		n, err := c.Read(make([]byte, 10))
		if n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read: %d, %v, want 0, %v", n, err, os.ErrDeadlineExceeded)
		}
	})
}

func TestHandshakeLeavesDeadlinesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer b.Close()
		c := &conn{raw: a, config: &Config{}}
		if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		go func() {
			io.WriteString(b, request())
			http.ReadResponse(bufio.NewReader(b), nil)
		}()
		if err := c.Handshake(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read: %v, want %v: the deadline set before the handshake is the broker's", err, os.ErrDeadlineExceeded)
		}
	})
}

// fakeTLS stands for a connection of the TLS plugin.
type fakeTLS struct {
	net.Conn
	shaken bool
}

func (f *fakeTLS) Handshake(context.Context) error { f.shaken = true; return nil }
func (f *fakeTLS) TLSInfo() *core.TLSInfo          { return &core.TLSInfo{Version: "1.3", CommonName: "gw-7"} }

func TestOverTLS(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	under := &fakeTLS{Conn: a}
	c := &conn{raw: under, config: &Config{}}
	go func() {
		io.WriteString(b, request())
		http.ReadResponse(bufio.NewReader(b), nil)
		io.Copy(io.Discard, b)
	}()
	if err := c.Handshake(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if !under.shaken {
		t.Error("the handshake of the connection under this one was not done")
	}
	if diff := cmp.Diff(under.TLSInfo(), c.TLSInfo()); diff != "" {
		t.Error(diff)
	}
	if (&conn{raw: a}).TLSInfo() != nil {
		t.Error("facts of TLS without TLS")
	}
	if c.RemoteAddr() != a.RemoteAddr() {
		t.Error("RemoteAddr is not that of the peer")
	}
}
