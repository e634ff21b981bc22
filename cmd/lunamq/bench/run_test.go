package bench

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"lunamq/core/packet"
)

// defaults are those of a scenario, small enough for a test.
func defaults(t *testing.T, scenario, url string) Options {
	t.Helper()
	s, err := FindScenario(scenario)
	if err != nil {
		t.Fatal(err)
	}
	o := s.Defaults()
	o.URL, o.Warmup = url, 0
	o.Settle = 0
	return o
}

// Each scenario, in all versions, QoS and transports: what was sent has arrived,
// once and in order, and is counted right.
func TestScenarios(t *testing.T) {
	for _, c := range []struct {
		name     string
		scenario string
		scheme   string
		change   func(*Options)
		phases   string // names and what is done in each
		due      int64  // in the last phase
	}{
		{"pair", "pair", "tcp", func(o *Options) { o.Messages = 1003 }, "messages 1003", 1003},
		{"pair warmed up", "pair", "tcp", func(o *Options) { o.Warmup, o.Messages = time.Millisecond, 500 }, "messages 500", -1},
		{"bursts", "pair", "tcp", func(o *Options) { o.Messages, o.Burst, o.Version = 1000, 32, packet.V5 }, "messages 1000", 1000},
		{"burst above the window", "pair", "tcp", func(o *Options) { o.Messages, o.Burst, o.Window, o.QoS = 1000, 32, 5, 1 }, "messages 1000", 1000},
		{"QoS 1", "pair", "tcp", func(o *Options) { o.Messages, o.QoS = 1000, 1 }, "messages 1000", 1000},
		{"QoS 1, 5", "pair", "tcp", func(o *Options) { o.Messages, o.QoS, o.Version = 1000, 1, packet.V5 }, "messages 1000", 1000},
		{"QoS 2", "pair", "tcp", func(o *Options) { o.Messages, o.QoS = 1000, 2 }, "messages 1000", 1000},
		{"QoS 2, 5", "pair", "tcp", func(o *Options) { o.Messages, o.QoS, o.Version, o.Clean = 1000, 2, packet.V5, false }, "messages 1000", 1000},
		{"3.1", "pair", "tcp", func(o *Options) { o.Messages, o.QoS, o.Version = 100, 1, packet.V31 }, "messages 100", 100},
		{"identifiers come round", "pair", "tcp", func(o *Options) { o.Pairs, o.Messages, o.QoS, o.Burst = 1, 70_000, 1, 25 }, "messages 70000", 70_000},
		{"topics of their own", "pair", "tcp", func(o *Options) {
			o.Messages, o.Topic, o.Filter, o.QoS = 500, "a/%i/%n/%r", "a/%i/+/#", 1
		}, "messages 500", 500},
		{"everybody hears everybody", "pair", "tcp", func(o *Options) { o.Pairs, o.Messages, o.Filter = 4, 100, "bench/#" }, "messages 400", 400},
		{"large payloads", "pair", "tcp", func(o *Options) { o.Pairs, o.Messages, o.Size = 2, 40, 200_000 }, "messages 40", 40},
		{"tls", "pair", "tls", func(o *Options) { o.Messages, o.QoS = 200, 1 }, "messages 200", 200},
		{"ws", "pair", "ws", func(o *Options) { o.Messages, o.QoS = 200, 2 }, "messages 200", 200},
		{"wss", "pair", "wss", func(o *Options) { o.Messages = 200 }, "messages 200", 200},
		{"fanout", "fanout", "tcp", func(o *Options) { o.Messages = 50 }, "messages 5000", 5000},
		{"fanin", "fanin", "tcp", func(o *Options) { o.Messages, o.QoS = 1000, 1 }, "messages 1000", 1000},
		{"pingpong", "pingpong", "tcp", func(o *Options) { o.Messages = 100 }, "messages 100", 100},
		{"paced", "paced", "tcp", func(o *Options) { o.Messages, o.Pairs, o.Rate = 150, 7, 10_000 }, "messages 150", 150},
		{"paced QoS 2", "paced", "tcp", func(o *Options) { o.Messages, o.Pairs, o.QoS = 150, 7, 2 }, "messages 150", 150},
		{"idle", "idle", "tcp", func(o *Options) { o.Clients = 50 }, "connect 50, idle 50", 0},
		{"connect", "connect", "tcp", func(o *Options) { o.Messages, o.Clients = 101, 5 }, "connect 101", 0},
		{"retained", "retained", "tcp", func(o *Options) { o.Count = 333 }, "set 333, read 1332", 1332},
		{"retained QoS 1", "retained", "tcp", func(o *Options) { o.Count, o.QoS, o.Version, o.Burst = 333, 1, packet.V5, 8 }, "set 333, read 1332", 1332},
		{"retained QoS 2", "retained", "tcp", func(o *Options) { o.Count, o.QoS = 333, 2 }, "set 333, read 1332", 1332},
		{"filters", "filters", "tcp", func(o *Options) { o.Count, o.Messages = 2500, 1000 }, "subscribe 2500, publish 1000", 1000},
		{"filters of three", "filters", "tcp", func(o *Options) { o.Count, o.Subscribers, o.Messages = 2500, 3, 1000 }, "subscribe 2500, publish 1000", 1000},
		{"filters QoS 1", "filters", "tcp", func(o *Options) { o.Count, o.Messages, o.QoS = 900, 200, 1 }, "subscribe 900, publish 200", 200},
		{"reconnect-storm", "reconnect-storm", "tcp", func(o *Options) { o.Clients, o.Version, o.Clean = 100, packet.V5, false }, "connect 100, back 100", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			url, trust := startBroker(t, c.scheme)
			o := defaults(t, c.scenario, url)
			o.TLS = trust
			c.change(&o)
			r, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			var phases []string
			for _, p := range r.Phases {
				phases = append(phases, fmt.Sprintf("%s %d", p.Name, p.Done))
			}
			if got := strings.Join(phases, ", "); got != c.phases {
				t.Errorf("phases: %s, want %s", got, c.phases)
			}
			last := r.Phases[len(r.Phases)-1]
			want := Deliveries{Due: c.due, Failed: last.Failed}
			if c.due < 0 {
				want.Due = last.Due
			}
			if last.Deliveries != want {
				t.Errorf("books: %+v, want %+v", last.Deliveries, want)
			}
		})
	}
}

