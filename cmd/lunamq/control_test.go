package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"lunamq/cmd/lunamq/config"
)

// command runs the program in dir and returns what it printed and its exit code.
func command(t *testing.T, dir string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), file, args...)
	var out, said bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &said
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), said.String(), cmd.ProcessState.ExitCode()
}

// tells wants a command to succeed and to print all of these.
func tells(t *testing.T, dir string, args []string, wants ...string) {
	t.Helper()
	out, said, code := command(t, dir, args...)
	if code != exitOK {
		t.Errorf("lunamq %q: exit code %d: %s", args, code, said)
	}
	for _, want := range wants {
		if !strings.Contains(out, want) {
			t.Errorf("lunamq %q: %q is not in\n%s", args, want, out)
		}
	}
}

// refuses wants a command to fail with that code, and to say all of these.
func refuses(t *testing.T, dir string, args []string, code int, wants ...string) {
	t.Helper()
	out, said, got := command(t, dir, args...)
	if got != code {
		t.Errorf("lunamq %q: exit code %d, want %d: %s", args, got, code, out)
	}
	for _, want := range wants {
		if !strings.Contains(said, want) {
			t.Errorf("lunamq %q: %q is not in\n%s", args, want, said)
		}
	}
}

// asJSON wants a command to print JSON.
func asJSON[T any](t *testing.T, dir string, args ...string) (out T) {
	t.Helper()
	text, said, _ := command(t, dir, append(args, "--json")...)
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("lunamq %q: %v: %s%s", args, err, text, said)
	}
	return out
}

// startReady starts a broker with a TCP listener, and returns its address.
func startReady(t *testing.T, dir string, args ...string) (*running, string) {
	t.Helper()
	r := start(t, dir, append([]string{"--listen", "tcp://127.0.0.1:0", "--scripts", "rules"}, args...)...)
	addr := r.waitListening("tcp://127.0.0.1:0")
	r.waitFor("msg=ready")
	return r, addr
}

// drain reads on, so that the program is not held up by its log.
func (r *running) drain() {
	go func() {
		for range r.lines {
		}
	}()
}

func (r *running) end() {
	r.t.Helper()
	r.signal(syscall.SIGTERM)
	if code, said := r.wait(); code != exitOK {
		r.t.Errorf("exit code %d:\n%s", code, said)
	}
}

// publish is a PUBLISH of QoS 1 [MQTT-3.3.1]; the answer is waited for.
func publish(t *testing.T, c net.Conn, topic, payload string) {
	t.Helper()
	body := append([]byte{0, byte(len(topic))}, topic...)
	body = append(append(body, 0, 1), payload...)
	if _, err := c.Write(append([]byte{0x32, byte(len(body))}, body...)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
}

const (
	rulesV1 = "mqtt.on('publish', 'a/#', function(m) if m.topic == 'a/bad' then error('no') end end)\n"
	rulesV2 = rulesV1 + "mqtt.on('publish', 'b', function(m) return mqtt.drop() end)\n"
)

func TestStatusOfARunningBroker(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "rules/10.lua", rulesV1)
	r, addr := startReady(t, dir)
	r.drain()
	c := checkDial(t, "tcp", addr)
	for _, topic := range []string{"a/1", "a/2", "a/bad"} {
		publish(t, c, topic, "x")
	}
	tells(t, dir, []string{"status"}, "node lunamq", "tcp://"+addr, "1 connected", "3 received", "generation", "is in force", "10.lua:1", "a/#", "pass 2", "10.lua")
	s := asJSON[statusReport](t, dir, "status")
	if s.Version == "" || s.Node != "lunamq" || s.PID != r.cmd.Process.Pid || s.Clients.Connected != 1 || s.Clients.Accepted != 1 || s.Sessions != 1 ||
		s.Messages.Received != 3 || s.Uptime < 0 || len(s.Listeners) != 1 || s.Listeners[0].Address != "tcp://"+addr || s.Retained.Messages == 0 {
		t.Errorf("%+v", s)
	}
	h := s.Scripts.Handlers[0]
	if h.By != "10.lua:1" || h.Event != "publish" || h.Filter != "a/#" || h.Calls != 3 || h.Errors != 1 || h.Verdicts["pass"] != 2 || h.Times.Count != 3 || h.P99 <= 0 || h.P50 > h.P99 {
		t.Errorf("%+v", h)
	}
	if x := s.Scripts.Scripts[0]; x.File != "10.lua" || x.Calls != 3 || x.Handlers != 1 {
		t.Errorf("%+v", x)
	}
	write(t, dir, "rules/20.lua", "\nbroken(")
	refuses(t, dir, []string{"reload"}, exitError, "20.lua:2:")
	tells(t, dir, []string{"status"}, "IS NOT IN FORCE", "20.lua:2:")
	if s := asJSON[statusReport](t, dir, "status"); s.Scripts.OK || s.Scripts.Hash == s.Scripts.DiskHash || !strings.Contains(s.Scripts.Error, "20.lua:2:") {
		t.Errorf("%+v", s.Scripts)
	}
	if no := asJSON[refusal](t, dir, "reload"); !strings.Contains(no.Error, "20.lua:2:") {
		t.Errorf("%+v", no)
	}
}

