package scripting

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"lunamq/scripting/sandbox"
)

// Bounds of a scripts folder: far above any set of rules, so that a wrong
// folder is an error and not a flood.
const (
	maxFiles    = 1000
	maxFileSize = 1 << 20
	maxSetSize  = 32 << 20
	maxLibDepth = 8
)

const libFolder = "lib"

// LoadError says everything that is wrong with a set of scripts, one finding a
// line, mostly as "file.lua:7: text".
type LoadError struct{ Findings []string }

func (e *LoadError) Error() string { return strings.Join(e.Findings, "\n") }

// script is one file of a set.
type script struct {
	name   string // "20-rewrite.lua", "lib/units.lua"
	source []byte
}

// fileSet is what a scripts folder held at one moment. Immutable.
type fileSet struct {
	files    []script // those of the folder in name order, then those of lib/
	tests    []script // *_test.lua, which are never part of what runs
	findings []string // files that cannot be read
	hash     string   // of names and contents, without the tests
	tested   string   // the same with the tests; "" if they were not read
	stamp    string   // of names, contents, sizes and times: two equal ones in a row mean that nobody is writing
	dirs     []string // to watch: the folders, and those of the links on the way
}

// reader collects a set.
type reader struct {
	set   fileSet
	size  int
	hash  hash.Hash
	stamp hash.Hash
	dirs  map[string]bool
}

// readSet reads the scripts in dir. An error means that the folder itself
// cannot be read; what is wrong with single files is in the findings.
func readSet(dir string) (*fileSet, error) { return readFolder(dir, false) }

// readTestedSet is readSet with the tests.
func readTestedSet(dir string) (*fileSet, error) { return readFolder(dir, true) }

func readFolder(dir string, tests bool) (*fileSet, error) {
	r := &reader{hash: sha256.New(), stamp: sha256.New(), dirs: make(map[string]bool)}
	r.watch(dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("the scripts folder: %w", err)
	}
	for _, e := range entries {
		if isScript(e.Name()) {
			r.read(filepath.Join(dir, e.Name()), e.Name())
		}
	}
	r.readLib(filepath.Join(dir, libFolder), libFolder, 0)
	r.set.hash = hex.EncodeToString(r.hash.Sum(nil))
	if tests {
		r.readTests(dir, entries)
		r.set.tested = "tests " + hex.EncodeToString(r.hash.Sum(nil))
	}
	r.stamp.Write([]byte(r.set.hash + r.set.tested))
	r.set.stamp = hex.EncodeToString(r.stamp.Sum(nil))
	for d := range r.dirs {
		r.set.dirs = append(r.set.dirs, d)
	}
	slices.Sort(r.set.dirs)
	return &r.set, nil
}

// isScript says whether a file of that name is loaded. Names with a leading dot
// are the editors' and Kubernetes' own, those in .d.lua definitions for editors.
func isScript(name string) bool {
	return strings.HasSuffix(name, ".lua") && !strings.HasSuffix(name, "_test.lua") &&
		!strings.HasSuffix(name, ".d.lua") && !strings.HasPrefix(name, ".")
}

// isTest says whether a file of that name holds tests.
func isTest(name string) bool {
	return strings.HasSuffix(name, "_test.lua") && !strings.HasPrefix(name, ".")
}

// readTests reads the tests beside the rules.
func (r *reader) readTests(dir string, entries []os.DirEntry) {
	rules := r.set.files
	r.set.files = nil
	for _, e := range entries {
		if isTest(e.Name()) {
			r.read(filepath.Join(dir, e.Name()), e.Name())
		}
	}
	r.set.files, r.set.tests = rules, r.set.files
}

// readLib reads lib/ and the folders in it.
func (r *reader) readLib(dir, name string, depth int) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	r.watch(dir)
	if err != nil {
		r.find(name, err.Error())
		return
	}
	for _, e := range entries {
		full, rel := filepath.Join(dir, e.Name()), path.Join(name, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case isScript(e.Name()):
			r.read(full, rel)
		case isFolder(full) && depth < maxLibDepth:
			r.readLib(full, rel, depth+1)
		}
	}
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// read adds one file.
func (r *reader) read(full, name string) {
	if link, err := os.Lstat(full); err == nil && link.Mode()&os.ModeSymlink != 0 {
		r.watchLink(full)
	}
	info, err := os.Stat(full)
	switch {
	case err != nil:
		r.find(name, "cannot be read: "+err.Error())
		return
	case info.IsDir():
		return // subfolders other than lib/ are not loaded
	case !info.Mode().IsRegular():
		r.find(name, "is not a regular file")
		return
	case len(r.set.files) == maxFiles:
		r.find(name, fmt.Sprintf("is one file too many: at most %d are loaded", maxFiles))
		return
	}
	source, err := readFile(full)
	if r.size += len(source); err == nil && r.size > maxSetSize {
		err = fmt.Errorf("makes the set larger than %d bytes", maxSetSize)
	}
	if err != nil {
		r.find(name, err.Error())
		return
	}
	r.set.files = append(r.set.files, script{name, source})
	sum := sha256.Sum256(source)
	fmt.Fprintf(r.hash, "file %q %x\n", name, sum)
	fmt.Fprintf(r.stamp, "%q %d %d\n", name, info.Size(), info.ModTime().UnixNano())
}

