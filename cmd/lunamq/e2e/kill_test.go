package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// kills is how often TestKill kills the program: a few take seconds, hundreds
// are for a machine with time (go test ./cmd/lunamq/e2e -run TestKill -kills 300
// -timeout 1h).
var kills = flag.Int("kills", 8, "how often TestKill kills the program")

// killConfig stores on disk before anything is acknowledged, and drops nothing.
const killConfig = `
[storage]
kind = "disk"
sync = "always"
path = "data"
[limits]
queued = 1000000
queued_bytes = "512MiB"
inflight = 50
[scripting]
dir = ""
`

// TestKill: the program is killed at random moments while clients publish,
// receive, subscribe, leave and come back, and started again on what is on
// disk. What was acknowledged is held against what each client knows: no
// message, retained message, subscription or session is lost, none of QoS 2
// comes twice, and those of one publisher and topic come in order.
func TestKill(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 7))
	w := newKillWorld(t)
	defer w.end()
	w.begin()
	w.join()
	for n := range *kills {
		w.awaitMore(1 + rnd.IntN(4000))
		w.kill()
		if t.Failed() {
			return
		}
		t.Logf("kill %d: %d acknowledged, %d received", n+1, w.acknowledged(), w.received())
		w.begin()
	}
	w.finish()
}

// killWorld is the program, as it is killed and started again, and what its
// clients know.
type killWorld struct {
	t    *testing.T
	file string
	dir  string

	process *process // owned by the test

	publishers []*killPublisher
	receivers  []*killReceiver
	subscriber *killSubscriber
	clients    sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond
	// Guarded by mu:
	addr     string // where the program listens; "" while it does not
	run      int    // how often it was started
	stopping bool   // publishers are to come to an end
	over     bool   // nothing is killed any more
	acked    int    // steps of publishers
	got      int    // messages of receivers
	err      error  // the first thing wrong
}

func newKillWorld(t *testing.T) *killWorld {
	t.Helper()
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	w := &killWorld{t: t, file: file, dir: t.TempDir()}
	w.changed = sync.NewCond(&w.mu)
	for i := range 4 {
		w.publishers = append(w.publishers, newKillPublisher(w, fmt.Sprintf("p%d", i)))
	}
	for i := range 4 {
		w.receivers = append(w.receivers, newKillReceiver(w, i))
	}
	w.subscriber = &killSubscriber{w: w, there: make(map[int]bool), doubt: make(map[int]bool)}
	return w
}

// begin starts the program on what there is and lets the clients know.
func (w *killWorld) begin() {
	w.t.Helper()
	p := &program{w.t, &process{dir: w.dir, done: make(chan struct{})}}
	p.said.changed = sync.NewCond(&p.said.mu)
	p.write("config.toml", killConfig+localListener)
	p.cmd = exec.Command(w.file, "--config", filepath.Join(w.dir, "config.toml"))
	p.cmd.Dir, p.cmd.Stderr = w.dir, &p.said
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		p.cmd.Wait() // it is killed: its error says so
		p.said.end()
		close(p.done)
	}()
	w.process = p.process
	addr := p.addr("local")
	w.change(func() { w.addr, w.run = addr, w.run+1 })
}

// kill ends the program at once.
func (w *killWorld) kill() {
	w.t.Helper()
	w.change(func() { w.addr = "" })
	if err := w.process.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		w.t.Fatal(err)
	}
	<-w.process.done
}

// end ends what is still there.
func (w *killWorld) end() {
	w.change(func() { w.over, w.stopping = true, true })
	w.process.cmd.Process.Kill()
	<-w.process.done
	w.clients.Wait()
	if w.t.Failed() {
		w.t.Logf("the program said last:\n%s", w.process.said.text())
	}
}

// join lets the clients go about their work, once the sessions are there.
func (w *killWorld) join() {
	for _, r := range w.receivers {
		r.subscribe()
	}
	for _, r := range w.receivers {
		w.clients.Go(r.run)
	}
	for _, p := range w.publishers {
		w.clients.Go(p.run)
	}
	w.clients.Go(w.subscriber.run)
}

