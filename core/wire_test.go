package core

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"lunamq/core/packet"
)

// The wire cases of testdata/wire/*.txt. A file is a list of cases:
//
//	# name of the case, with the specification's number
//	$ MaxQoS=1 SessionExpiryV3=1h        options of the broker (Options, ListenerOptions)
//	$ memory                             not with a durable store
//	> a: CONNECT id=a will=t:bye:q1      sent by the connection named a
//	> a: hex 10 02 00 04                 the same, for what cannot be encoded
//	< a: CONNACK code=0x82 reason=*      received by a: exact bytes; * whatever is there
//	! a                                  a is closed by the broker, and nothing came before
//	~ a                                  a drops its socket, and the broker has seen it
//	= a b                                a and b have had all that was sent to them: nothing
//	@ restart                            the broker is ended and made again on the same store
//	@ kick id reason                     the administrator disconnects a client
//	@ sessions 1                         the broker has come to have so many sessions
//
// A case is run with the store in memory on every driver, and with a durable one. Lines before the first case hold for all of the file; // begins a comment.
// After the last line nothing more may have come. How packets are written is in
// packetline_test.go.
func TestWire(t *testing.T) {
	files, err := filepath.Glob("testdata/wire/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no wire cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			for _, c := range readWireCases(t, file) {
				t.Run(c.name, func(t *testing.T) {
					onDrivers(t, func(t *testing.T, d Driver) {
						t.Parallel()
						c.run(t, file, NewMemoryStore(), d)
					})
				})
				if c.memory {
					continue
				}
				t.Run(c.name+", durable", func(t *testing.T) {
					t.Parallel()
					c.run(t, file, newRefStore(), DefaultOptions().Driver)
				})
			}
		})
	}
}

type wireCase struct {
	name    string
	memory  bool // with the store in memory alone
	options []string
	lines   []wireLine
}

type wireLine struct {
	number int
	text   string
}

func readWireCases(t testing.TB, file string) (cases []wireCase) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var common []string
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		switch {
		case line == "", strings.HasPrefix(line, "//"):
		case strings.HasPrefix(line, "#"):
			cases = append(cases, wireCase{name: strings.TrimSpace(line[1:]), options: common})
		case strings.HasPrefix(line, "$"):
			set := strings.Fields(line[1:])
			if len(cases) == 0 {
				common = append(common, set...)
				continue
			}
			c := &cases[len(cases)-1]
			if len(set) == 1 && set[0] == "memory" {
				c.memory = true
				continue
			}
			c.options = append(c.options[:len(c.options):len(c.options)], set...)
		case len(cases) == 0:
			t.Fatalf("%s:%d: before the first case", file, number)
		default:
			c := &cases[len(cases)-1]
			c.lines = append(c.lines, wireLine{number, line})
		}
	}
	return cases
}

// wireOptions are the defaults but for what would be in every CONNACK.
func wireOptions() Options {
	o := DefaultOptions()
	o.SysInterval = 0
	o.Listener.ReceiveMaximum = 65_535
	o.Listener.MaxPacketSize = maxWirePacket
	o.Listener.TopicAliasMaximum = 0
	o.Listener.TopicAliasMaximumOut = 0
	return o
}

// setOption sets one field of o, or of o.Listener, from key=value.
func setOption(o *Options, option string) error {
	key, value, _ := strings.Cut(option, "=")
	f := reflect.ValueOf(o).Elem().FieldByName(key)
	if !f.IsValid() {
		f = reflect.ValueOf(&o.Listener).Elem().FieldByName(key)
	}
	if !f.IsValid() {
		return fmt.Errorf("no option %q", key)
	}
	switch f.Interface().(type) {
	case time.Duration:
		d, err := time.ParseDuration(value)
		f.SetInt(int64(d))
		return err
	case bool:
		v, err := strconv.ParseBool(value)
		f.SetBool(v)
		return err
	case byte:
		n, err := strconv.ParseUint(value, 0, 8)
		f.SetUint(n)
		return err
	case int, int64:
		n, err := strconv.ParseInt(value, 0, 64)
		f.SetInt(n)
		return err
	case float64:
		n, err := strconv.ParseFloat(value, 64)
		f.SetFloat(n)
		return err
	case []int:
		var list []int
		for _, s := range strings.Split(value, ",") {
			n, err := strconv.Atoi(s)
			if err != nil {
				return err
			}
			list = append(list, n)
		}
		f.Set(reflect.ValueOf(list))
		return nil
	}
	return fmt.Errorf("option %q has a type that no case sets", key)
}

// wireRun is one case under way.
type wireRun struct {
	t       *testing.T
	where   string
	options Options
	broker  *Broker
	addr    string
	conns   map[string]*wireConn
	order   []string
}

// wireConn is one client.
type wireConn struct {
	net      net.Conn
	in       *bufio.Reader
	version  packet.Version
	accepted bool
	closed   bool
}

// wirePatience is how long a case waits for what must come.
const wirePatience = 10 * time.Second