func TestReloadAndRollback(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "rules/10.lua", rulesV1)
	write(t, dir, "c.toml", "[scripting]\ndir = \"rules\"\npoll = \"1d\"\nkeep = 2\n[storage]\npath = \"state\"\n")
	r, _ := startReady(t, dir, "--config", "c.toml")
	r.drain()
	at := func(args ...string) []string { return append(args, "--config", "c.toml") }
	uid := fmt.Sprint("uid ", os.Getuid())

	refuses(t, dir, at("rollback"), exitError, "no generation before")
	tells(t, dir, at("reload"), "nothing has changed: generation 1")
	write(t, dir, "rules/10.lua", rulesV2)
	asJSON[swapped](t, dir, at("reload")...) // or the file event was faster
	tells(t, dir, at("status"), "generation  2 (")
	tells(t, dir, at("rollback"), "generation 1 (", "is in force again: 1 files, 1 handlers", "generation 2 stays out")
	refuses(t, dir, at("reload"), exitError, "gone back from, by lunamq rollback by "+uid, "--force")
	refuses(t, dir, at("rollback"), exitError, "no generation before")
	refuses(t, dir, at("rollback", "7"), exitError, "generation 7 is not kept")
	tells(t, dir, []string{"scripts", "--data", "state"}, "IS NOT IN FORCE", "gone back from, by lunamq rollback by "+uid, "running", "start")
	r.signal(syscall.SIGKILL)
	r.wait()

	r, _ = startReady(t, dir, "--config", "c.toml") // the choice was on disk before the answer
	r.drain()
	s := asJSON[scriptsReport](t, dir, at("scripts")...)
	if s.Generation != 1 || s.OK || s.Hash == s.DiskHash || len(s.Generations) != 2 || s.Generations[0].Barred == "" || !s.Generations[1].Running {
		t.Errorf("after the restart: %+v", s)
	}
	tells(t, dir, at("rollback", "2"), "generation 2 (", "is in force again")
	tells(t, dir, at("rollback", "1"), "generation 1 (")
	if got := asJSON[swapped](t, dir, at("reload", "--force")...); got.Generation != 3 || got.Before != 1 || got.Handlers != 2 || got.Files != 1 {
		t.Errorf("%+v", got)
	}
	tells(t, dir, at("scripts"), "is in force", "lunamq reload --force by "+uid)
	write(t, dir, "rules/10.lua", "-- nothing\n")
	asJSON[any](t, dir, at("reload")...)
	if s := asJSON[scriptsReport](t, dir, at("scripts")...); len(s.Generations) != 2 || s.Generations[0].Number != 4 || s.Generations[1].Number != 3 {
		t.Errorf("of four generations with keep = 2: %+v", s.Generations)
	}
	r.end()
}

