package e2e

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"lunamq/core/packet"
)

// backlog is how many messages TestBacklog lets wait: a million of 100 bytes
// take minutes (go test ./cmd/lunamq/e2e -run TestBacklog -backlog 1000000).
var backlog = flag.Int("backlog", 0, "messages that wait in TestBacklog")

// backlogMemory is what messages that wait on disk may take of memory, however
// many they are.
const backlogMemory = 64 << 20

// TestBacklog: messages that wait for a client that is away lie on disk, not in
// memory, and all of them come.
func TestBacklog(t *testing.T) {
	n, size := 12_000, 10_000 // 120 MB, so that memory would show them
	if *backlog > 0 {
		n, size = *backlog, 100
	}
	p := start(t, setup{config: strings.ReplaceAll(killConfig, "inflight = 50", "inflight = 1000")})
	addr := p.addr("local")
	w := &killWorld{t: t}
	s, _, err := dialKilled(w, addr, "away", 1000)
	if err != nil {
		t.Fatal(err)
	}
	s.subscribe(1, "b/#")
	s.net.Close()
	empty := residentBytes(t, p)
	const publishers = 4
	var all sync.WaitGroup
	for i := range publishers {
		all.Go(func() { queueMany(t, addr, fmt.Sprint("b", i), n/publishers, size) })
	}
	all.Wait()
	if t.Failed() {
		return
	}
	full := residentBytes(t, p)
	t.Logf("%d messages of %d bytes wait: %d MiB resident, %d MiB without them", n, size, full>>20, empty>>20)
	if raceDetector {
		t.Log("with the race detector memory says nothing")
	} else if full-empty > backlogMemory {
		t.Errorf("%d MiB more than without", (full-empty)>>20)
	}
	takeMany(t, addr, n)
}

// queueMany publishes numbered messages, many at once, and returns when all are
// acknowledged.
func queueMany(t testing.TB, addr, id string, n, size int) {
	s := connectSocket(t, addr, packet.V5, id)
	defer s.net.Close()
	payload := make([]byte, size)
	const window = 100
	var out []byte
	for sent, acked := 0, 0; acked < n; {
		for out = out[:0]; sent < n && sent-acked < window; sent++ {
			copy(payload, fmt.Sprintf("%-8d", sent))
			m := packet.Publish{Topic: "b/" + id, QoS: 1, PacketID: uint16(1 + sent%window), Payload: payload}
			out, _ = packet.AppendPublish(out, packet.V5, &m)
		}
		if err := s.write(out); err != nil {
			t.Error(err)
			return
		}
		if _, _, err := s.read(); err != nil {
			t.Error(err)
			return
		}
		acked++
	}
}

// takeMany takes what waits, which must come in the order of each topic.
func takeMany(t *testing.T, addr string, n int) {
	t.Helper()
	s, present, err := dialKilled(&killWorld{t: t}, addr, "away", 1000)
	if err != nil || !present {
		t.Fatalf("session present %v: %v", present, err)
	}
	defer s.net.Close()
	next := make(map[string]int)
	for range n {
		m := s.message()
		number, _ := strconv.Atoi(strings.TrimSpace(string(m.Payload[:8])))
		if number != next[m.Topic] {
			t.Fatalf("%s %d came, want %d", m.Topic, number, next[m.Topic])
		}
		next[strings.Clone(m.Topic)]++
	}
}

// residentBytes is what the program has in memory.
func residentBytes(t *testing.T, p *program) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Skip("what a process has in memory is asked of Linux")
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
