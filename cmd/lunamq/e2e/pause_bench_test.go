package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"lunamq/core"
	"lunamq/core/packet"
	"lunamq/plugins/disk"
)

const (
	// pauseBeat is how often each pair of BenchmarkPause sends.
	pauseBeat = 5 * time.Millisecond
	// pauseSessions expire at once.
	pauseSessions = 100_000
	// pauseFillers queue so many messages each, of 2 KiB: some 100 MB in all, so that
	// memtables are flushed and tables compacted again and again.
	pauseFillers, pauseFill = 2, 25_000
)

// BenchmarkPause: the longest pause a client sees while the store has much to
// do. One pair sends at QoS 1 to a session that is kept, one at QoS 0, a message
// each beat, whether the last has come or not; a pause is from when a message was
// due to when it came, which is after the store has it. "limit" is what a pause may be: 250 ms,
// or five syncs of this disk, whichever is more. One run takes half a minute:
//
//	go test ./cmd/lunamq/e2e -run xxx -bench Pause -benchtime 1x
func BenchmarkPause(b *testing.B) {
	for b.Loop() {
		data := b.TempDir()
		syncs := syncTimes(b, data)
		expireAt := time.Now().Add(15 * time.Second)
		storeSessions(b, data, expireAt)
		p := start(b, setup{config: strings.ReplaceAll(killConfig, "inflight = 50", "inflight = 1000"), args: []string{"--data", data}})
		addr := p.addr("local")
		pairs := []*pausePair{startPausePair(b, addr, 0), startPausePair(b, addr, 1)}
		during := func(what string, do func()) {
			for _, pair := range pairs {
				pair.longest()
			}
			began := time.Now()
			do()
			for _, pair := range pairs {
				b.ReportMetric(float64(pair.longest().Microseconds())/1000, fmt.Sprintf("%s-q%d-ms", what, pair.qos))
			}
			b.Logf("%s took %s", what, time.Since(began).Round(time.Millisecond))
		}
		during("quiet", func() { time.Sleep(2 * time.Second) })
		during("compaction", func() { fillStore(b, addr) })
		during("backup", func() {
			for i := range 3 {
				lunamq(b, "store", "backup", "--data", data, filepath.Join(b.TempDir(), fmt.Sprint(i)))
			}
		})
		during("expiry", func() {
			time.Sleep(time.Until(expireAt))
			for storedSessions(b, data) > 10 {
				time.Sleep(200 * time.Millisecond)
			}
		})
		for _, pair := range pairs {
			pair.end()
		}
		p.stop()
		median := syncs[len(syncs)/2]
		b.ReportMetric(0, "ns/op") // it is how long the work takes
		b.ReportMetric(float64(median.Microseconds())/1000, "sync-ms")
		b.ReportMetric(float64(max(250*time.Millisecond, 5*median).Microseconds())/1000, "limit-ms")
	}
}

