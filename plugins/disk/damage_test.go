package disk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"lunamq/core"
	"lunamq/core/storetest"
)

// stock is a store on disk with tables, deletions of every kind and a log.
var stock = sync.OnceValue(func() (made struct {
	dir   string
	lines []string        // what it holds
	ever  map[string]bool // what it was given
	err   error
}) {
	dir, err := os.MkdirTemp("", "lunamq-disk")
	if made.dir, made.err = dir, err; err != nil {
		return made
	}
	s, err := Open(Options{Dir: dir})
	if made.err = err; err != nil {
		return made
	}
	want := core.NewMemoryStore()
	made.ever = make(map[string]bool)
	h := storetest.NewHistory(1)
	commit := func(ops ...core.Op) {
		for _, op := range ops {
			made.ever[storetest.Line(op)] = true
		}
		made.err = errors.Join(made.err, storetest.Try(s, ops...), storetest.Try(want, ops...))
	}
	for part := range 3 {
		for i := range 300 {
			commit(retainedOf(fmt.Sprintf("part/%d/%03d", part, i), 300))
			commit(h.Next()...)
		}
		commit(core.Op{Kind: core.DeleteRetained, Topic: "part/0/007"})
		if part < 2 {
			made.err = errors.Join(made.err, s.database.Flush())
		}
	}
	made.err = errors.Join(made.err, s.Close(), want.Load(func(op core.Op) error {
		made.lines = append(made.lines, storetest.Line(op))
		return nil
	}))
	return made
})

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(stock().dir)
	os.Exit(code)
}

// stocked returns a copy of the stock and what it holds.
func stocked(t *testing.T) (dir string, lines []string) {
	t.Helper()
	s := stock()
	dir = t.TempDir()
	if err := errors.Join(s.err, os.CopyFS(dir, os.DirFS(s.dir))); err != nil {
		t.Fatal(err)
	}
	return dir, s.lines
}

// filesOf returns the files of the database of that pattern.
func filesOf(t *testing.T, dir, pattern string) (names []string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, databaseName, pattern))
	if err != nil || len(all) == 0 {
		t.Fatalf("no %s in %s: %v", pattern, dir, err)
	}
	return all
}

func rewrite(t *testing.T, name string, change func([]byte) []byte) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, change(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// garbage overwrites n bytes at a share of a file.
func garbage(share float64, n int) func([]byte) []byte {
	return func(text []byte) []byte {
		rnd := rand.New(rand.NewPCG(1, 2))
		at := int(share * float64(len(text)-n))
		for i := range min(n, len(text)) {
			text[max(at, 0)+i] ^= byte(1 + rnd.IntN(255))
		}
		return text
	}
}

func zeros(text []byte) []byte { return make([]byte, len(text)) }

func cut(share float64) func([]byte) []byte {
	return func(text []byte) []byte { return text[:int(share*float64(len(text)))] }
}

// TestDamage: every kind of file, damaged in every way: the store starts, holds
// nothing that was not stored, at least so much of what was, and what was
// damaged is kept aside.
func TestDamage(t *testing.T) {
	remove := func([]byte) []byte { return nil }
	for _, c := range []struct {
		file   string
		which  int // among those of the kind, from the end if negative
		how    string
		change func([]byte) []byte
		least  float64 // share of the records that must be there
		silent bool    // nothing is put aside: it looks as after a power cut
	}{
		{"*.log", -1, "garbage in the middle", garbage(0.5, 50), 0.85, false},
		{"*.log", -1, "garbage at the start", garbage(0, 50), 0.85, false},
		{"*.log", -1, "a torn end", cut(0.999), 0.99, true},
		{"*.log", -1, "cut in the middle", cut(0.5), 0.75, true},
		{"*.log", -1, "zeros", zeros, 0.5, true},
		{"*.log", -1, "a wrong log", garbage(0, 1<<30), 0.3, false},
		{"*.sst", 0, "garbage in the middle", garbage(0.5, 50), 0.9, false},
		{"*.sst", 0, "garbage in the first quarter", garbage(0.25, 5), 0.9, false},
		{"*.sst", 0, "garbage at the start", garbage(0, 50), 0.9, false},
		{"*.sst", 0, "garbage at the end", garbage(1, 50), 0.3, false},
		{"*.sst", 0, "cut", cut(0.5), 0.3, false},
		{"*.sst", 0, "zeros", zeros, 0.3, false},
		{"*.sst", 0, "empty", cut(0), 0.3, false},
		{"*.sst", 0, "missing", remove, 0.3, false},
		{"MANIFEST-*", -1, "garbage in the middle", garbage(0.5, 20), 1, false},
		{"MANIFEST-*", -1, "garbage at the start", garbage(0, 20), 1, false},
		{"MANIFEST-*", -1, "zeros", zeros, 1, false},
		{"MANIFEST-*", -1, "empty", cut(0), 1, false},
		{"MANIFEST-*", -1, "missing", remove, 1, false},
		{"marker.manifest.*", -1, "missing", remove, 1, false},
		{"marker.format-version.*", -1, "missing", remove, 1, false},
		{"OPTIONS-*", -1, "garbage", garbage(0, 200), 1, false},
		{"OPTIONS-*", -1, "missing", remove, 1, true},
	} {
		t.Run(c.file+" "+c.how, func(t *testing.T) {
			dir, want := stocked(t)
			files := filesOf(t, dir, c.file)
			name := files[0]
			if c.which < 0 {
				name = files[len(files)-1]
			}
			if c.how == "missing" {
				if err := os.Remove(name); err != nil {
					t.Fatal(err)
				}
			} else {
				rewrite(t, name, c.change)
			}
			s := opened(t, Options{Dir: dir})
			checkSalvaged(t, s, want, c.least)
			aside, err := filepath.Glob(filepath.Join(dir, "*"+damagedSuffix))
			if err != nil || (len(aside) == 0) != c.silent || len(aside) != len(s.Damaged()) {
				t.Errorf("put aside are %v, and told of %v", aside, s.Damaged())
			}
			storetest.Commit(t, s, retainedOf("after", 1))
			closed(t, s)
			s = opened(t, Options{Dir: dir, Refuse: true}) // it is whole again
			if got := storetest.Dump(t, s); !slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, `"after"`) }) {
				t.Error("what was stored after the salvage is not there")
			}
		})
	}
}

