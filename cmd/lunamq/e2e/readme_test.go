package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lunamq/core/packet"
)

// block is a fenced block of README.md.
type block struct {
	language, text string
	before         string // the text between the last block and this one
}

var fence = regexp.MustCompile("(?s)```(\\w+)\n(.*?)```")

func readme(t *testing.T) (string, []block) {
	t.Helper()
	b, err := os.ReadFile(repository + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []block
	text, end := string(b), 0
	for _, m := range fence.FindAllStringSubmatchIndex(text, -1) {
		blocks = append(blocks, block{text[m[2]:m[3]], text[m[4]:m[5]], text[end:m[0]]})
		end = m[1]
	}
	return text, blocks
}

// blockWith is the only block of a language that has these words.
func blockWith(t *testing.T, blocks []block, language, words string) block {
	t.Helper()
	var found []block
	for _, b := range blocks {
		if b.language == language && strings.Contains(b.text, words) {
			found = append(found, b)
		}
	}
	if len(found) != 1 {
		t.Fatalf("README.md has %d %s blocks with %q, want 1", len(found), language, words)
	}
	return found[0]
}

// exampleFiles are the rules of the shipped set, without their tests.
func exampleFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(examples + "/*.lua")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "_test.lua") })
}

// exampleRules are the files of the shipped set.
func exampleRules(t *testing.T) map[string]string {
	t.Helper()
	rules := make(map[string]string)
	for _, f := range exampleFiles(t) {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		rules[filepath.Base(f)] = string(text)
	}
	return rules
}

// command is a mosquitto command of README.md, run by a shell as it stands but
// for the port.
func (p *program) command(line string) *errand {
	p.t.Helper()
	name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	needs(p.t, name)
	args := strings.Join(mosquittoArgs(p.t, login{url: p.url("local")}, ""), " ")
	return outside(p.t, "sh", "-c", "exec stdbuf -oL "+name+" "+args+" "+rest)
}

// TestReadmeMinute is the minute of README.md: subscribe, publish, save a rule,
// see the difference, break it, mend it, delete it.
func TestReadmeMinute(t *testing.T) {
	_, blocks := readme(t)
	p := start(t, setup{rules: exampleRules(t)})
	sub := p.command(strings.TrimSpace(blockWith(t, blocks, "sh", "mosquitto_sub").text) + " -d")
	if _, err := sub.said.wait("Subscribed (mid: ", 1); err != nil {
		t.Fatal(err)
	}
	// publishes once and wants what README.md says to be printed, the nth time
	prints := func(n int, start, rest string) {
		t.Helper()
		pub := p.command(blockWith(t, blocks, "sh", "mosquitto_pub").text)
		if pub.exit(t) != 0 {
			t.Fatalf("mosquitto_pub: %s", pub.said.text())
		}
		line, err := sub.said.wait(start, n)
		if err != nil || !regexp.MustCompile("^"+regexp.QuoteMeta(start)+rest+"$").MatchString(line) {
			t.Fatalf("printed %q, want %q, err %v:\n%s", line, start+rest, err, sub.said.text())
		}
	}
	plain, changed := said(t, "The subscriber prints `", "`"), said(t, "It prints `", "…`")
	prints(1, plain, "")

	rule := blockWith(t, blocks, "lua", "mqtt.on")
	name := regexp.MustCompile("`examples/scripts/([^`]+)`").FindStringSubmatch(rule.before)
	if name == nil {
		t.Fatalf("no file name before the rule: %s", rule.before)
	}
	p.rule(name[1], rule.text)
	prints(1, changed, "[A-Z0-9]+")
	c := p.connect(login{})
	if code, _ := c.publish(message{topic: "hello/world", qos: 1}); code != packet.PayloadFormatInvalid {
		t.Errorf("an empty payload: %s", code)
	}

	p.write("rules/"+name[1], rule.text+"mqtt.on(\n")
	if line := p.waitFor("the scripts cannot be loaded; the old ones go on"); !contains(line, "level=ERROR", name[1]+":") {
		t.Errorf("the log says %s", line)
	}
	prints(2, changed, "[A-Z0-9]+")
	p.rule(name[1], "-- mended\n"+rule.text)
	prints(3, changed, "[A-Z0-9]+")
	p.reloaded(func() {
		if err := os.Remove(filepath.Join(p.dir, "rules", name[1])); err != nil {
			t.Fatal(err)
		}
	})
	prints(2, plain, "")
}