// syncTimes is how long a write of 4 KiB and its sync take here, sorted.
func syncTimes(b *testing.B, dir string) (took []time.Duration) {
	b.Helper()
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for range 200 {
		began := time.Now()
		if _, err := f.Write(block); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took
}

// storeSessions stores sessions with a subscription and a will each, that expire
// all at once.
func storeSessions(b *testing.B, data string, expireAt time.Time) {
	b.Helper()
	s, err := disk.Open(disk.Options{Dir: disk.Folder(data), Sync: disk.SyncNever})
	if err != nil {
		b.Fatal(err)
	}
	for i := range pauseSessions {
		id := fmt.Sprintf("gone-%06d", i)
		will := &core.Message{Topic: "gone/" + id, Payload: []byte("gone"), QoS: 1}
		s.Commit(&core.Batch{Ops: []core.Op{
			{Kind: core.PutSession, Session: "\x00" + id, Client: &core.StoredClient{
				Client: core.Client{ID: id, Protocol: packet.V5}, Expiry: 1, DisconnectedAt: expireAt.Add(-time.Second).UnixNano(),
				Will: &core.StoredWill{Message: will, Delay: 1, Due: expireAt.UnixNano()},
			}},
			{Kind: core.PutSubscription, Session: "\x00" + id, Subscription: &core.StoredSubscription{Requested: "to/" + id, Filter: "to/" + id, QoS: 1}},
		}}, nil)
	}
	s.Settle()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// storedSessions asks the running broker how many it has stored.
func storedSessions(b *testing.B, data string) int {
	b.Helper()
	var info struct{ Sessions int }
	if err := json.Unmarshal(lunamq(b, "store", "info", "--data", data, "--json"), &info); err != nil {
		b.Fatal(err)
	}
	return info.Sessions
}

// lunamq runs a command of the program and returns what it prints.
func lunamq(b *testing.B, args ...string) []byte {
	b.Helper()
	file, err := binary()
	if err != nil {
		b.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command(file, args...)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%v: %v\n%s", args, err, said.String())
	}
	return out
}

// fillStore queues messages for a client that is away, and ends its session.
func fillStore(b *testing.B, addr string) {
	b.Helper()
	away := openSocket(b, addr)
	in := packet.Connect{Version: packet.V5, ClientID: "away", CleanStart: true}
	in.Props.Set(packet.SessionExpiry)
	in.Props.SessionExpiry = 3600
	away.connect(&in)
	away.subscribe(1, "b/#")
	away.net.Close()
	var all sync.WaitGroup
	for i := range pauseFillers {
		all.Go(func() { queueMany(b, addr, fmt.Sprint("b", i), pauseFill, 2<<10) })
	}
	all.Wait()
	connectSocket(b, addr, packet.V5, "away").net.Close() // a clean start: all of it goes
}

// pausePair sends a message each beat and knows the longest that one took.
type pausePair struct {
	qos      byte
	from, to *socket
	stop     chan struct{}
	loops    sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond
	// Guarded by mu:
	worst   time.Duration
	arrived time.Time // when the last message to arrive was due
	err     error
}

func startPausePair(b *testing.B, addr string, qos byte) *pausePair {
	b.Helper()
	p := &pausePair{qos: qos, from: connectSocket(b, addr, packet.V5, fmt.Sprint("from", qos)), to: openSocket(b, addr), stop: make(chan struct{})}
	p.changed = sync.NewCond(&p.mu)
	in := packet.Connect{Version: packet.V5, ClientID: fmt.Sprint("to", qos)}
	in.Props.Set(packet.SessionExpiry)
	in.Props.SessionExpiry = 3600
	p.to.connect(&in)
	p.to.subscribe(qos, p.topic())
	p.loops.Go(p.send)
	p.loops.Go(func() { p.hear(p.from) })
	p.loops.Go(func() { p.hear(p.to) })
	return p
}

func (p *pausePair) topic() string { return fmt.Sprint("pause/", p.qos) }

// send writes a message each beat; those that are due wait for nothing.
func (p *pausePair) send() {
	t := time.NewTicker(pauseBeat)
	defer t.Stop()
	m := packet.Publish{Topic: p.topic(), QoS: p.qos}
	var out []byte
	next := time.Now()
	for n := 0; ; {
		select {
		case <-p.stop:
			return
		case <-t.C:
		}
		out = out[:0]
		for ; time.Since(next) >= 0; next = next.Add(pauseBeat) {
			if p.qos > 0 {
				n = n%60_000 + 1
				m.PacketID = uint16(n)
			}
			m.Payload = strconv.AppendInt(m.Payload[:0], next.UnixNano(), 10)
			out, _ = packet.AppendPublish(out, packet.V5, &m)
		}
		if err := p.from.write(out); err != nil {
			p.note(time.Time{}, err)
			return
		}
	}
}

// hear takes messages, and reads acknowledgements.
func (p *pausePair) hear(s *socket) {
	var m packet.Publish
	for {
		h, body, err := s.read()
		if err == nil && h.Type == packet.PUBLISH {
			var due int64
			if err = m.Decode(s.version, h, body); err == nil {
				due, err = strconv.ParseInt(string(m.Payload), 10, 64)
			}
			if err == nil {
				p.note(time.Unix(0, due), nil)
			}
			if err == nil && m.QoS == 1 {
				err = s.write((&packet.Ack{Type: packet.PUBACK, PacketID: m.PacketID}).Append(nil, s.version))
			}
		}
		select {
		case <-p.stop:
			return
		default:
		}
		if err != nil {
			p.note(time.Time{}, err)
			return
		}
	}
}

// note takes in what was due and has come.
func (p *pausePair) note(due time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.err = err
	} else {
		p.worst = max(p.worst, time.Since(due))
		p.arrived = due
	}
	p.changed.Broadcast()
}

// longest waits for what is due now and returns the longest that one took since
// it was last asked.
func (p *pausePair) longest() time.Duration {
	p.from.t.Helper()
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.arrived.Before(now) && p.err == nil {
		p.changed.Wait()
	}
	if p.err != nil {
		p.from.t.Fatal(p.err)
	}
	worst := p.worst
	p.worst = 0
	return worst
}

func (p *pausePair) end() {
	close(p.stop)
	p.from.net.Close()
	p.to.net.Close()
	p.loops.Wait()
}