// finish lets everything come to its end, and holds it against what it should be.
func (w *killWorld) finish() {
	w.t.Helper()
	w.change(func() { w.stopping = true })
	w.await("publishers to be acknowledged", func() bool {
		for _, p := range w.publishers {
			if !p.done {
				return false
			}
		}
		return w.subscriber.done
	})
	w.await("receivers to have all of it", func() bool {
		for _, r := range w.receivers {
			if !r.hasAll() {
				return false
			}
		}
		return true
	})
	if w.t.Failed() {
		return
	}
	w.checkRetained()
	w.subscriber.check()
	w.change(func() { w.over = true })
}

// checkRetained holds what is retained against what was last acknowledged.
func (w *killWorld) checkRetained() {
	w.t.Helper()
	s := connectSocket(w.t, w.addr, 5, "retained")
	s.subscribe(1, "m/+/kept")
	for range w.publishers {
		m := s.message()
		for _, p := range w.publishers {
			if want := fmt.Sprint(p.sent[1] - 1); m.Topic == p.topic(1) && string(m.Payload) != want {
				w.t.Errorf("%s retains %s, want %s", m.Topic, m.Payload, want)
			}
		}
	}
	s.net.Close()
}

func (w *killWorld) change(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	do()
	w.changed.Broadcast()
}

// fail notes the first thing that is wrong.
func (w *killWorld) fail(format string, args ...any) {
	w.change(func() {
		if w.err == nil {
			w.err = fmt.Errorf(format, args...)
		}
	})
}

// await waits until cond, which is asked with the lock, holds: as long as
// something happens.
func (w *killWorld) await(what string, cond func() bool) {
	w.t.Helper()
	late := false
	timer := time.AfterFunc(patience, func() { w.change(func() { late = true }) })
	defer timer.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for steps := w.acked + w.got; !cond() && w.err == nil && !late; steps = w.acked + w.got {
		w.changed.Wait()
		if w.acked+w.got > steps {
			timer.Reset(patience)
		}
	}
	switch {
	case w.err != nil:
		w.t.Error(w.err)
	case late && !cond():
		w.t.Errorf("waited in vain for %s: %s", what, w.stateLocked())
	}
}

// awaitMore waits until n more steps have been made: a random moment.
func (w *killWorld) awaitMore(n int) {
	w.t.Helper()
	w.mu.Lock()
	until := w.acked + w.got + n
	w.mu.Unlock()
	w.await("more to happen", func() bool { return w.acked+w.got >= until })
}

func (w *killWorld) stateLocked() (text string) {
	for _, p := range w.publishers {
		text += fmt.Sprintf("\n%s sent %v, %d unacknowledged, done %v", p.id, p.sent, len(p.flights), p.done)
	}
	for _, r := range w.receivers {
		text += fmt.Sprintf("\n%s has %v", r.id, r.next)
	}
	return text
}

func (w *killWorld) acknowledged() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked
}

func (w *killWorld) received() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.got
}

// visit runs a client's connections, one after another, until it has done what
// it came for: it is told where the program listens, and its error is that of a
// killed program, or there is something wrong.
func (w *killWorld) visit(id string, connection func(addr string) (done bool, err error)) {
	last := 0
	for {
		w.mu.Lock()
		for !w.over && w.err == nil && (w.addr == "" || w.run == last) {
			w.changed.Wait()
		}
		addr, run, over := w.addr, w.run, w.over || w.err != nil
		w.mu.Unlock()
		if over {
			return
		}
		done, err := connection(addr)
		if done {
			return
		}
		if err == nil {
			continue // it left, and comes again
		}
		w.mu.Lock()
		killed := w.run != run || w.addr == "" || w.over
		w.mu.Unlock()
		if !killed {
			w.fail("%s: %w", id, err)
			return
		}
		last = run
	}
}