// said is what README.md says between two texts.
func said(t *testing.T, from, to string) string {
	t.Helper()
	text, _ := readme(t)
	_, rest, ok := strings.Cut(text, from)
	words, _, end := strings.Cut(rest, to)
	if !ok || !end || strings.Contains(words, "\n") {
		t.Fatalf("README.md does not say %s…%s", from, to)
	}
	return words
}

// TestReadmeCommands: every go command is one that works; those that start the
// broker start it, on a free port.
func TestReadmeCommands(t *testing.T) {
	_, blocks := readme(t)
	brokers := 0
	for _, b := range blocks {
		if b.language != "sh" {
			continue
		}
		for line := range strings.Lines(b.text) {
			line, _, _ = strings.Cut(line, "#")
			line = strings.TrimSpace(line)
			words := strings.Fields(line)
			switch {
			case len(words) > 3 && strings.HasPrefix(line, "go run ./cmd/lunamq ") && !strings.HasPrefix(words[3], "-"):
				checkEnds(t, words[3:])
			case len(words) > 2 && words[0] == "go" && words[1] == "run" && words[2] == "./cmd/lunamq":
				brokers++
				checkStarts(t, words[3:])
			case line == "go test ./...":
				if out, err := inRepository("go", "list", "./..."); err != nil {
					t.Errorf("%s: %v: %s", line, err, out)
				}
			case strings.HasPrefix(line, "mosquitto_"): // TestReadmeMinute
			default:
				t.Errorf("%q is run by no test", line)
			}
		}
	}
	if brokers < 2 {
		t.Errorf("README.md starts the broker %d times", brokers)
	}
}

// checkEnds runs a subcommand that is good and ends, as README.md does; what it
// prints is not written to the file that README.md names.
func checkEnds(t *testing.T, args []string) {
	t.Helper()
	if i := slices.Index(args, ">"); i >= 0 {
		args = args[:i]
	}
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := inRepository(file, args...); err != nil || len(out) == 0 {
		t.Errorf("lunamq %q: %v: %s", args, err, out)
	}
}

func inRepository(name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = repository
	return cmd.CombinedOutput()
}

// checkStarts starts the broker as README.md does, from the top of the
// repository, with config.toml and the examples that are there.
func checkStarts(t *testing.T, args []string) {
	t.Helper()
	args = append([]string(nil), args...)
	free, listens := "tcp://127.0.0.1:0", false
	for i, a := range args {
		if strings.HasPrefix(a, "tcp://") {
			args[i], listens = free, true
		}
	}
	if !listens {
		args = append(args, "--listen", free)
	}
	args = append(args, "--data", t.TempDir()) // ./data may be another test's
	p := start(t, setup{in: repository, args: args})
	if line := p.waitFor("rules in force"); !contains(line, "10-users.lua") {
		t.Errorf("the rules are not the examples: %s", line)
	}
	p.waitFor("msg=listening")
}

// TestReadmeFiles: the table has every rule, with its own words, and each link
// leads to a file.
func TestReadmeFiles(t *testing.T) {
	text, _ := readme(t)
	for name := range exampleRules(t) {
		if !strings.Contains(text, "| `"+name+"` |") {
			t.Errorf("README.md's table lacks %s", name)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+\\.lua)` \\|").FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat(filepath.Join(examples, m[1])); err != nil {
			t.Errorf("README.md's table: %v", err)
		}
	}
	links := regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(text, -1)
	if len(links) == 0 {
		t.Error("README.md has no links")
	}
	for _, m := range links {
		if _, err := os.Stat(filepath.Join(repository, m[1])); err != nil {
			t.Errorf("README.md: %v", err)
		}
	}
}
