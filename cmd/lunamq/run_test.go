package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// binary is the program, built once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "lunamq")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "lunamq")
	if out, err := exec.Command("go", "build", "-o", file, ".").CombinedOutput(); err != nil {
		return "", errors.New(string(out))
	}
	return file, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if file, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(file))
	}
	os.Exit(code)
}

// running is the program under way, in a folder of its own.
type running struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string
	said  strings.Builder
}

// start runs the program in dir.
func start(t *testing.T, dir string, args ...string) *running {
	t.Helper()
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, cmd: exec.CommandContext(t.Context(), file, args...), lines: make(chan string)}
	r.cmd.Dir = dir
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(r.lines)
		for s := bufio.NewScanner(stderr); s.Scan(); {
			select {
			case r.lines <- s.Text():
			case <-t.Context().Done():
			}
		}
	}()
	return r
}

// waitFor returns the next line that has text. What belongs to the start must
// come before "ready".
func (r *running) waitFor(text string) string {
	r.t.Helper()
	for line := range r.lines {
		r.said.WriteString(line + "\n")
		if strings.Contains(line, text) {
			return line
		}
		if strings.Contains(line, "msg=ready") {
			r.t.Fatalf("the program is ready and has not said %q:\n%s", text, r.said.String())
		}
	}
	r.t.Fatalf("the program ended without saying %q:\n%s", text, r.said.String())
	return ""
}

var addrOf = regexp.MustCompile(`addr="?\w+://([^ "]+)`)

// waitListening returns the address of a listener once it is announced.
func (r *running) waitListening(name string) string {
	r.t.Helper()
	line := r.waitFor("msg=listening listener=" + name + " ")
	m := addrOf.FindStringSubmatch(line)
	if m == nil {
		r.t.Fatalf("no address in %q", line)
	}
	return m[1]
}

func (r *running) signal(s syscall.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}

// wait returns the exit code, and all that was said.
func (r *running) wait() (int, string) {
	for line := range r.lines {
		r.said.WriteString(line + "\n")
	}
	r.cmd.Wait() // its error is the exit code
	return r.cmd.ProcessState.ExitCode(), r.said.String()
}

// write puts a file into dir and returns its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
