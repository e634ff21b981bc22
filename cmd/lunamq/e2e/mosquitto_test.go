package e2e

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lunamq/core/packet"
)

// mosquitto is a client made of processes: one mosquitto_sub, which it is, and
// a mosquitto_pub for each message that it publishes.
type mosquitto struct {
	t    testing.TB
	d    login
	args []string // how to reach the broker, for both programs
	sub  *errand
	seen int // messages taken
}

// errand is an outside program under way.
type errand struct {
	cmd  *exec.Cmd
	said transcript
	done chan struct{}
}

// outside starts an outside program, whose lines come at once (stdbuf of
// coreutils); it is killed when the test ends.
func outside(t testing.TB, name string, args ...string) *errand {
	t.Helper()
	needs(t, "stdbuf")
	needs(t, name)
	c := &errand{cmd: exec.Command("stdbuf", append([]string{"-oL", name}, args...)...), done: make(chan struct{})}
	c.said.changed = sync.NewCond(&c.said.mu)
	c.cmd.Stdout, c.cmd.Stderr = &c.said, &c.said
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		c.cmd.Wait() // its error is the exit code
		c.said.end()
		close(c.done)
	}()
	t.Cleanup(func() {
		c.cmd.Process.Kill()
		<-c.done
	})
	return c
}

// exit waits until a program has ended by itself.
func (c *errand) exit(t testing.TB) int {
	t.Helper()
	select {
	case <-c.done:
	case <-time.After(patience):
		t.Fatalf("%s did not end; it said:\n%s", c.cmd, c.said.text())
	}
	return c.cmd.ProcessState.ExitCode()
}

// mosquittoArgs say how the mosquitto programs reach a listener.
func mosquittoArgs(t testing.TB, d login, ca string) []string {
	t.Helper()
	scheme, address, _ := strings.Cut(d.url, "://")
	if scheme == "unix" {
		return []string{"--unix", address}
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-h", host, "-p", port}
	if scheme == "tls" {
		args = append(args, "--cafile", ca)
	}
	return args
}

func (p *program) dialMosquitto(d login) (peer, answer) {
	p.t.Helper()
	needs(p.t, "mosquitto_sub")
	args := mosquittoArgs(p.t, d, filepath.Join(p.dir, "cert.pem"))
	args = append(args, "-V", map[packet.Version]string{packet.V31: "mqttv31", packet.V311: "mqttv311", packet.V5: "mqttv5"}[d.version])
	if d.user != "" {
		args = append(args, "-u", d.user, "-P", d.password)
	}
	return &mosquitto{t: p.t, d: d, args: args}, answer{}
}

// subscribe starts the client's mosquitto_sub, which has subscribed when this
// returns.
func (c *mosquitto) subscribe(filter string, qos byte, more ...string) packet.ReasonCode {
	c.t.Helper()
	if c.sub != nil {
		c.t.Fatal("mosquitto_sub subscribes once")
	}
	args := append([]string{"-d", "-i", c.d.id, "-t", filter, "-q", strconv.Itoa(int(qos)), "-F", "MSG %t %q %r %p"}, c.args...)
	for _, f := range more {
		args = append(args, "-t", f)
	}
	if c.d.keep {
		args = append(args, "-c")
		if c.d.version == packet.V5 {
			args = append(args, "-x", strconv.Itoa(never))
		}
	}
	if w := c.d.will; w != nil {
		args = append(args, "--will-topic", w.topic, "--will-payload", w.payload, "--will-qos", strconv.Itoa(int(w.qos)))
		if w.retain {
			args = append(args, "--will-retain")
		}
	}
	c.sub, c.seen = outside(c.t, "mosquitto_sub", args...), 0
	line, err := c.sub.said.wait("Subscribed (mid: ", 1)
	if err != nil {
		c.t.Fatalf("%v:\n%s", err, c.sub.said.text())
	}
	_, code, _ := strings.Cut(line, "): ")
	code, _, _ = strings.Cut(code, ",")
	n, err := strconv.Atoi(code)
	if err != nil {
		c.t.Fatalf("%q: %v", line, err)
	}
	return packet.ReasonCode(n)
}

func (c *mosquitto) unsubscribe(string) packet.ReasonCode {
	c.t.Fatal("mosquitto_sub does not unsubscribe")
	return 0
}

// publish runs mosquitto_pub.
func (c *mosquitto) publish(m message) (packet.ReasonCode, string) {
	c.t.Helper()
	args := append([]string{"-i", c.d.id + "p", "-t", m.topic, "-q", strconv.Itoa(int(m.qos))}, c.args...)
	if m.retain {
		args = append(args, "-r")
	}
	if m.payload == "" {
		args = append(args, "-n")
	} else {
		args = append(args, "-m", m.payload)
	}
	pub := outside(c.t, "mosquitto_pub", args...)
	if code := pub.exit(c.t); code != 0 {
		c.t.Fatalf("mosquitto_pub %s: exit code %d:\n%s", strings.Join(args, " "), code, pub.said.text())
	}
	return packet.Success, pub.said.text()
}

func (c *mosquitto) send(m message) { c.publish(m) }

func (c *mosquitto) next() message {
	c.t.Helper()
	c.seen++
	line, err := c.sub.said.wait("MSG ", c.seen)
	if err != nil {
		c.t.Fatalf("%v:\n%s", err, c.sub.said.text())
	}
	var m message
	var qos, retain int
	part := strings.SplitN(line, " ", 5)
	if len(part) != 5 {
		c.t.Fatalf("mosquitto_sub said %q", line)
	}
	if _, err := fmt.Sscan(part[2]+" "+part[3], &qos, &retain); err != nil {
		c.t.Fatalf("mosquitto_sub said %q: %v", line, err)
	}
	m.topic, m.payload, m.qos, m.retain = part[1], part[4], byte(qos), retain == 1
	return m
}

// gone waits until mosquitto_sub has noticed the end of its connection.
func (c *mosquitto) gone() (packet.ReasonCode, string) {
	c.t.Helper()
	line, err := c.sub.said.wait("received DISCONNECT", 1)
	if err != nil {
		c.t.Fatalf("%v:\n%s", err, c.sub.said.text())
	}
	return packet.Success, line
}

func (c *mosquitto) close() { c.end(syscall.SIGTERM) }
func (c *mosquitto) kill()  { c.end(syscall.SIGKILL) }

func (c *mosquitto) end(s syscall.Signal) {
	c.t.Helper()
	if c.sub == nil {
		return
	}
	if err := c.sub.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
	c.sub.exit(c.t)
	c.sub = nil
}
