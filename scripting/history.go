package scripting

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// kept is one set that ran, or runs. Immutable.
type kept struct {
	number int
	set    *fileSet
	loaded time.Time // when it took over first
	by     string    // who brought it
}

// bar keeps a set out: the files in the folder are those that were gone back from.
type bar struct {
	Hash string    `json:"hash"`
	By   string    `json:"by"` // who went back
	At   time.Time `json:"at"`
}

// maxBars bounds the bars that are remembered: the oldest goes first.
const maxBars = 1000

// history is the generations that one can go back to, and the sets that are
// barred. Guarded by Engine.loadMu.
type history struct {
	keep    int
	last    int    // highest number given so far
	current int    // number of the generation that runs, or is to run; 0 before the first
	kept    []kept // by number
	bars    []bar  // the oldest first
	archive archive
}

// find is the generation of that number, or nil.
func (h *history) find(number int) *kept {
	i, ok := slices.BinarySearchFunc(h.kept, number, func(k kept, n int) int { return cmp.Compare(k.number, n) })
	if !ok {
		return nil
	}
	return &h.kept[i]
}

// bar is the bar of a hash, or nil.
func (h *history) bar(hash string) *bar {
	for i := range h.bars {
		if h.bars[i].Hash == hash {
			return &h.bars[i]
		}
	}
	return nil
}

// number is that of a set about to be loaded: its own when it is the one that
// ran when the program ended, else a new one.
func (h *history) number(set *fileSet) int {
	if k := h.find(h.current); k != nil && k.set.hash == set.hash {
		return k.number
	}
	return h.last + 1
}

// add makes a generation the current one. Of equal sets the newest is kept,
// for who brought it.
func (h *history) add(k kept) {
	h.lift(k.set.hash)
	h.last, h.current = max(h.last, k.number), k.number
	if h.find(k.number) != nil {
		return
	}
	h.kept = slices.DeleteFunc(h.kept, func(old kept) bool { return old.set.hash == k.set.hash })
	h.kept = append(h.kept, k)
	for len(h.kept) > h.keep {
		oldest := 0
		if h.kept[0].number == h.current {
			oldest = 1
		}
		h.kept = slices.Delete(h.kept, oldest, oldest+1)
	}
}

// lift takes the bar of a hash away.
func (h *history) lift(hash string) {
	h.bars = slices.DeleteFunc(h.bars, func(b bar) bool { return b.Hash == hash })
}

// put bars a hash.
func (h *history) put(b bar) {
	h.lift(b.Hash)
	if h.bars = append(h.bars, b); len(h.bars) > maxBars {
		h.bars = slices.Delete(h.bars, 0, 1)
	}
}

// errNothingBefore says that there is no generation to go back to.
var errNothingBefore = errors.New("no generation before the running one is kept: lunamq scripts lists what is ([scripting] keep)")

// target is the generation that n asks for: its number, or 0 for the newest one
// before the running that nobody went back from.
func (h *history) target(n int) (*kept, error) {
	if n == h.current && n != 0 {
		return nil, fmt.Errorf("generation %d runs already", n)
	}
	if n != 0 {
		if k := h.find(n); k != nil {
			return k, nil
		}
		return nil, fmt.Errorf("generation %d is not kept: lunamq scripts lists what is", n)
	}
	for i := len(h.kept) - 1; i >= 0; i-- {
		if k := &h.kept[i]; k.number < h.current && h.bar(k.set.hash) == nil {
			return k, nil
		}
	}
	return nil, errNothingBefore
}

// Generation is one of those that are kept.
type Generation struct {
	Number  int       `json:"generation"`
	Hash    string    `json:"hash"`
	Files   []string  `json:"files"`
	Loaded  time.Time `json:"loaded"` // when it took over first
	By      string    `json:"by"`     // who brought it: "start", "file change", "SIGHUP", …
	Running bool      `json:"running"`
	Barred  string    `json:"barred,omitempty"` // who went back from it; "" if nobody
}

// list is the history as others see it, the newest generation first.
func (h *history) list() []Generation {
	out := make([]Generation, 0, len(h.kept))
	for _, k := range slices.Backward(h.kept) {
		g := Generation{Number: k.number, Hash: k.set.hash, Files: k.set.names(), Loaded: k.loaded, By: k.by, Running: k.number == h.current}
		if b := h.bar(k.set.hash); b != nil {
			g.Barred = b.By
		}
		out = append(out, g)
	}
	return out
}

// Generations are those that are kept, the newest first.
func (e *Engine) Generations() []Generation {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.generations)
}

// remember keeps what the history has become, for others to see and on disk.
func (e *Engine) remember() {
	list := e.history.list()
	e.mu.Lock()
	e.generations = list
	e.mu.Unlock()
	if err := e.history.save(); err != nil {
		e.options.Log.Error("the generation was not written to the disk: after a restart one cannot go back to it, and a rollback is forgotten", "generation", e.history.current, "err", err)
	}
}
