package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"lunamq/cmd/lunamq/bench"
)

// lunamqBench runs lunamq bench and returns what it prints.
func lunamqBench(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), file, append([]string{"bench"}, args...)...)
	temp := t.TempDir()
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 && cmd.ProcessState.ExitCode() == exitOK {
		t.Errorf("left behind: %v, %v", left, err)
	}
	return out.String(), said.String(), cmd.ProcessState.ExitCode()
}

// A run against a broker prints a table, or JSON, and progress if asked.
func TestBenchRun(t *testing.T) {
	r := start(t, t.TempDir(), "--listen", "tcp://127.0.0.1:0")
	url := "tcp://" + r.waitListening("tcp://127.0.0.1:0")
	pid := strconv.Itoa(r.cmd.Process.Pid)
	out, said, code := lunamqBench(t, "pair", "--url", url, "--pid", pid, "--messages", "2000", "--warmup", "0s", "--qos", "1", "--protocol", "5")
	if code != exitOK || !regexp.MustCompile(`(?m)^messages +2000 messages +\d+ .*MiB`).MatchString(out) || said != "" {
		t.Errorf("exit code %d:\n%s%s", code, out, said)
	}
	if !strings.HasPrefix(out, "pair at "+url+": 10 publishers, 10 subscribers, QoS 1, 64 bytes, 1 a write, window 50, MQTT 5\n") {
		t.Errorf("it begins %s", out)
	}
	out, said, code = lunamqBench(t, "pair", "--url", url, "--pid", pid, "--duration", "1100ms", "--warmup", "0s", "--json", "--progress")
	var result bench.Result
	if err := json.Unmarshal([]byte(out), &result); err != nil || code != exitOK {
		t.Fatalf("exit code %d, %v:\n%s%s", code, err, out, said)
	}
	p := result.Phases[0]
	if p.Done == 0 || p.Due < p.Done || p.Lost != 0 || p.Broker == nil || p.Broker.CPU <= 0 || p.OwnCPU <= 0 || p.Latency == nil {
		t.Errorf("%+v", p)
	}
	if !regexp.MustCompile(`(?m)^ +1s +messages +\d+ messages, \d+/s$`).MatchString(said) {
		t.Errorf("progress: %q", said)
	}
}

// Ctrl-C ends a comparison, and the broker that it has started.
func TestBenchInterrupted(t *testing.T) {
	if _, err := binary(); err != nil { // which stays where it is built
		t.Fatal(err)
	}
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	r := start(t, temp, "bench", "compare", "pair", "--duration", "1h", "--warmup", "0s", "--with", "lunamq", "--progress")
	r.waitFor("round 1 of 5: lunamq")
	r.waitFor("1s  messages")
	broker := onlyChild(t, r.cmd.Process.Pid)
	r.signal(syscall.SIGINT)
	if code, said := r.wait(); code != exitError || !strings.Contains(said, "lunamq: interrupted") {
		t.Errorf("exit code %d:\n%s", code, said)
	}
	if err := syscall.Kill(broker, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the broker, process %d, is still there: %v", broker, err)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// onlyChild is the process that a process has started.
func onlyChild(t *testing.T, pid int) int {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // each thread has its own
	if err != nil || len(files) == 0 {
		t.Skip("this system does not tell of children")
	}
	var all []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
		all = append(all, strings.Fields(string(text))...)
	}
	if len(all) != 1 {
		t.Fatalf("children %q, want one", all)
	}
	child, err := strconv.Atoi(all[0])
	if err != nil {
		t.Fatal(err)
	}
	return child
}

func TestBenchErrors(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"pair --qos 3", exitUsage, "QoS 3: must be"},
		{"pair --protocol 4", exitUsage, "must be 3.1, 3.1.1 or 5"},
		{"pair --url ftp://a", exitUsage, "must be tcp://"},
		{"idle --burst 3", exitUsage, "unknown flag: --burst"},
		{"pair --url tcp://127.0.0.1:1", exitError, "connection refused"},
		{"pair --cafile nothing.pem", exitError, "nothing.pem"},
		{"pair --cafile bench_test.go", exitError, "has no certificate"},
		{"pear", exitUsage, "pear"},
		{"compare pear", exitUsage, "no scenario is called"},
		{"compare --with nobody", exitUsage, "NAME=COMMAND with {port}"},
		{"compare --rounds 0 --with lunamq", exitUsage, "--rounds must be at least 1"},
		{"compare --suite all", exitUsage, "there are durable, scaling and targets"},
		{"compare --suite scaling --with lunamq", exitUsage, "leave --with away"},
		{"compare pair --suite targets", exitUsage, "leave pair away"},
		{"compare --size 5 --with lunamq --quick", exitUsage, "size 5"},
		{"compare --scripts nothing --with lunamq --quick", exitError, "its log is"},
	} {
		_, said, code := lunamqBench(t, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(said, c.says) {
			t.Errorf("bench %s: exit code %d, says %q; want %d, %q", c.args, code, said, c.code, c.says)
		}
	}
}