// patience with messages that never come: far more than a busy machine takes for
// those that do.
const patience = 1500 * time.Millisecond

// What is lost, comes twice or out of order on the way to a subscriber is seen,
// and with QoS 1 and 2 it is an error.
func TestFaults(t *testing.T) {
	drop := func([]byte) []byte { return nil }
	twice := func(raw []byte) []byte { return append(append([]byte(nil), raw...), raw...) }
	var kept []byte
	late := func() fault {
		seen := 0
		return func(h packet.Header, raw []byte) []byte {
			if h.Type == packet.PUBLISH {
				seen++
			}
			switch {
			case h.Type == packet.PUBLISH && seen == 3:
				kept = append([]byte(nil), raw...)
				return nil
			case h.Type == packet.PUBLISH && seen == 5:
				return append(append([]byte(nil), raw...), kept...)
			}
			return raw
		}
	}
	for _, c := range []struct {
		name  string
		qos   byte
		fault func() fault
		want  Deliveries
		err   string
	}{
		{"QoS 0 lost", 0, nth(7, drop), Deliveries{Due: 100, Lost: 1}, ""},
		{"QoS 0 twice", 0, nth(7, twice), Deliveries{Due: 100, Duplicated: 1}, ""},
		{"QoS 1 lost", 1, nth(7, drop), Deliveries{Due: 100, Lost: 1}, "of 100 messages with QoS 1, 1 were lost"},
		{"QoS 1, the last is lost", 1, nth(100, drop), Deliveries{Due: 100, Lost: 1}, "1 were lost"},
		{"QoS 1 twice", 1, nth(100, twice), Deliveries{Due: 100, Duplicated: 1}, "1 came twice"},
		{"QoS 1 out of order", 1, late, Deliveries{Due: 100, Reordered: 1}, "1 out of order"},
		{"QoS 2 lost", 2, nth(7, drop), Deliveries{Due: 100, Lost: 1}, "1 were lost"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // they wait for what is lost
			o := defaults(t, "pair", startFaulty(t, c.fault))
			o.Pairs, o.Messages, o.QoS, o.Patience = 1, 100, c.qos, patience
			r, err := Run(t.Context(), o)
			if err == nil && c.err != "" || err != nil && (c.err == "" || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if len(r.Phases) != 1 || r.Phases[0].Deliveries != c.want {
				t.Errorf("phases %+v, want %+v", r.Phases, c.want)
			}
		})
	}
}

