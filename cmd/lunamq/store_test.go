package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"lunamq/core"
	"lunamq/core/storetest"
	"lunamq/plugins/disk"
)

// fill makes a store in dir/data that holds something of every kind, and
// returns what.
func fill(t *testing.T, dir string) []string {
	t.Helper()
	s, err := disk.Open(disk.Options{Dir: disk.Folder(filepath.Join(dir, "data"))})
	if err != nil {
		t.Fatal(err)
	}
	h := storetest.NewHistory(3)
	for range 500 {
		storetest.Commit(t, s, h.Next()...)
	}
	storetest.Commit(t, s, storetest.EveryField()...)
	lines := allOf(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return lines
}

func allOf(t *testing.T, s *disk.Store) (lines []string) {
	t.Helper()
	if err := s.All(func(op core.Op) error { lines = append(lines, storetest.Line(op)); return nil }, nil); err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return lines
}

// stored is what lies in dir/data.
func stored(t *testing.T, dir string) []string {
	t.Helper()
	s, err := disk.Open(disk.Options{Dir: disk.Folder(filepath.Join(dir, "data"))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return allOf(t, s)
}

func TestStoreOfAStoppedBroker(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"info", "check"} {
		refuses(t, dir, []string{"store", name}, exitError, "there is no store")
		refuses(t, dir, []string{"store", name, "one"}, exitUsage, "--help")
		tells(t, dir, []string{"store", name, "--help"}, "Examples:\n  lunamq store "+name, "--json")
	}
	for _, name := range []string{"backup", "export"} {
		refuses(t, dir, []string{"store", name, "out"}, exitError, "there is no store")
		refuses(t, dir, []string{"store", name}, exitUsage, "--help")
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
		t.Error("asking for a store made one")
	}
	fill(t, dir)
	tells(t, dir, []string{"store", "info"}, "format 1", "no broker runs here", "retained messages", "sessions", "values of rules")
	if i := asJSON[disk.Info](t, dir, "store", "info", "--json"); i.Sessions == 0 || i.Retained == 0 || i.Values == 0 || i.Queued == 0 || i.Bytes == 0 || !i.OK {
		t.Errorf("info says %+v", i)
	}
	tells(t, dir, []string{"store", "check"}, "good: ", "sessions")
	tells(t, dir, []string{"store", "backup", "copy"}, "backed up")
	refuses(t, dir, []string{"store", "backup", "copy"}, exitError, "there already")
	tells(t, dir, []string{"store", "check", "--data", "copy"}, "good: ")
	tells(t, dir, []string{"store", "--help"}, "lunamq store backup /backup/monday")
}

// check finds what is damaged, and where; a broker that may not start with
// damage has an exit code of its own.
func TestStoreCheckFinds(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir)
	logs, err := filepath.Glob(filepath.Join(dir, "data/store/db/*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatal("no log", err)
	}
	text, err := os.ReadFile(logs[len(logs)-1])
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		text[len(text)/2+i] ^= 0x55
	}
	if err := os.WriteFile(logs[len(logs)-1], text, 0o600); err != nil {
		t.Fatal(err)
	}
	out, _, code := command(t, dir, "store", "check")
	if code != exitError || !strings.Contains(out, "cannot be opened") {
		t.Errorf("check: exit code %d\n%s", code, out)
	}
	var r storeCheckReport
	out, _, code = command(t, dir, "store", "check", "--json")
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitError || r.OK || len(r.Findings) == 0 {
		t.Errorf("check --json: exit code %d, %v\n%s", code, err, out)
	}
	write(t, dir, "refuse.toml", "[storage]\non_damage = \"refuse\"\n")
	refuses(t, dir, []string{"--config", "refuse.toml", "--listen", "tcp://127.0.0.1:0"}, exitStore, "the store is damaged", "lunamq store check")
	b := start(t, dir, "--listen", "tcp://127.0.0.1:0")
	b.waitFor("THE STORE IS DAMAGED")
	b.waitFor("msg=ready")
	b.drain()
	tells(t, dir, []string{"status"}, "DAMAGED at the start, put aside")
	tells(t, dir, []string{"store", "info"}, ".damaged")
	b.end()
	tells(t, dir, []string{"store", "check"}, "good: ")
}

// What is exported and imported is the same; an import that was interrupted goes
// on, and one into a store with something in it is refused.
func TestStoreMoves(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	want := fill(t, from)
	tellsErr(t, from, []string{"store", "export", filepath.Join(to, "all.jsonl")}, "exported")
	refuses(t, from, []string{"store", "export", filepath.Join(to, "all.jsonl")}, exitError, "exists")
	text, err := os.ReadFile(filepath.Join(to, "all.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(to, "all.jsonl")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the export has mode %v, %v", info.Mode(), err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	write(t, to, "half.jsonl", strings.Join(lines[:len(lines)/2], ""))
	write(t, to, "bad.jsonl", strings.Join(lines[:3], "")+"{\"op\":\"sesion\"}\n")
	write(t, to, "other.jsonl", strings.Replace(string(text), `{"lunamq_export":"`, `{"lunamq_export":"other`, 1))
	write(t, to, "none.jsonl", "{}\n")
	refuses(t, to, []string{"store", "import", "none.jsonl"}, exitError, "line 1", "no export")
	refuses(t, to, []string{"store", "import", "bad.jsonl", "--data", "bad"}, exitError, "line 4", "sesion")
	refuses(t, to, []string{"store", "import", "half.jsonl"}, exitError, "cut off")
	refuses(t, to, []string{"store", "import", "other.jsonl"}, exitError, "another export was interrupted")
	tells(t, to, []string{"store", "import", "all.jsonl"}, "imported", fmt.Sprintf("%d of them before", len(lines)/2-1))
	if got := stored(t, to); !slices.Equal(got, want) {
		t.Errorf("%d records came of %d", len(got), len(want))
	}
	refuses(t, to, []string{"store", "import", "other.jsonl"}, exitError, "not empty")
	tellsErr(t, to, []string{"store", "check"}, "")
}

// tellsErr is tells for standard error.
func tellsErr(t *testing.T, dir string, args []string, want string) {
	t.Helper()
	if out, said, code := command(t, dir, args...); code != exitOK || !strings.Contains(said, want) {
		t.Errorf("%v: exit code %d\n%s%s", args, code, out, said)
	}
}

// publishRetained is a retained PUBLISH of QoS 1 [MQTT-3.3.1]; the answer is waited for.
func publishRetained(t *testing.T, c net.Conn, topic, payload string) {
	t.Helper()
	body := append([]byte{0, byte(len(topic))}, topic...)
	body = append(append(body, 0, 1), payload...)
	if _, err := c.Write(append([]byte{0x33, byte(len(body))}, body...)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
}

// A running broker tells of its store and backs it up; the backup is one that a
// broker can be started on, and holds what was acknowledged.
func TestStoreOfARunningBroker(t *testing.T) {
	dir := t.TempDir()
	r, addr := startReady(t, dir, "--scripts", "")
	r.drain()
	c := checkDial(t, "tcp", addr)
	publishRetained(t, c, "kept", "value")
	tells(t, dir, []string{"store", "info"}, "takes what is stored", "retained messages  1")
	tells(t, dir, []string{"status"}, "storage", "on disk")
	tells(t, dir, []string{"store", "backup", "copy"}, "backed up")
	refuses(t, dir, []string{"store", "backup", "copy"}, exitError, "there already")
	refuses(t, dir, []string{"store", "backup", "/proc/none"}, exitError, "/proc/none")
	refuses(t, dir, []string{"store", "check"}, exitError, "used by another broker", "lunamq store backup DIR")
	refuses(t, dir, []string{"store", "export", "-"}, exitError, "lunamq store backup DIR")
	publishRetained(t, c, "kept after", "value")
	tells(t, dir, []string{"store", "check", "--data", "copy"}, "1 retained message")
	r.signal(syscall.SIGKILL)
	r.wait()
	tells(t, dir, []string{"store", "check"}, "2 retained messages")
}

// Durable buckets of rules go on where they were, after a graceful end; others
// begin anew.
func TestDurableBucketsOutliveTheProgram(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "rules/10.lua", `
local kept, plain = kv.bucket("n", {durable = true}), kv.bucket("n")
mqtt.on("publish", "c", function(m) log.info("kept " .. kept:incr("n") .. ", plain " .. plain:incr("n")) end)`)
	r, addr := startReady(t, dir)
	c := checkDial(t, "tcp", addr)
	for _, want := range []string{"kept 1, plain 1", "kept 2, plain 2"} {
		publish(t, c, "c", "x")
		r.waitFor(want)
	}
	r.drain()
	r.end()
	r, addr = startReady(t, dir)
	publish(t, checkDial(t, "tcp", addr), "c", "x")
	r.waitFor("kept 3, plain 1")
	r.drain()
	r.end()
}

// With too little free on the disk, what should be stored is not acknowledged,
// and a client of 3.1.1, which cannot be told, is disconnected; the rest goes on.
func TestTooLittleFree(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "full.toml", "[storage]\nreserve = \"1024TiB\"\n[sys]\ninterval = \"1s\"\n")
	r := start(t, dir, "--config", "full.toml", "--listen", "tcp://127.0.0.1:0")
	r.waitFor("too little is free on the disk")
	addr := r.waitListening("tcp://127.0.0.1:0")
	r.drain()
	c := checkDial(t, "tcp", addr)
	publish(t, c, "not stored", "x")
	body := append([]byte{0, 1, 't', 0, 2}, "kept"...)
	if _, err := c.Write(append([]byte{0x33, byte(len(body))}, body...)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 4)); !errors.Is(err, io.EOF) {
		t.Errorf("a message that cannot be stored is answered with %d bytes, %v", n, err)
	}
	tells(t, dir, []string{"status"}, "REFUSED", "too little is free")
	tells(t, dir, []string{"store", "info"}, "REFUSES", "refused  1 batches")
	r.end()
}