func readFile(full string) ([]byte, error) {
	f, err := os.Open(full)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	defer f.Close()
	source, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if len(source) > maxFileSize {
		return nil, fmt.Errorf("has more than %d bytes, the most a script may have", maxFileSize)
	}
	return source, nil
}

// find notes what is wrong with a file; it counts in the hash like a content.
func (r *reader) find(name, what string) {
	finding := name + ": " + what
	if len(r.set.findings) <= maxFiles {
		r.set.findings = append(r.set.findings, finding)
	}
	fmt.Fprintf(r.hash, "finding %q\n", finding)
}

// watch notes a folder, by its real path, and the folders of the links that
// lead to it: a link swapped there is a change here.
func (r *reader) watch(dir string) {
	r.watchLink(dir)
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		r.dirs[absolute(real)] = true
	}
}

// watchLink notes the folder that a path leads into and, for each link on the
// way to it, the folder that holds the link.
func (r *reader) watchLink(full string) {
	const maxLinks = 40 // as Linux follows
	for range maxLinks {
		link := r.firstLink(absolute(full))
		if link == "" {
			break
		}
		target, err := os.Readlink(link)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(link), target)
		}
		full = filepath.Join(target, strings.TrimPrefix(absolute(full), link))
	}
	if info, err := os.Stat(full); err == nil && !info.IsDir() {
		r.dirs[filepath.Dir(absolute(full))] = true
	}
}

// firstLink is the first part of a path that is a link, and notes its folder.
func (r *reader) firstLink(full string) string {
	for at := 1; at <= len(full); at++ {
		if at < len(full) && full[at] != filepath.Separator {
			continue
		}
		info, err := os.Lstat(full[:at])
		if err != nil {
			return ""
		}
		if info.Mode()&os.ModeSymlink != 0 {
			r.dirs[filepath.Dir(full[:at])] = true
			return full[:at]
		}
	}
	return ""
}

func absolute(p string) string {
	if abs, err := filepath.Abs(p); err == nil {
		return abs
	}
	return p
}

// names are the files of the set that are rules: without those of lib/.
func (s *fileSet) names() []string {
	out := []string{}
	for _, f := range s.files {
		if !isModule(f.name) {
			out = append(out, f.name)
		}
	}
	return out
}

func isModule(name string) bool { return strings.HasPrefix(name, libFolder+"/") }

// file is the script of that name, or nil.
func (s *fileSet) file(name string) *script {
	for _, list := range [][]script{s.files, s.tests} {
		for i := range list {
			if list[i].name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// line is line n of a file as it was loaded, without the space around it.
func (s *fileSet) line(name string, n int) string {
	f := s.file(name)
	if f == nil {
		return ""
	}
	i := 0
	for l := range strings.Lines(string(f.source)) {
		if i++; i == n {
			return clipTo(strings.TrimSpace(l), 200)
		}
	}
	return ""
}

// emptied says whether a file is empty now that was not in old: perhaps between
// an editor's truncating and its writing.
func (s *fileSet) emptied(old *fileSet) bool {
	for _, f := range slices.Concat(s.files, s.tests) {
		if len(f.source) == 0 {
			if was := old.file(f.name); was != nil && len(was.source) > 0 {
				return true
			}
		}
	}
	return false
}

// module is the chunk of require(name).
func (s *fileSet) module(chunks map[string]*sandbox.Chunk, name string) (*sandbox.Chunk, error) {
	file := libFolder + "/" + strings.ReplaceAll(name, ".", "/") + ".lua"
	if c := chunks[file]; c != nil {
		return c, nil
	}
	var known []string
	for _, f := range s.files {
		if isModule(f.name) {
			known = append(known, strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(f.name, libFolder+"/"), ".lua"), "/", "."))
		}
	}
	return nil, fmt.Errorf("there is no module %s: no file %s%s", strconv.Quote(clip(name)), clip(file), meant(name, known))
}