// A broker that loses all of a window does not hold up the tool for ever, and one
// that loses a retained message is found out.
func TestFaultsEverywhere(t *testing.T) {
	t.Parallel()
	all := func() fault {
		return func(h packet.Header, raw []byte) []byte {
			if h.Type == packet.PUBLISH {
				return nil
			}
			return raw
		}
	}
	o := defaults(t, "pair", startFaulty(t, all))
	o.Pairs, o.Messages, o.Window, o.Patience = 1, 100, 10, patience
	r, err := Run(t.Context(), o)
	if err != nil || r.Phases[0].Done != 0 || r.Phases[0].Lost != 10 {
		t.Errorf("got %+v, %v, want 10 lost of a window of 10", r.Phases, err)
	}
	o = defaults(t, "retained", startFaulty(t, nth(3, func([]byte) []byte { return nil })))
	o.Count, o.QoS, o.Patience, o.Subscribers = 50, 1, patience, 1
	if _, err = Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "of 50 messages with QoS 1, 1 were lost") {
		t.Errorf("error %v, want one retained message lost", err)
	}
}

// What a broker refuses, or ends, ends the run, with the client and the reason.
func TestRefusals(t *testing.T) {
	never := func(h packet.Type, put []byte) func() fault {
		return func() fault {
			return func(got packet.Header, raw []byte) []byte {
				if got.Type == h {
					return put
				}
				return raw
			}
		}
	}
	for _, c := range []struct {
		name    string
		version packet.Version
		fault   func() fault
		err     string
	}{
		{"CONNACK of 3.1.1", packet.V311, never(packet.CONNACK, []byte{0x20, 2, 0, 5}), "s0: the broker refuses the connection: not authorized (return code 5)"},
		{"CONNACK of 5", packet.V5, never(packet.CONNACK, []byte{0x20, 3, 0, 0x87, 0}), "s0: the broker refuses the connection: not_authorized"},
		{"SUBACK", packet.V311, never(packet.SUBACK, []byte{0x90, 3, 0, 1, 0x80}), "s0: the broker refuses the subscription to bench/0"},
		{"less QoS", packet.V311, never(packet.SUBACK, []byte{0x90, 3, 0, 1, 0}), "s0: the broker grants QoS 0 to bench/0"},
		{"PUBACK", packet.V5, never(packet.PUBACK, []byte{0x40, 3, 0, 1, 0x87}), "p0: the broker refuses a message: not_authorized"},
		{"PUBACK of nothing", packet.V311, never(packet.PUBACK, []byte{0x40, 2, 0x77, 1}), "p0: PUBACK for packet 30465, which waits for none"},
		{"no PUBACK", packet.V311, never(packet.PUBACK, nil), "p0: 50 of 50 messages with QoS 1 were not acknowledged"},
		{"DISCONNECT", packet.V5, never(packet.PUBLISH, []byte{0xE0, 2, 0x8B, 0}), "s0: the broker disconnects: server_shutting_down"},
		{"no MQTT", packet.V311, never(packet.PUBLISH, []byte{0x00, 0}), "s0: malformed_packet"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := defaults(t, "pair", startFaulty(t, c.fault))
			o.Version, o.QoS, o.Pairs, o.Messages, o.Patience = c.version, 1, 1, 100, patience
			_, err := Run(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), c.err) || strings.HasSuffix(err.Error(), " ") {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}

// A connection that ends while messages flow ends the run.
func TestLostConnection(t *testing.T) {
	l := listen(t)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answerAndClose(c)
		}
	}()
	o := defaults(t, "pair", "tcp://"+l.Addr().String())
	o.Pairs = 1
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "client b") {
		t.Errorf("error %v, want one that names the client", err)
	}
	l.Close()
	if _, err := Run(t.Context(), o); !errors.As(err, new(*net.OpError)) || !strings.Contains(err.Error(), "s0") {
		t.Errorf("error %v of a broker that is not there", err)
	}
}

// answerAndClose accepts a client, and ends its connection at the next packet
// but SUBSCRIBE.
func answerAndClose(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if n == 0 && err != nil {
			return
		}
		switch packet.Type(buf[0] >> 4) {
		case packet.CONNECT:
			c.Write([]byte{0x20, 2, 0, 0})
		case packet.SUBSCRIBE:
			io.WriteString(c, "\x90\x03\x00\x01\x00")
		default:
			return
		}
	}
}

