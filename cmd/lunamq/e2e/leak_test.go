package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"lunamq/core"
	"lunamq/core/packet"
	"lunamq/scripting"
)

// inside is a broker with its rules in the process of the test, where its
// goroutines and its memory can be counted.
type inside struct {
	t      *testing.T
	broker *core.Broker
	engine *scripting.Engine
	rules  string
	addr   string
	served chan error
}

func startInside(t *testing.T) *inside {
	t.Helper()
	o := core.DefaultOptions()
	o.SysInterval = 0
	b, err := core.New(o)
	if err != nil {
		t.Fatal(err)
	}
	in := &inside{t: t, broker: b, rules: t.TempDir(), served: make(chan error, 1)}
	in.save(0)
	in.engine = scripting.New(b, scripting.Options{Dir: in.rules})
	if err := in.engine.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	in.addr = l.Addr().String()
	go func() { in.served <- b.Serve(core.Listener{Name: "local", Net: l}) }()
	return in
}

// stop ends the broker and its rules.
func (in *inside) stop() {
	in.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := in.broker.Shutdown(ctx); err != nil {
		in.t.Error(err)
	}
	if err := in.engine.Stop(ctx); err != nil {
		in.t.Error(err)
	}
	if err := in.broker.Close(); err != nil {
		in.t.Error(err)
	}
	<-in.served
}

// leakRules takes part in everything that a client does.
const leakRules = `-- version %d
local limiter = rate.limiter(1e6, 1e6)
mqtt.on("connect", function(c) c.vars.seen = "yes" end)
mqtt.on("connected", function(e) mqtt.publish{ topic = "leak/hello", payload = e.client.id } end)
mqtt.on("subscribe", function(s) s.qos = s.qos end)
mqtt.on("publish", "leak/#", function(msg)
  if not limiter:allow("all") then return mqtt.deny("quota_exceeded") end
  kv.incr("messages")
  msg.user_properties:add("stamp", "%d")
  msg.payload = json.encode({ text = msg.payload, by = msg.client.vars.seen })
end)
mqtt.on("publish", "leak/+/broken", function(msg) error("as it is meant to") end)
mqtt.on("will", function(msg) msg.payload = msg.payload .. " is gone" end)
mqtt.on("deliver", "leak/#", function(msg) msg.payload = msg.payload .. "!" end)
mqtt.on("dropped", function(e) kv.incr("dropped") end)
mqtt.on("disconnected", function(e) mqtt.publish{ topic = "leak/bye", payload = e.client.id } end)
`

func (in *inside) save(version int) {
	in.t.Helper()
	if err := os.WriteFile(filepath.Join(in.rules, "10-all.lua"), fmt.Appendf(nil, leakRules, version, version), 0o600); err != nil {
		in.t.Fatal(err)
	}
}

// reload saves and loads a version of the rules.
func (in *inside) reload(version int) {
	in.t.Helper()
	in.save(version)
	if err := in.engine.Reload(in.t.Context()); err != nil {
		in.t.Fatal(err)
	}
}

// TestLeak: when 300 clients have gone, some of them without a word and with
// messages on their way, nothing is left of them.
func TestLeak(t *testing.T) {
	idle := ours()
	in := startInside(t)
	in.visit(10) // what is made once is made
	goroutines, heap := ours(), heapInUse()
	for range 2 {
		in.visit(300)
		eventually(t, func() bool { return ours() <= goroutines }, goroutineDump)
		checkHeap(t, heap)
	}
	in.stop()
	eventually(t, func() bool { return ours() <= idle }, goroutineDump)
}

// visit lets n clients come, work and go, and returns when they have gone.
func (in *inside) visit(n int) {
	in.t.Helper()
	in.t.Run(fmt.Sprintf("%d clients", n), func(t *testing.T) {
		var clients []*socket
		for i := range n {
			clients = append(clients, in.client(t, i))
			if i%60 == 30 {
				in.reload(1000*n + i)
			}
		}
		for i, s := range clients {
			switch i % 4 {
			case 0: // without a word
			case 1: // with a reset, and messages unread
				s.net.(*net.TCPConn).SetLinger(0)
			case 2: // in the middle of a packet
				s.send([]byte{0x32, 0x7F, 0x00})
			case 3:
				s.send((&packet.Disconnect{}).Append(nil, s.version))
			}
			s.net.Close()
		}
	})
	m := in.broker.Metrics()
	eventually(in.t, func() bool {
		return m.Connections.Load() == 0 && m.Connected.Load() == 0 && m.Subscriptions.Load() == 0
	}, func() string {
		return fmt.Sprintf("%d connections, %d connected, %d subscriptions are left", m.Connections.Load(), m.Connected.Load(), m.Subscriptions.Load())
	})
}