// The broker goes back by itself when the new rules fail for several clients.
func TestAutomaticRollback(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "rules/10.lua", rulesV1)
	write(t, dir, "config.toml", "[scripting]\nrollback_errors = 0.1\nrollback_window = \"1h\"\n")
	r, addr := startReady(t, dir)
	write(t, dir, "rules/10.lua", "mqtt.on('publish', function() error('worse') end)\n")
	r.waitFor(`msg="scripts loaded" generation=2`)
	for range 5 {
		c := checkDial(t, "tcp", addr)
		for range 5 {
			publish(t, c, "a/1", "x")
		}
	}
	r.waitFor("rolled back by itself")
	r.drain()
	tells(t, dir, []string{"scripts"}, "gone back from, by itself: 100.0% of the calls failed")
}

func TestWithoutRules(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir, "--listen", "tcp://127.0.0.1:0")
	r.waitFor("msg=ready")
	r.drain()
	tells(t, dir, []string{"status"}, "no rules: [scripting] dir is not set")
	for _, args := range [][]string{{"scripts"}, {"reload"}, {"rollback"}} {
		refuses(t, dir, args, exitError, "no rules: [scripting] dir is not set")
	}
}

func TestNobodyToAsk(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "bad.toml", "x = 1\n")
	for _, name := range []string{"status", "scripts", "reload", "rollback"} {
		refuses(t, dir, []string{name}, exitError, "no broker runs here", "data/control.sock", "--data", "--config")
		refuses(t, dir, []string{name, "--config", "bad.toml"}, exitError, "bad.toml:1:")
		refuses(t, dir, []string{name, "--data", ""}, exitUsage, "--data must name a folder")
		refuses(t, dir, []string{name, "one", "two"}, exitUsage, "--help")
		tells(t, dir, []string{name, "--help"}, "Examples:\n  lunamq "+name+"\n", "--data DIR", "--json")
	}
	for _, n := range []string{"x", "0", "1.5"} {
		refuses(t, dir, []string{"rollback", n}, exitUsage, "number of a generation")
	}
	write(t, dir, "data/control.sock", "no socket")
	refuses(t, dir, []string{"status"}, exitError, "no broker runs here")
}

// One broker has a data folder: a second one with a store does not start, one
// without leaves it alone; what a killed one left is no hindrance.
func TestControlSocketIsOneBrokers(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "rules/10.lua", rulesV1)
	socket := filepath.Join(dir, "data", controlSocket)
	r, _ := startReady(t, dir)
	r.drain()
	for path, want := range map[string]os.FileMode{socket: 0o600, filepath.Dir(socket): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want mode %v", path, info, err, want)
		}
	}
	refuses(t, dir, []string{"--listen", "tcp://127.0.0.1:0"}, exitError, "used by another broker (process ", "--data")
	write(t, dir, "memory.toml", "[storage]\nkind = \"memory\"\n")
	second := start(t, dir, "--config", "memory.toml", "--scripts", "rules", "--listen", "tcp://127.0.0.1:0")
	second.waitFor("another program listens there")
	checkDial(t, "tcp", second.waitListening("tcp://127.0.0.1:0"))
	second.end()
	tells(t, dir, []string{"status"}, "is in force") // it was not removed
	r.signal(syscall.SIGKILL)
	r.wait()
	if _, err := os.Lstat(socket); err != nil {
		t.Fatalf("a killed broker leaves its socket: %v", err)
	}
	refuses(t, dir, []string{"status"}, exitError, "no broker runs here")
	r, _ = startReady(t, dir)
	r.drain()
	tells(t, dir, []string{"status"}, "is in force")
	r.end()
	if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestDataFolderMustBeWritable(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "file", "")
	refuses(t, dir, []string{"--data", "file/data", "--listen", "tcp://127.0.0.1:0"}, exitError, "the data folder", "set [storage] path or --data")
	long := strings.Repeat("long/", 30)
	refuses(t, dir, []string{"--data", long, "--listen", "tcp://127.0.0.1:0"}, exitError, "choose a shorter one")
	refuses(t, dir, []string{"status", "--data", long}, exitError, "too long")
}