func (c wireCase) run(t *testing.T, file string, store Store, d Driver) {
	r := &wireRun{t: t, options: wireOptions(), conns: make(map[string]*wireConn)}
	r.options.Store, r.options.Driver = store, d
	for _, o := range c.options {
		if err := setOption(&r.options, o); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	r.start()
	defer func() { r.shutdown() }()
	for _, line := range c.lines {
		r.where = fmt.Sprintf("%s:%d: %s", file, line.number, line.text)
		r.do(line.text)
	}
	r.where = file + ": after the last line of " + c.name
	r.barrier(r.order)
	for _, name := range r.order {
		r.quiet(name)
	}
}

func (r *wireRun) start() {
	b, err := New(r.options)
	if err != nil {
		r.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	go b.Serve(Listener{Name: "wire", Net: l})
	r.broker, r.addr = b, l.Addr().String()
}

func (r *wireRun) shutdown() {
	for _, c := range r.conns {
		c.net.Close()
	}
	r.conns, r.order = make(map[string]*wireConn), nil
	ctx, cancel := context.WithTimeout(context.Background(), wirePatience)
	defer cancel()
	if err := r.broker.Shutdown(ctx); err != nil {
		r.t.Error(err)
	}
}

func (r *wireRun) fatalf(format string, args ...any) {
	r.t.Helper()
	r.t.Fatalf(r.where+"\n\t"+format, args...)
}

// do runs one line.
func (r *wireRun) do(line string) {
	r.t.Helper()
	rest := strings.TrimSpace(line[1:])
	name, text, _ := strings.Cut(rest, ":")
	text = strings.TrimSpace(text)
	switch line[0] {
	case '>':
		r.send(r.conn(name), text)
	case '<':
		r.expect(r.conn(name), text)
	case '!':
		r.expectClose(r.conn(name))
	case '~':
		r.drop(r.conn(name))
	case '=':
		r.barrier(strings.Fields(rest))
	case '@':
		r.command(strings.Fields(rest))
	default:
		r.fatalf("what is %q?", line[:1])
	}
}

// conn returns the connection of a name, made at its first mention.
func (r *wireRun) conn(name string) *wireConn {
	r.t.Helper()
	if c := r.conns[name]; c != nil && !c.closed {
		return c
	}
	nc, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.fatalf("%v", err)
	}
	if r.conns[name] == nil {
		r.order = append(r.order, name)
	}
	c := &wireConn{net: nc, in: bufio.NewReader(nc), version: packet.V5}
	r.conns[name] = c
	r.t.Cleanup(func() { nc.Close() })
	return c
}

func (r *wireRun) send(c *wireConn, text string) {
	r.t.Helper()
	p, v, err := encodeLine(text, c.version)
	if err != nil {
		r.fatalf("%v", err)
	}
	c.version = v
	c.net.SetWriteDeadline(time.Now().Add(wirePatience))
	if _, err := c.net.Write(p); err != nil {
		r.fatalf("%v", err)
	}
}

func (r *wireRun) expect(c *wireConn, text string) {
	r.t.Helper()
	got, err := c.read()
	if err != nil {
		r.fatalf("nothing came: %v", err)
	}
	want, err := encodeExpected(text, c.version, got)
	if err != nil {
		r.fatalf("%v", err)
	}
	if !bytes.Equal(got, want) {
		r.fatalf("got  % x  %s\n\twant % x", got, describePacket(got, c.version), want)
	}
	if packet.Type(got[0]>>4) == packet.CONNACK {
		c.accepted = len(got) > 3 && got[3] == 0
	}
}

// read reads one packet.
func (c *wireConn) read() ([]byte, error) {
	c.net.SetReadDeadline(time.Now().Add(wirePatience))
	var p []byte
	for {
		b, err := c.in.ReadByte()
		if err != nil {
			return p, err
		}
		p = append(p, b)
		h, ok, err := packet.ParseHeader(p)
		if err != nil {
			return p, err
		}
		if ok {
			body := make([]byte, h.Length)
			_, err := io.ReadFull(c.in, body)
			return append(p, body...), err
		}
	}
}

func (r *wireRun) expectClose(c *wireConn) {
	r.t.Helper()
	c.net.SetReadDeadline(time.Now().Add(wirePatience))
	rest, err := io.ReadAll(c.in)
	if len(rest) > 0 {
		r.fatalf("before the close came % x  %s", rest, describePacket(rest, c.version))
	}
	if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		r.fatalf("not closed")
	}
	c.closed = true
	c.net.Close()
}

func (r *wireRun) drop(c *wireConn) {
	r.t.Helper()
	c.net.(*net.TCPConn).CloseWrite()
	c.net.SetReadDeadline(time.Now().Add(wirePatience))
	if _, err := io.Copy(io.Discard, c.in); err != nil {
		r.fatalf("the broker has not seen the end: %v", err)
	}
	c.closed = true
	c.net.Close()
}

// barrier holds that nothing more has come: twice a ping to each, so that what
// the handling of the first has sent to others is behind the second.
func (r *wireRun) barrier(names []string) {
	r.t.Helper()
	for range 2 {
		for _, name := range names {
			c := r.conns[name]
			if c == nil || c.closed || !c.accepted {
				continue
			}
			r.send(c, "PINGREQ")
			r.expect(c, "PINGRESP")
		}
	}
}

// quiet holds that a connection that cannot ping was sent nothing.
func (r *wireRun) quiet(name string) {
	r.t.Helper()
	c := r.conns[name]
	if c == nil || c.closed || c.accepted {
		return
	}
	c.net.(*net.TCPConn).CloseWrite()
	r.expectClose(c)
}

func (r *wireRun) command(words []string) {
	r.t.Helper()
	switch words[0] {
	case "restart":
		r.shutdown()
		r.start()
	case "kick":
		reason, ok := packet.ReasonByName(words[2])
		if !ok || !r.broker.Kick("", words[1], reason, "", "admin") {
			r.fatalf("no such reason or client")
		}
	case "sessions":
		eventually(r.t, r.where, func() bool { return fmt.Sprint(r.broker.sessions.count.Load()) == words[1] })
	default:
		r.fatalf("no such command")
	}
}
