package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"lunamq/core/packet"
)

// roomy lets a receiver fall behind without loss: what is tested here is that
// reloading loses nothing, not what a full queue does.
const roomy = `
[limits]
queued = 1000000
queued_bytes = "512MiB"
`

const inForce = `msg="scripts loaded"`

// stampRule is a version of a rule that stamps the messages under load/.
func stampRule(rule, version string) string {
	return fmt.Sprintf(`-- version %[2]s
mqtt.on("publish", "load/#", function(msg)
  msg.payload = "%[1]s=%[2]s;" .. msg.payload
end)
`, rule, version)
}

// reloading is rules that change while publishers run at full speed.
type reloading struct {
	*testing.T
	*ledger
	program *program
	rules   string // the folder
	version int
	broken  int  // sets that were refused
	hup     bool // SIGHUP after each change, else file events alone
	stop    chan struct{}
	loaders []*loader
	raw     *receiver
	paho    mqtt.Client
}

func newReloading(t *testing.T, rules ...string) *reloading {
	return &reloading{T: t, ledger: newLedger(rules...), rules: t.TempDir(), stop: make(chan struct{})}
}

// start starts the program on the folder of rules, 10 publishers of QoS 1 and 3
// of QoS 2, of 3.1.1 and 5, a receiver of all they send, and a Paho client that
// receives two of them.
func (r *reloading) start() {
	r.Helper()
	t, l, p := r.T, r.ledger, start(r.T, setup{config: roomy, scripts: r.rules})
	r.program = p
	var names []string
	for i := range 13 {
		names = append(names, fmt.Sprintf("p%d", i))
	}
	r.raw = receive(t, l.view("all", names...), p.addr("local"), packet.V5, "load/#", barrierTopic)
	for i, name := range names {
		qos := byte(1 + i/10)
		r.loaders = append(r.loaders, newLoader(t, l, p.addr("local"), name, packet.V311+packet.Version(i%2), qos, r.stop))
		r.raw.paces(r.loaders[i])
	}
	r.paho = r.subscribePaho(l.view("paho", "p0", "p10"), "load/p0", "load/p10", barrierTopic)
	r.raw.run()
	for _, loader := range r.loaders {
		loader.run()
	}
	l.awaitMore(t, 1)
}

// subscribePaho is a receiver that Paho for 3.1.1 makes, of p0 and p10.
func (r *reloading) subscribePaho(v *view, filters ...string) mqtt.Client {
	r.Helper()
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + r.program.addr("local")).SetClientID("paho").SetAutoReconnect(false).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { v.fail(fmt.Errorf("paho: %w", err)) }))
	if token := c.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		r.Fatal(token.Error())
	}
	paced := map[string]*loader{"load/p0": r.loaders[0], "load/p10": r.loaders[10]}
	for _, p := range paced {
		p.got[v.name] = 0
	}
	for _, f := range filters {
		token := c.Subscribe(f, 2, func(_ mqtt.Client, m mqtt.Message) {
			v.take(m.Payload())
			if p := paced[m.Topic()]; p != nil {
				p.received(v.name)
			}
		})
		if !token.WaitTimeout(patience) || token.Error() != nil {
			r.Fatal(token.Error())
		}
	}
	return c
}

// end stops the publishers and holds that each of their messages was
// acknowledged and has come, once.
func (r *reloading) end() {
	r.Helper()
	close(r.stop)
	sent, total := make(map[string]int), 0
	for _, p := range r.loaders {
		sent[p.name] = p.wait()
		total += p.sent
		if p.acked != p.sent {
			r.Errorf("publisher %s: %d of %d messages acknowledged", p.name, p.acked, p.sent)
		}
	}
	last := connectSocket(r.T, r.program.addr("local"), packet.V5, "last")
	last.publish(barrierTopic, []byte(barrierTopic))
	r.awaitAll(r.T, sent)
	r.raw.close()
	r.paho.Disconnect(1000)
	r.Logf("%d messages, %d sets in force, %d refused", total, r.program.count(inForce), r.broken)
}

// stamp makes the next version of a rule; from now on it may be seen.
func (r *reloading) stamp(rule string) string {
	r.version++
	r.write(rule, strconv.Itoa(r.version))
	return stampRule(rule, strconv.Itoa(r.version))
}

// must fails the test where the file system does not do as it is told.
func (r *reloading) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *reloading) path(name string) string { return filepath.Join(r.rules, name) }

// save writes a file as most editors do: in place.
func (r *reloading) save(name, text string) {
	r.Helper()
	r.must(os.WriteFile(r.path(name), []byte(text), 0o600))
}

// replace writes a file as careful editors do: aside, and renamed.
func (r *reloading) replace(name, text string) {
	r.Helper()
	r.save(name+".tmp", text)
	r.must(os.Rename(r.path(name+".tmp"), r.path(name)))
}

// signalled sends SIGHUP where this round does.
func (r *reloading) signalled() {
	r.Helper()
	if r.hup {
		r.program.signal(syscall.SIGHUP)
	}
}

// seen returns when the newest versions of the rules are seen in messages.
func (r *reloading) seen(rules ...string) {
	r.Helper()
	r.signalled()
	r.awaitForce(r.T, rules...)
}