// What the socket does not take.
func TestControlIsStrict(t *testing.T) {
	p := &program{config: config.Default()}
	c := &control{program: p}
	for _, tt := range []struct {
		method, path, body string
		code               int
		want               string
	}{
		{"POST", "/v1/reload", `{}`, http.StatusConflict, "no rules"},
		{"POST", "/v1/reload", `{"force":1}`, http.StatusBadRequest, "the request"},
		{"POST", "/v1/reload", `{"forse":true}`, http.StatusBadRequest, "unknown field"},
		{"POST", "/v1/reload", `{} {}`, http.StatusBadRequest, "more than one value"},
		{"POST", "/v1/reload", ``, http.StatusBadRequest, "the request"},
		{"POST", "/v1/rollback", `{"generation":` + strings.Repeat(" ", controlBody) + `1}`, http.StatusBadRequest, "too large"},
		{"GET", "/v1/reload", ``, http.StatusMethodNotAllowed, ""},
		{"POST", "/v1/status", `{}`, http.StatusMethodNotAllowed, ""},
		{"GET", "/", ``, http.StatusNotFound, ""},
	} {
		w := httptest.NewRecorder()
		c.routes().ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body)))
		if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s %s %.20s: %d %s, want %d with %q", tt.method, tt.path, tt.body, w.Code, w.Body, tt.code, tt.want)
		}
	}
}

// One connection too many waits until another is closed; closing ends the wait.
func TestControlConnectionsAreBounded(t *testing.T) {
	n, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	l := newControlListener(n)
	defer l.Close()
	var accepted []net.Conn
	for range controlConns {
		dialed, err := net.Dial("unix", n.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer dialed.Close()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprint("uid ", os.Getuid()); peerOf(c) != want && peerOf(c) != "somebody" {
			t.Errorf("the peer is %q, want %q", peerOf(c), want)
		}
		accepted = append(accepted, c)
	}
	if len(l.slots) != cap(l.slots) {
		t.Fatalf("%d of %d slots are taken", len(l.slots), cap(l.slots))
	}
	accepted[0].Close()
	accepted[0].Close() // twice is once
	if len(l.slots) != cap(l.slots)-1 {
		t.Errorf("%d slots are taken after a close", len(l.slots))
	}
	l.slots <- struct{}{}
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
}

func TestTexts(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 1 << 30: "1.0 GiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d bytes are %q, want %q", n, got, want)
		}
	}
	if got := countsText(map[string]int{"b": 2, "a": 1, "c": 0}, "none"); got != "a 1, b 2" {
		t.Error(got)
	}
	if got := countsText(map[string]int{"c": 0}, "none"); got != "none" {
		t.Error(got)
	}
	var b bytes.Buffer
	facts(&b, [2]string{"one", "1"}, [2]string{"none", ""}, [2]string{"lines", "a\nb"})
	if want := "one    1\nlines  a\n       b\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

// Of many handlers those with most calls are shown, and the rest is counted.
func TestManyHandlers(t *testing.T) {
	var r scriptsReport
	for i := range maxRows + 5 {
		h := handlerReport{}
		h.By, h.Calls = fmt.Sprintf("10.lua:%d", i), uint64(i)
		r.Handlers = append(r.Handlers, h)
	}
	rows, more := r.handlerRows()
	if len(rows) != maxRows+1 || more != 5 || rows[1][0] != "10.lua:104" || slices.ContainsFunc(rows, func(row []string) bool { return row[0] == "10.lua:4" }) {
		t.Errorf("%d rows, %d more, first %q", len(rows), more, rows[1])
	}
}