// client connects the i-th client, with a will, and lets it publish at every
// QoS. It leaves half of what it gets unacknowledged.
func (in *inside) client(t *testing.T, i int) *socket {
	t.Helper()
	id := fmt.Sprintf("leak-%d", i)
	s := openSocket(t, in.addr)
	s.connect(&packet.Connect{
		Version: packet.V311 + packet.Version(i%2), ClientID: id, CleanStart: true, KeepAlive: 60,
		HasWill: i%3 > 0, Will: packet.Will{Topic: "leak/wills", Payload: []byte(id), QoS: byte(i % 3)},
	})
	s.subscribe(2, "leak/"+id+"/#", "$share/leak/leak/shared", "leak/wills")
	for qos := range byte(3) {
		m := packet.Publish{Topic: "leak/" + id + "/own", QoS: qos, PacketID: uint16(qos), Payload: []byte("text")}
		s.send(m.Append(nil, s.version))
	}
	s.send((&packet.Publish{Topic: "leak/shared", QoS: 1, PacketID: 8}).Append(nil, s.version))
	s.send((&packet.Publish{Topic: "leak/" + id + "/broken", QoS: 1, PacketID: 9}).Append(nil, s.version))
	for acks := 0; acks < 4; { // PUBACK of 1, 8 and 9, PUBREC of 2; the messages come among them
		h, _, err := s.read()
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		if h.Type == packet.PUBACK || h.Type == packet.PUBREC {
			acks++
		}
	}
	return s
}

// TestLeakReload: 1000 generations of rules leave nothing behind.
func TestLeakReload(t *testing.T) {
	brokers, reloads := 20, 50 // side by side, for each waits until its folder is quiet
	if testing.Short() {
		reloads = 5
	}
	idle := ours()
	all := make([]*inside, brokers)
	for i := range all {
		all[i] = startInside(t)
	}
	turn := func(from, to int) {
		errs := make(chan error, brokers)
		for _, in := range all {
			go func() {
				for version := from; version < to; version++ {
					in.save(version)
					if err := in.engine.Reload(t.Context()); err != nil {
						errs <- err
						return
					}
				}
				errs <- nil
			}()
		}
		for range all {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	}
	turn(1, 3)
	goroutines, heap := ours(), heapInUse()
	turn(3, 3+reloads)
	for _, in := range all {
		if g := in.engine.Status().Generation; g != reloads+3 {
			t.Errorf("generation %d after %d reloads", g, reloads+2)
		}
	}
	eventually(t, func() bool { return ours() <= goroutines }, goroutineDump)
	checkHeap(t, heap)
	for _, in := range all {
		in.stop()
	}
	eventually(t, func() bool { return ours() <= idle }, goroutineDump)
}

// ours counts the goroutines that run code of the broker or its rules.
func ours() (n int) {
	for stack := range strings.SplitSeq(goroutineDump(), "\n\n") {
		if strings.Contains(stack, "lunamq/core.") || strings.Contains(stack, "lunamq/scripting") {
			n++
		}
	}
	return n
}

func goroutineDump() string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			return string(buf[:n])
		}
		buf = make([]byte, 2*len(buf))
	}
}

// heapInUse is what a collection leaves; a second one takes what the first has
// left in pools.
func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// checkHeap holds that the heap is within 10 % or 1 MiB of what it was.
func checkHeap(t *testing.T, before uint64) {
	t.Helper()
	var now uint64
	allowed := max(before+before/10, before+1<<20)
	eventually(t, func() bool {
		now = heapInUse()
		return now <= allowed
	}, func() string { return fmt.Sprintf("the heap was %d KiB and is %d KiB", before>>10, now>>10) })
	t.Logf("the heap was %d KiB and is %d KiB", before>>10, now>>10)
}

// eventually returns when a condition holds that nobody announces.
func eventually(t *testing.T, holds func() bool, state func() string) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("not in %s: %s", patience, state())
		}
	}
}