func checkSalvaged(t *testing.T, s *Store, want []string, least float64) {
	t.Helper()
	got := storetest.Dump(t, s)
	kept := 0
	for _, line := range got {
		if !stock().ever[line] {
			t.Errorf("what nobody stored is there: %.200s", line)
		}
	}
	for _, line := range want {
		if slices.Contains(got, line) {
			kept++
		}
	}
	if share := float64(kept) / float64(len(want)); share < least {
		t.Errorf("%d of %d records are there, want %.0f%%", kept, len(want), 100*least)
	}
	t.Logf("%d of %d records are there, %d others", kept, len(want), len(got)-kept)
}

// TestDamageRefused: with Refuse a damaged store stays as it is.
func TestDamageRefused(t *testing.T) {
	dir, _ := stocked(t)
	rewrite(t, filesOf(t, dir, "*.sst")[0], garbage(0.5, 50))
	if _, err := Open(Options{Dir: dir, Refuse: true}); !errors.Is(err, ErrDamaged) {
		t.Fatalf("a damaged store is opened: %v", err)
	}
	if aside, _ := filepath.Glob(filepath.Join(dir, "*"+damagedSuffix)); len(aside) > 0 {
		t.Errorf("put aside: %v", aside)
	}
}

// TestSalvageInterrupted: whatever a salvage that was interrupted left, the next
// start begins anew or finishes.
func TestSalvageInterrupted(t *testing.T) {
	dir, want := stocked(t)
	for _, name := range []string{databaseName + scratchSuffix, databaseName + salvageSuffix} {
		if err := os.MkdirAll(filepath.Join(dir, name, "rest"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	rewrite(t, filesOf(t, dir, "MANIFEST-*")[0], zeros)
	s := opened(t, Options{Dir: dir})
	checkSalvaged(t, s, want, 1)
	closed(t, s)
	if err := os.Rename(filepath.Join(dir, databaseName), filepath.Join(dir, databaseName+salvagedSuffix)); err != nil {
		t.Fatal(err)
	}
	s = opened(t, Options{Dir: dir})
	checkSalvaged(t, s, want, 1)
}

// TestNewerFormat: a store of a newer program is refused, and stays as it is.
func TestNewerFormat(t *testing.T) {
	dir, _ := stocked(t)
	rewrite(t, filepath.Join(dir, formatName), func([]byte) []byte { return []byte(formatHead + "2\n") })
	if _, err := Open(Options{Dir: dir}); !errors.Is(err, ErrNewer) {
		t.Fatalf("a newer store is opened: %v", err)
	}
	rewrite(t, filepath.Join(dir, formatName), garbage(0, 5))
	closed(t, opened(t, Options{Dir: dir}))
}

// TestTaken: a second store in the folder is refused, and told by whom.
func TestTaken(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	opened(t, o)
	_, err := Open(o)
	if !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Fatalf("a second store: %v", err)
	}
}
