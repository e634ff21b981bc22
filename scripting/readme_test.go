package scripting

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The test in the README passes with the rules it is about.
func TestReadmeTest(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(readme), "```lua\ntest(")
	block, _, closed := strings.Cut(block, "```")
	if !found || !closed {
		t.Fatal("the README has no test")
	}
	rules, err := os.ReadFile(filepath.Join("../examples/scripts", "25-celsius.lua"))
	if err != nil {
		t.Fatal(err)
	}
	results := tried(t, string(rules), "test("+block)
	if len(results) != 1 {
		t.Errorf("the README has %d tests", len(results))
	}
	for name, r := range results {
		if !r.Passed {
			t.Errorf("%s: %s", name, r.Failure)
		}
	}
}
