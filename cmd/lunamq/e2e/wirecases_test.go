package e2e

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lunamq/core/packet"
)

// wireCase is a case of core/packet/testdata/wire, where its form is explained.
type wireCase struct {
	name    string
	version packet.Version
	bytes   []byte
	code    packet.ReasonCode // what it is refused with; Success if it is not
	whole   bool              // it is valid
}

var wireVersions = map[string]packet.Version{"client 3.1": packet.V31, "client 3.1.1": packet.V311, "client 5": packet.V5}

// wireCases returns what a client sends in the wire cases.
func wireCases(t *testing.T) (cases []wireCase) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(repository, "core/packet/testdata/wire/*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no wire cases: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for paragraph := range strings.SplitSeq(string(text), "\n\n") {
			if c := parseWireCase(t, paragraph); c.version != 0 {
				c.name = filepath.Base(file) + ": " + c.name
				cases = append(cases, c)
			}
		}
	}
	return cases
}

func parseWireCase(t *testing.T, paragraph string) (c wireCase) {
	t.Helper()
	for line := range strings.Lines(paragraph) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case c.name == "":
			c.name = line
		case strings.HasPrefix(line, "client "):
			c.version = wireVersions[line]
		case line[0] == '>':
			c.bytes = append(c.bytes, wireBytes(t, line[1:])...)
		case line[0] == '=':
			c.whole = true
		case line[0] == '!':
			code, ok := packet.ReasonByName(strings.TrimSpace(line[1:]))
			if !ok {
				t.Fatalf("%s: no reason %s", c.name, line)
			}
			c.code = code
		}
	}
	return c
}

// wireBytes reads hexadecimal digits and quoted text.
func wireBytes(t *testing.T, line string) (out []byte) {
	t.Helper()
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			out = append(out, part...)
			continue
		}
		b, err := hex.DecodeString(strings.ReplaceAll(part, " ", ""))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out = append(out, b...)
	}
	return out
}