// Two of this program against each other: it works, over TLS and with rules, too.
func TestBenchCompare(t *testing.T) {
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	other := "other=" + file + " serve --listen tcp://127.0.0.1:{port} --data {dir}/data"
	out, said, code := lunamqBench(t, "compare", "pair", "--rounds", "2", "--messages", "500", "--warmup", "0s", "--with", other, "--json", "--progress")
	var c bench.Comparison
	if err := json.Unmarshal([]byte(out), &c); err != nil || code != exitOK {
		t.Fatalf("exit code %d, %v:\n%s%s", code, err, out, said)
	}
	if c.Reference != "other" || len(c.Brokers) != 2 || len(c.Brokers[0].Runs) != 2 || c.Brokers[1].Runs[1].Phases[0].Done != 500 {
		t.Errorf("%+v", c)
	}
	if v := c.Brokers[0].Phases[0].Ratios; v.Rate <= 0 || v.CPU <= 0 || v.RSS <= 0 {
		t.Errorf("ratios %+v", v)
	}
	var order []string
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "round ") {
			order = append(order, strings.TrimSpace(line))
		}
	}
	if got := strings.Join(order, ", "); got != "round 1 of 2: lunamq, round 1 of 2: other, round 2 of 2: lunamq, round 2 of 2: other" {
		t.Errorf("order: %s", got)
	}

	rules := t.TempDir()
	if err := os.WriteFile(filepath.Join(rules, "a.lua"), []byte(changingRule()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, said, code = lunamqBench(t, "compare", "--messages", "200", "--warmup", "0s", "--rounds", "1", "--tls", "--markdown", "--qos", "1",
		"--with", "lunamq", "--scripts", rules, "--scripts-subscribe", "changed/bench/%i")
	if code != exitOK || !strings.Contains(out, "| messages | lunamq |") || !strings.Contains(out, "| messages | no rules |") {
		t.Errorf("exit code %d:\n%s%s", code, out, said)
	}
}

// Each row of a suite is a command line that makes sense, and has a result for
// each of its goals.
func TestSuiteRows(t *testing.T) {
	for i := range targets {
		row := &targets[i]
		c, err := contestOfSuite(t, row, "targets", "--with", "lunamq")
		if err != nil {
			t.Errorf("%s: %v", row.title, err)
			continue
		}
		if c.Rounds != 2 && !strings.Contains(row.args, "--rounds 1") || c.Duration != 3*time.Second || c.Brokers[len(c.Brokers)-1].Name != "no rules" || c.Scenario != strings.Fields(row.args)[0] {
			t.Errorf("%s: %+v", row.title, c)
		}
		checkGoals(t, row)
	}
}

// Each row of the suite scaling runs this program twice: with more, then with less.
func TestScalingRows(t *testing.T) {
	for i := range scaling {
		row := &scaling[i]
		c, err := contestOfSuite(t, row, "scaling")
		if err != nil {
			t.Errorf("%s: %v", row.title, err)
			continue
		}
		small := c.Brokers[1].Options
		if len(c.Brokers) != 2 || c.Brokers[0].Options != nil || small == nil || c.Brokers[1].Name != row.name {
			t.Errorf("%s: %+v", row.title, c.Brokers)
			continue
		}
		more := c.Options.Pairs > small.Pairs || c.Options.Count > small.Count || c.Options.Warmup > small.Warmup
		if !more || c.Duration != 3*time.Second || small.Duration != c.Duration || c.Scenario != small.Scenario {
			t.Errorf("%s: %+v\nbeside %+v", row.title, c.Options, small)
		}
		if row.tenth != (c.Warmup == 27*time.Second) {
			t.Errorf("%s: after %v", row.title, c.Warmup)
		}
		checkGoals(t, row)
	}
}

// contestOfSuite is the contest of one row, of two rounds of three seconds.
func contestOfSuite(t *testing.T, row *target, suite string, more ...string) (*bench.Contest, error) {
	f := &compareFlags{}
	cmd := &cobra.Command{}
	f.add(cmd.Flags())
	if err := cmd.Flags().Parse(append([]string{"--suite", suite, "--rounds", "2", "--duration", "3s"}, more...)); err != nil {
		t.Fatal(err)
	}
	return f.contestOf(cmd, row, filepath.Join(t.TempDir(), "rules"))
}

// checkGoals holds that a goal is met up to its bound, and not without a number.
func checkGoals(t *testing.T, row *target) {
	for _, g := range row.goals {
		for _, measured := range []float64{g.atMost, g.atMost * 1.01, 0} {
			v := bench.Values{CPU: measured, P50: measured, P99: measured, PerClient: measured, Rested: measured}
			phases := []bench.Medians{{Phase: "another"}, {Phase: g.phase, Values: v, Ratios: v}}
			one := target{title: row.title, goals: []goal{g}}
			rows := one.judge(&bench.Comparison{Brokers: []bench.BrokerResult{{Phases: phases}, {Phases: phases}}}, 0)
			if len(rows) != 1 || rows[0].Met != (measured == g.atMost) {
				t.Errorf("%s, bound %g, measured %g: %+v", row.title, g.atMost, measured, rows)
			}
		}
	}
}

// The durable suite compares a broker with one that has all in memory, and a
// disk that is slow makes the bound lower.
func TestDurableRows(t *testing.T) {
	f := &compareFlags{}
	cmd := &cobra.Command{}
	f.add(cmd.Flags())
	for i := range durable {
		row := &durable[i]
		c, err := f.contestOf(cmd, row, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if n := len(c.Brokers); n != 2 || c.Brokers[0].Files["config.toml"] == c.Brokers[1].Files["config.toml"] ||
			!strings.Contains(c.Brokers[1].Files["config.toml"], `kind = "memory"`) || c.Clean {
			t.Errorf("%s: %+v", row.title, c)
		}
		for _, x := range []struct {
			own, syncs, atLeast float64
			met                 bool
		}{{50_000, 1000, 0.5, true}, {49_999, 1000, 0.5, false}, {40_000, 50, 0.4, true}, {39_999, 50, 0.4, false}} {
			of := func(rate float64) []bench.Medians {
				return []bench.Medians{{Phase: "messages", Values: bench.Values{Rate: rate}, Ratios: bench.Values{Rate: rate / 100_000}}}
			}
			rows := row.judge(&bench.Comparison{Brokers: []bench.BrokerResult{{Phases: of(x.own)}, {Phases: of(100_000)}}}, x.syncs)
			if len(rows) != 1 || rows[0].Met != x.met || rows[0].AtLeast != x.atLeast {
				t.Errorf("%s, %+v: %+v", row.title, x, rows)
			}
		}
	}
}

func TestSuiteTable(t *testing.T) {
	rows := []suiteRow{{Title: "idle", What: "RSS per client", Own: 1024, Other: 2048, Reference: "mosquitto", Ratio: 0.5, AtMost: 1740, Alone: true, Met: true, text: sizeText},
		{Title: "pair", What: "CPU each", Own: 0.5, Other: 5, Reference: "mosquitto", Ratio: 0.1, AtMost: 0.05, text: microText}}
	var out bytes.Buffer
	printSuite(&out, rows, true)
	want := `| scenario | measured | LunaMQ | other | ratio | target | met |
|---|---|---|---|---|---|---|
| idle | RSS per client | 1.0 KiB | 2.0 KiB (mosquitto) | × 0.5 | ≤ 1.7 KiB | yes |
| pair | CPU each | 0.500 µs | 5.000 µs (mosquitto) | × 0.1 | ≤ × 0.05 | no |
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

// The examples of the help are command lines that make sense.
func TestBenchExamples(t *testing.T) {
	n := 0
	root := rootCommand()
	cmd, _, err := root.Find([]string{"bench"})
	if err != nil {
		t.Fatal(err)
	}
	for _, sub := range append(cmd.Commands(), cmd) {
		if sub.Example == "" || sub.Short == "" || sub.Long == "" {
			t.Errorf("%s has no example, or no text", sub.Name())
		}
		for line := range strings.Lines(sub.Example) {
			line = regexp.MustCompile(`\$\(pidof \w+\)`).ReplaceAllString(strings.TrimSpace(line), "1")
			line = strings.ReplaceAll(line, "'other=/opt/other/broker --port {port}'", "other={port}")
			args := strings.Fields(strings.ReplaceAll(line, "'", ""))
			if len(args) < 3 || args[0] != "lunamq" {
				t.Errorf("%q", line)
				continue
			}
			found, rest, err := rootCommand().Find(args[1:])
			if err == nil {
				err = found.ParseFlags(rest)
			}
			if err == nil {
				err = found.ValidateArgs(found.Flags().Args())
			}
			if err != nil || found.Name() == "bench" {
				t.Errorf("%q: %v", line, err)
			}
			n++
		}
	}
	if n < 20 {
		t.Errorf("only %d examples", n)
	}
}