// breaks saves a broken file and returns when it has been refused and every
// publisher has gone on: the versions before it stay.
func (r *reloading) breaks(name, text string) {
	r.Helper()
	r.version++
	mark := fmt.Sprintf("broken_%d", r.version)
	r.save(name, fmt.Sprintf(text, mark)+stampRule("s", mark)) // never noted: a message with this stamp is an error
	r.signalled()
	r.program.waitFor(mark)
	r.broken++
	r.awaitMore(r.T, 20)
}

// TestReload changes the rules in every way that editors and operators have,
// while 13 publishers run at full speed: nothing is lost, doubled, refused or
// reordered, every version is seen, none after its successor, the broken never.
func TestReload(t *testing.T) {
	const many = 8
	manyRules := make([]string, many)
	for i := range manyRules {
		manyRules[i] = fmt.Sprintf("m%d", i)
	}
	r := newReloading(t, append([]string{"s", "l"}, manyRules...)...)
	r.start()
	const rule = "10-stamp.lua"
	for round := range 4 {
		r.hup = round > 0
		r.save(rule, r.stamp("s"))
		r.seen("s")

		r.replace(rule, r.stamp("s"))
		r.seen("s")

		r.write("s", "")
		r.must(os.Remove(r.path(rule)))
		r.seen("s")
		r.replace(rule, r.stamp("s"))
		r.seen("s")

		r.breaks(rule, "mqtt.on(%[1]s %[1]s)\n") // a syntax error
		r.save(rule, r.stamp("s"))
		r.seen("s")
		r.breaks(rule, "error('%s')\n") // at load
		r.replace(rule, r.stamp("s"))
		r.seen("s")

		r.truncated(rule, r.stamp("s"))
		r.seen("s")

		r.withLibrary()
		r.seen("l")

		for i, m := range manyRules {
			r.save(fmt.Sprintf("4%d-many.lua", i), r.stamp(m))
		}
		r.seen(manyRules...)
		for i, m := range manyRules {
			r.write(m, "")
			r.must(os.Remove(r.path(fmt.Sprintf("4%d-many.lua", i))))
		}
		r.seen(manyRules...)
	}
	r.end()
	if n := r.program.count(inForce); n < 40 {
		t.Errorf("%d sets came into force, at least 40 were meant to", n)
	}
}

// truncated writes a file as cp and shells do: it is empty, then a part of
// itself, then whole.
func (r *reloading) truncated(name, text string) {
	r.Helper()
	f, err := os.Create(r.path(name))
	r.must(err)
	for _, part := range []string{text[:len(text)/2], text[len(text)/2:]} {
		_, err := f.WriteString(part)
		r.must(err)
	}
	r.must(f.Close())
}

// withLibrary changes a module that a rule requires, not the rule.
func (r *reloading) withLibrary() {
	r.Helper()
	r.must(os.MkdirAll(r.path("lib"), 0o700))
	r.version++
	r.write("l", strconv.Itoa(r.version))
	r.save("lib/version.lua", fmt.Sprintf("return { text = %q }\n", strconv.Itoa(r.version)))
	const user = `local version = require("version")
mqtt.on("publish", "load/#", function(msg) msg.payload = "l=" .. version.text .. ";" .. msg.payload end)
`
	if old, err := os.ReadFile(r.path("30-library.lua")); err != nil || string(old) != user {
		r.save("30-library.lua", user)
	}
}

// TestReloadConfigMap swaps the ..data link of a folder as Kubernetes mounts
// it: two files change at one moment, and no message sees one without the
// other.
func TestReloadConfigMap(t *testing.T) {
	r := newReloading(t, "a", "b")
	r.swap()
	for _, name := range []string{"10-a.lua", "20-b.lua"} {
		r.must(os.Symlink(filepath.Join("..data", name), r.path(name)))
	}
	r.together = []string{"a", "b"}
	r.start()
	for range 12 {
		r.swap()
		r.seen("a", "b")
	}
	r.end()
}

// swap makes a folder of its own for the next version of both rules, and the
// link point to it; then the old one is removed.
func (r *reloading) swap() {
	r.Helper()
	r.version++
	version := strconv.Itoa(r.version)
	r.write("a", version)
	r.write("b", version)
	folder := "..version_" + version
	r.must(os.Mkdir(r.path(folder), 0o700))
	r.save(folder+"/10-a.lua", stampRule("a", version))
	r.save(folder+"/20-b.lua", stampRule("b", version))
	old, _ := os.Readlink(r.path("..data")) // none at first
	r.must(os.Symlink(folder, r.path("..data_tmp")))
	r.must(os.Rename(r.path("..data_tmp"), r.path("..data")))
	if old != "" {
		r.must(os.RemoveAll(r.path(old)))
	}
}

// BenchmarkReload is the time from the end of saving a rule to the first message
// that meets it, with file events alone.
func BenchmarkReload(b *testing.B) {
	p := start(b, setup{rules: map[string]string{"10-stamp.lua": stampRule("s", "0")}})
	s := connectSocket(b, p.addr("local"), packet.V311, "bench")
	s.subscribe(0, "load/#")
	m := packet.Publish{Topic: "load/x", Payload: []byte("x")}
	for version := 1; b.Loop(); version++ {
		p.write("rules/10-stamp.lua", stampRule("s", strconv.Itoa(version)))
		want := fmt.Sprintf("s=%d;x", version)
		for {
			s.send(m.Append(nil, packet.V311))
			if got := s.message(); string(got.Payload) == want {
				break
			}
		}
	}
}
