package scripting

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// archive is the folder in which the history outlives a restart; "": none.
//
//	state.json       what is kept, what runs, what is barred
//	12/10-auth.lua   the files of generation 12, as they were
//	12/lib/…
//
// Rules may hold secrets: all of it is for the broker's user only. Each change is
// written beside and renamed, the folder of a generation before the state that
// names it.
type archive string

const stateFile = "state.json"

// maxState bounds what is read of state.json: 100 generations of 1000 files
// have 15 MB.
const maxState = 64 << 20

// stateVersion is of the format of state.json.
const stateVersion = 1

// state is state.json.
type state struct {
	Version     int        `json:"version"`
	Last        int        `json:"last"`
	Current     int        `json:"current"`
	Generations []archived `json:"generations"`
	Barred      []bar      `json:"barred"`
}

// archived is one generation in state.json.
type archived struct {
	Number int            `json:"number"`
	Hash   string         `json:"hash"`
	Loaded time.Time      `json:"loaded"`
	By     string         `json:"by"`
	Files  []archivedFile `json:"files"`
}

type archivedFile struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

// save writes what has changed.
func (h *history) save() error {
	if h.archive == "" {
		return nil
	}
	s := state{Version: stateVersion, Last: h.last, Current: h.current, Generations: []archived{}, Barred: h.bars}
	named := make(map[string]bool)
	for _, k := range h.kept {
		if err := h.archive.write(k); err != nil {
			return err
		}
		named[strconv.Itoa(k.number)] = true
		s.Generations = append(s.Generations, k.describe())
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(string(h.archive), stateFile), append(text, '\n')); err != nil {
		return err
	}
	return h.archive.clean(named)
}

func (k *kept) describe() archived {
	a := archived{Number: k.number, Hash: k.set.hash, Loaded: k.loaded, By: k.by, Files: []archivedFile{}}
	for _, f := range k.set.files {
		a.Files = append(a.Files, archivedFile{f.name, sumOf(f.source)})
	}
	return a
}

func sumOf(source []byte) string {
	sum := sha256.Sum256(source)
	return hex.EncodeToString(sum[:])
}

// write writes the folder of a generation, if it is not there: it never changes.
func (a archive) write(k kept) error {
	final := filepath.Join(string(a), strconv.Itoa(k.number))
	if isFolder(final) {
		return nil
	}
	aside := final + ".tmp"
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	if err := os.MkdirAll(aside, 0o700); err != nil {
		return err
	}
	for _, f := range k.set.files {
		full := filepath.Join(aside, filepath.FromSlash(f.name))
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			return err
		}
		if err := writeSynced(full, f.source); err != nil {
			return err
		}
	}
	if err := os.Rename(aside, final); err != nil {
		return err
	}
	return syncFolder(string(a))
}

// ownFolder are the names that the archive gives: nothing else is removed.
var ownFolder = regexp.MustCompile(`^[0-9]+(\.tmp)?$`)

// clean removes the generations that are no longer named.
func (a archive) clean(named map[string]bool) error {
	entries, err := os.ReadDir(string(a))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if ownFolder.MatchString(e.Name()) && !named[e.Name()] {
			if err := os.RemoveAll(filepath.Join(string(a), e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// open reads the history. A generation whose files are not what was written is
// put aside and told; a state that cannot be read is an error, for it would bring
// rules back into force that somebody went back from.
func (a archive) open(keep int, log *slog.Logger) (history, error) {
	h := history{keep: keep, archive: a}
	if a == "" {
		return h, nil
	}
	if err := os.MkdirAll(string(a), 0o700); err != nil {
		return h, fmt.Errorf("the kept generations: %w", err)
	}
	s, err := a.readState()
	if err != nil {
		return h, fmt.Errorf("the kept generations cannot be read: %w: mend the file, or remove it to start with the scripts in the folder, barred or not", err)
	}
	h.last, h.current, h.bars = s.Last, s.Current, s.Barred
	named := make(map[string]bool)
	for _, g := range s.Generations {
		named[strconv.Itoa(g.Number)] = true
		set, err := a.read(g)
		if err != nil {
			log.Warn("a kept generation is damaged and was put aside", "generation", g.Number, "err", err)
			a.putAside(g.Number, log)
			continue
		}
		h.kept = append(h.kept, kept{number: g.Number, set: set, loaded: g.Loaded, by: g.By})
	}
	return h, a.clean(named) // what a killed program did not finish
}

// putAside keeps the folder of a damaged generation under another name.
func (a archive) putAside(number int, log *slog.Logger) {
	from := filepath.Join(string(a), strconv.Itoa(number))
	to := from + ".damaged"
	err := os.RemoveAll(to)
	if err == nil {
		err = os.Rename(from, to)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		log.Warn("a damaged generation was not put aside", "generation", number, "err", err)
	}
}

// readState reads and checks state.json; none is an empty one.
func (a archive) readState() (s state, err error) {
	name := filepath.Join(string(a), stateFile)
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxState))
	if err != nil {
		return s, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("%s: %w", name, err)
	}
	if err := s.check(); err != nil {
		return s, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// check finds what no program of this version wrote.
func (s *state) check() error {
	if s.Version != stateVersion {
		return fmt.Errorf("it has version %d, this program knows %d", s.Version, stateVersion)
	}
	before := 0
	for _, g := range s.Generations {
		if g.Number <= before || g.Number > s.Last {
			return fmt.Errorf("generation %d stands after %d, the last being %d", g.Number, before, s.Last)
		}
		before = g.Number
		for _, f := range g.Files {
			if !filepath.IsLocal(f.Name) {
				return fmt.Errorf("generation %d has a file %q", g.Number, clip(f.Name))
			}
		}
	}
	return nil
}

// read is the set of a generation, if its files are those that were written.
func (a archive) read(g archived) (*fileSet, error) {
	set := &fileSet{hash: g.Hash}
	size := 0
	for _, f := range g.Files {
		source, err := readFile(filepath.Join(string(a), strconv.Itoa(g.Number), filepath.FromSlash(f.Name)))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		if sumOf(source) != f.SHA256 {
			return nil, fmt.Errorf("%s is not what was written", f.Name)
		}
		if size += len(source); size > maxSetSize {
			return nil, fmt.Errorf("it has more than %d bytes", maxSetSize)
		}
		set.files = append(set.files, script{f.Name, source})
	}
	return set, nil
}

// replaceFile puts text into a file, whole or not at all.
func replaceFile(name string, text []byte) error {
	aside := name + ".tmp"
	if err := writeSynced(aside, text); err != nil {
		return err
	}
	if err := os.Rename(aside, name); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(name))
}

// writeSynced writes a file that only its owner reads, down to the disk.
func writeSynced(name string, text []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncFolder makes renames in a folder last.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
