package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take that must happen. It is no measure:
// a test that waits so long has failed.
const patience = 30 * time.Second

// repository is the top of the repository, seen from this package.
const repository = "../../.."

// binary is the program, built once for all tests; with the race detector if
// they have it.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "lunamq-e2e")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "lunamq")
	args := []string{"build", "-o", file}
	if raceDetector {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "lunamq/cmd/lunamq")...).CombinedOutput(); err != nil {
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

// needs skips the test on a machine without an outside program; in CI the
// program must be there.
func needs(t testing.TB, name string) {
	t.Helper()
	_, err := exec.LookPath(name)
	switch {
	case err == nil:
	case os.Getenv("LUNAMQ_CI") != "":
		t.Fatalf("%s is not installed, and LUNAMQ_CI is set", name)
	default:
		t.Skipf("%s is not installed", name)
	}
}

// setup is what a program is started with. The zero value is the built-in
// defaults on a free port, without rules.
type setup struct {
	config    string            // config.toml without listeners
	listeners string            // [[listener]] tables in place of "local", tcp on a free port
	rules     map[string]string // files of the scripts folder, by name
	scripts   string            // a scripts folder that is there, in place of rules
	files     map[string]string // further files beside config.toml, by name
	args      []string          // further arguments
	in        string            // the folder to start in, with its config.toml, in place of config and listeners
}

const localListener = "[[listener]]\nname = \"local\"\nurl = \"tcp://127.0.0.1:0\"\n"

// program is the broker under way, as one test sees it.
type program struct {
	t testing.TB
	*process
}

// process is the broker under way, in a folder of its own.
type process struct {
	cmd    *exec.Cmd
	dir    string // holds config.toml and, with setup.rules, rules/
	said   transcript
	serial atomic.Int64  // of client identifiers
	done   chan struct{} // closed when the program has ended and all it said is in said
}

// on is the program as a subtest sees it, whose failures are its own.
func (p *program) on(t testing.TB) *program { return &program{t, p.process} }

// start runs the program until the test ends, which it does by SIGTERM and with
// exit code 0, or fails the test.
func start(t testing.TB, s setup) *program {
	t.Helper()
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t, &process{dir: t.TempDir(), done: make(chan struct{})}}
	p.said.changed = sync.NewCond(&p.said.mu)
	for name, text := range s.files {
		p.write(name, text)
	}
	args := s.args
	if s.in == "" {
		s.in = p.dir
		args = append([]string{"--config", p.configFile(s)}, args...)
	}
	switch {
	case s.scripts != "":
		args = append(args, "--scripts", s.scripts)
	case s.rules != nil:
		for name, text := range s.rules {
			p.write("rules/"+name, text)
		}
		args = append(args, "--scripts", filepath.Join(p.dir, "rules"))
	}
	p.cmd = exec.Command(file, args...)
	p.cmd.Dir, p.cmd.Stderr = s.in, &p.said
	p.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=50") // the default is a second for each program
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait() // its error is the exit code
		p.said.end()
		close(p.done)
	}()
	t.Cleanup(p.stop)
	return p
}

// configFile writes config.toml: no rules but those that a test names.
func (p *program) configFile(s setup) string {
	listeners := s.listeners
	if listeners == "" {
		listeners = localListener
	}
	config := s.config
	if !strings.Contains(config, "[scripting]") {
		config += "\n[scripting]\ndir = \"\"\n"
	}
	return p.write("config.toml", config+"\n"+listeners)
}

// stop ends the program as an operator does, and once.
func (p *program) stop() {
	p.t.Helper()
	select {
	case <-p.done:
	default:
		p.signal(syscall.SIGTERM)
	}
	if code := p.wait(); code != 0 {
		p.t.Errorf("exit code %d; the program said:\n%s", code, p.said.text())
	}
	for _, bad := range []string{"WARNING: DATA RACE", "a hook panicked", "a connection panicked"} {
		if p.count(bad) > 0 {
			p.t.Errorf("the program said %q", bad)
		}
	}
	if p.t.Failed() {
		p.t.Logf("the program said:\n%s", p.said.text())
	}
}

// wait returns the exit code once the program has ended.
func (p *program) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.cmd.Process.Signal(syscall.SIGQUIT) // it ends with the stacks of all goroutines
		<-p.done
		p.t.Errorf("the program did not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *program) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// write puts a file into the program's folder and returns its path.
func (p *program) write(name, text string) string {
	p.t.Helper()
	file := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return file
}

// rule saves a rule and returns when the set with it is in force.
func (p *program) rule(name, text string) {
	p.t.Helper()
	p.reloaded(func() { p.write("rules/"+name, text) })
}

// reloaded returns when the change that it makes is in force.
func (p *program) reloaded(change func()) {
	p.t.Helper()
	p.waitFor("msg=\"scripts loaded\"")
	n := p.count("msg=\"scripts loaded\"")
	change()
	p.waitForNth("msg=\"scripts loaded\"", n+1)
}

// waitFor returns the first line of the log that has text, or its newest part.
func (p *program) waitFor(text string) string {
	p.t.Helper()
	return p.waitForNth(text, 1)
}

// waitForNth returns the n-th line of the log that has text.
func (p *program) waitForNth(text string, n int) string {
	p.t.Helper()
	line, err := p.said.wait(text, n)
	if err != nil {
		p.t.Fatalf("%v:\n%s", err, p.said.text())
	}
	return line
}

// count says how many lines of the log have text by now.
func (p *program) count(text string) int {
	n := 0
	for line := range strings.Lines(p.said.text()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

var addrOf = regexp.MustCompile(`addr="?\w+://([^ "\n]+)`)

// addr returns where a listener listens: host:port, or the path of a socket.
func (p *program) addr(listener string) string {
	p.t.Helper()
	line := p.waitFor("msg=listening listener=" + listener + " ")
	m := addrOf.FindStringSubmatch(line)
	if m == nil {
		p.t.Fatalf("no address in %q", line)
	}
	return m[1]
}

// transcript is all that a process said: a writer that never blocks it.
type transcript struct {
	mu      sync.Mutex
	changed *sync.Cond

	// Guarded by mu:
	buf   bytes.Buffer
	ended bool
}

func (s *transcript) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
	return s.buf.Write(b)
}

func (s *transcript) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.changed.Broadcast()
}

func (s *transcript) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// wait returns the n-th whole line with text.
func (s *transcript) wait(text string, n int) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	late := false
	timer := time.AfterFunc(patience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		late = true
		s.changed.Broadcast()
	})
	defer timer.Stop()
	from, found := 0, 0
	for {
		for {
			i := bytes.IndexByte(s.buf.Bytes()[from:], '\n')
			if i < 0 {
				break
			}
			line := string(s.buf.Bytes()[from : from+i])
			if from += i + 1; strings.Contains(line, text) {
				if found++; found == n {
					return line, nil
				}
			}
		}
		switch {
		case s.ended:
			return "", fmt.Errorf("it ended and said %q %d times, not %d", text, found, n)
		case late:
			return "", fmt.Errorf("it said %q %d times, not %d, in %s", text, found, n, patience)
		}
		s.changed.Wait()
	}
}

// contains says whether a text has all of these in it.
func contains(text string, all ...string) bool {
	for _, s := range all {
		if !strings.Contains(text, s) {
			return false
		}
	}
	return true
}
