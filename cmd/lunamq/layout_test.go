package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// topLevel is all that stands at the top of the repository, beside dotfiles
// and what .gitignore names.
var topLevel = []string{"LICENSE", "README.md", "cmd", "config.toml", "core", "examples", "go.mod", "go.sum", "plugins", "scripting"}

// mayImport says which of our packages a package may know; the rest of the
// module is closed to it. A name ending in / stands for what is below it.
func mayImport(pkg string) (ours []string, thirdParty bool) {
	switch {
	case pkg == "core/packet", pkg == "core/topic":
		return nil, false
	case pkg == "core":
		return []string{"core/packet", "core/topic"}, false
	case pkg == "core/storetest":
		return []string{"core", "core/packet"}, false
	case pkg == "scripting/sandbox", pkg == "scripting/lib":
		return nil, true
	case pkg == "scripting":
		return []string{"core", "core/packet", "core/topic", "scripting/sandbox", "scripting/lib"}, true
	case strings.HasPrefix(pkg, "plugins/"):
		return []string{"core", "core/packet", "core/topic"}, true
	case pkg == "cmd/lunamq/bench":
		return []string{"core/packet"}, true
	case strings.HasPrefix(pkg, "cmd/"):
		return []string{"core/", "core", "scripting", "plugins/", "cmd/"}, true
	}
	return nil, false
}

func allowed(list []string, imported string) bool {
	return slices.ContainsFunc(list, func(a string) bool {
		return a == imported || strings.HasSuffix(a, "/") && strings.HasPrefix(imported, a)
	})
}

func TestDirectionsOfKnowledge(t *testing.T) {
	root := "../.."
	files := 0
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." && p != root {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		files++
		rel, err := filepath.Rel(root, filepath.Dir(p))
		if err != nil {
			return err
		}
		checkImports(t, filepath.ToSlash(rel), p)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 50 {
		t.Fatalf("only %d files were looked at", files)
	}
}

func checkImports(t *testing.T, pkg, file string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Error(err)
		return
	}
	ours, thirdParty := mayImport(pkg)
	for _, spec := range f.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Error(err)
			continue
		}
		first, _, _ := strings.Cut(name, "/")
		switch {
		case strings.HasPrefix(name, "lunamq/"):
			if !allowed(ours, strings.TrimPrefix(name, "lunamq/")) {
				t.Errorf("%s: %s may not know %s", path.Clean(filepath.ToSlash(file)), pkg, name)
			}
		case strings.Contains(first, ".") && !thirdParty:
			t.Errorf("%s: %s may not import %s: the standard library only", path.Clean(filepath.ToSlash(file)), pkg, name)
		}
	}
}

func TestTopLevel(t *testing.T) {
	entries, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	ignored := []string{"data", "lunamq"} // .gitignore
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || slices.Contains(ignored, e.Name()) || slices.Contains(topLevel, e.Name()) {
			continue
		}
		t.Errorf("%s stands at the top of the repository, where only these may: %s", e.Name(), strings.Join(topLevel, " "))
	}
}
