package main

import (
	"io"
	"os"
	"syscall"
	"testing"
	"time"
)

// What [scripting] says reaches the rules: they read the environment, have load
// run before anything listens, and see packets.
func TestScriptingSectionReachesRules(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("LUNAMQ_TEST_WORD", "open sesame")
	write(t, dir, "rules/10.lua", `
local word
mqtt.on("load", function() word = env.get("LUNAMQ_TEST_WORD"); log.info("loaded", {word = word}) end)
mqtt.on("unload", function() return word end)
mqtt.on("packet", function(p) if p.type == "PINGREQ" then return mqtt.duplicate(2) end end)
mqtt.after(0, function() log.info("timer", {word = word}) end)`)
	write(t, dir, "lunamq.toml", `
[[listener]]
name = "main"
url = "tcp://127.0.0.1:0"
[scripting]
dir = "rules"
env = ["LUNAMQ_TEST_WORD"]
packets = true
handover = "10s"
`)
	r := start(t, dir, "--config", "lunamq.toml")
	r.waitFor(`msg=loaded`)
	addr := r.waitListening("main")
	c := checkDial(t, "tcp", addr)
	r.waitFor("msg=ready")
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte{0xC0, 0}); err != nil { // PINGREQ
		t.Fatal(err)
	}
	pings := make([]byte, 6)
	if _, err := io.ReadFull(c, pings); err != nil || string(pings) != "\xD0\x00\xD0\x00\xD0\x00" {
		t.Errorf("got % x, err %v, want three PINGRESP", pings, err)
	}
	if err := os.WriteFile(dir+"/rules/20.lua", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.signal(syscall.SIGHUP)
	r.waitFor("scripts handed over")
	r.signal(syscall.SIGTERM)
	if code, said := r.wait(); code != exitOK {
		t.Errorf("exit code %d, want %d:\n%s", code, exitOK, said)
	}
}