// The broker's cost is read from its process: here, this one.
func TestCost(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("/proc is Linux's")
	}
	url, _ := startBroker(t, "tcp")
	o := defaults(t, "pair", url)
	o.Messages, o.PID, o.Rest = 20_000, os.Getpid(), time.Millisecond
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	p := r.Phases[0]
	if c := p.Broker; c == nil || c.CPU <= 0 || c.RSS < 1<<20 || c.RSSBefore < 1<<20 || c.RSSRest < 1<<20 || c.Threads < 1 || p.OwnCPU <= 0 {
		t.Errorf("cost %+v, own CPU %g", c, p.OwnCPU)
	}
	// both are the same process, so they must agree: schedstat, stat and rusage
	if ratio := p.Broker.CPU / p.OwnCPU; ratio < 0.5 || ratio > 2 {
		t.Errorf("the process used %g µs by /proc and %g µs by getrusage", p.Broker.CPU, p.OwnCPU)
	}
	o.PID = 1 << 30
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "process 1073741824") {
		t.Errorf("error %v of a process that is not there", err)
	}
}

// Paced messages carry the time when they were due, which is to the nanosecond
// an interval after that of the one before, whenever they really left.
func TestPacedTimes(t *testing.T) {
	const every = 100 * time.Microsecond
	var mu sync.Mutex
	due := make(map[uint64]int64)
	url := startFaulty(t, func() fault {
		return func(h packet.Header, raw []byte) []byte {
			var p packet.Publish
			if h.Type == packet.PUBLISH && p.Decode(packet.V311, h, raw[h.HeaderLen:]) == nil {
				s := readStamp(p.Payload)
				mu.Lock()
				due[s.number*3+uint64(s.publisher)] = s.sent // three pairs in turn
				mu.Unlock()
			}
			return raw
		}
	})
	o := defaults(t, "paced", url)
	o.Pairs, o.Rate, o.Messages = 3, float64(time.Second/every), 300
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Phases[0].Latency == nil || len(due) != o.Messages {
		t.Fatalf("%d messages, latency %+v", len(due), r.Phases[0].Latency)
	}
	for k := range uint64(o.Messages - 1) {
		if d := time.Duration(due[k+1] - due[k]); d != every {
			t.Errorf("message %d was due %v after the one before, want %v", k+1, d, every)
		}
	}
}

func TestOptionErrors(t *testing.T) {
	for _, c := range []struct {
		change func(*Options)
		err    string
	}{
		{func(o *Options) { o.Scenario = "pear" }, `no scenario is called "pear": there are pair, fanout`},
		{func(o *Options) { o.QoS = 3 }, "QoS 3"},
		{func(o *Options) { o.Size = 23 }, "size 23"},
		{func(o *Options) { o.Burst = 0 }, "burst 0"},
		{func(o *Options) { o.Burst, o.Size = 60000, 60000 }, "bytes together"},
		{func(o *Options) { o.Window, o.QoS = 40000, 1 }, "window 40000"},
		{func(o *Options) { o.Pairs = 0 }, "below 1"},
		{func(o *Options) { o.Rate = 0 }, "rate 0"},
		{func(o *Options) { o.Duration = 0 }, "duration"},
		{func(o *Options) { o.Filter = "$share/g/a" }, "shared subscription"},
		{func(o *Options) { o.Filter = strings.Repeat("a", 2000) }, "at most 1024"},
		{func(o *Options) { o.URL = "http://127.0.0.1" }, "must be tcp://"},
		{func(o *Options) { o.URL = "tcp://%" }, "--url"},
	} {
		o := defaults(t, "pair", "tcp://127.0.0.1:1")
		c.change(&o)
		_, err := Run(t.Context(), o)
		if !errors.As(err, new(*OptionError)) || !strings.Contains(err.Error(), c.err) {
			t.Errorf("error %v, want %q", err, c.err)
		}
	}
	url, _ := startBroker(t, "tcp")
	for _, c := range []struct {
		scenario, topic, filter, err string
	}{
		{"pair", "a", "b", "matches any"},
		{"pair", "a/+", "b", "must not be empty"},
		{"pair", "a", "", "the filter is empty"},
		{"pair", "a%", "b", "ends in %"},
		{"pair", "a%x", "b", "%x is no place"},
		{"retained", "a/b", "a/#", "must have %n"},
		{"retained", "a/%n", "b/#", "matches any"},
		{"filters", "a/%n", "a/+", "and no other"},
		{"filters", "a/%n", "b/%n", "of its number"},
		{"idle", "a", "%q", "no place"},
		{"reconnect-storm", "a", "%q", "no place"},
	} {
		o := defaults(t, c.scenario, url)
		o.Topic, o.Filter = c.topic, c.filter
		_, err := Run(t.Context(), o)
		if !errors.As(err, new(*OptionError)) || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s %q %q: error %v, want %q", c.scenario, c.topic, c.filter, err, c.err)
		}
	}
}
