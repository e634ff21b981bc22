package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBindSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	left, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false)

	if _, err := bindSocket(path, 0o600); err == nil || !strings.Contains(err.Error(), "another program listens") {
		t.Errorf("while somebody listens: %v", err)
	}
	left.Close() // as a killed broker leaves it
	n, err := bindSocket(path, 0o600)
	if err != nil {
		t.Fatalf("a socket that was left behind: %v", err)
	}
	defer n.Close()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}

	file := write(t, dir, "f", "precious")
	if _, err := bindSocket(file, 0o600); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("a file that is no socket: %v", err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
		t.Errorf("the file now has %q, err %v", text, err)
	}
	if _, err := bindSocket(filepath.Join(dir, "none", "s"), 0o600); err == nil || !strings.Contains(err.Error(), "folder must exist") {
		t.Errorf("a folder that is not there: %v", err)
	}
}
