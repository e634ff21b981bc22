package scripting

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// BarredError says that the scripts in the folder are not loaded because
// somebody went back from them.
type BarredError struct {
	Hash string // of the set in the folder
	By   string // who went back
	At   time.Time
}

func (e *BarredError) Error() string {
	return fmt.Sprintf("the scripts in the folder (%s) were gone back from, by %s at %s: they come into force when they change, or with lunamq reload --force",
		short(e.Hash), e.By, e.At.Format(time.DateTime))
}

func isBarred(err error) bool {
	var barred *BarredError
	return errors.As(err, &barred)
}

// errNoRules says that the broker has no scripts folder.
var errNoRules = errors.New("there are no rules: [scripting] dir is not set")

// Rollback makes the kept generation n the running one again, at once; 0 is the
// newest before the running one that nobody went back from. It is built aside as
// in a reload; with an error nothing has changed. A set gone back from is barred:
// it stays out until the files change, or a Request with Force. Without scripts,
// or a generation to go to, it is an error.
func (e *Engine) Rollback(ctx context.Context, n int, by string) error {
	if e.options.Dir == "" {
		return errNoRules
	}
	e.loadMu.Lock()
	defer e.loadMu.Unlock()
	if e.current == nil {
		return errors.New("no rules run yet")
	}
	k, err := e.history.target(n)
	if err != nil {
		return err
	}
	return e.goBack(ctx, *k, by)
}

// goBack swaps a kept set in, and keeps out what it replaced.
func (e *Engine) goBack(ctx context.Context, k kept, by string) error {
	left := e.current
	if err := e.swap(ctx, k.set, arrival{number: k.number, by: by, meant: true}); err != nil {
		return fmt.Errorf("generation %d cannot be loaded; generation %d goes on: %w", k.number, left.number, err)
	}
	now := e.options.Now()
	if k.number < left.number {
		e.history.put(bar{left.set.hash, by, now})
	}
	disk := e.Status().DiskHash
	if disk != k.set.hash && e.history.bar(disk) == nil && e.history.holds(disk) {
		e.history.put(bar{disk, by, now}) // else the next look at the folder would bring it back
	}
	e.history.add(k)
	e.remember()
	e.options.Log.Warn("the scripts are those of an earlier generation again", "generation", k.number, "instead_of", left.number, "by", by)
	e.showBarred(disk)
	return nil
}

// holds says whether a set is kept.
func (h *history) holds(hash string) bool {
	for _, k := range h.kept {
		if k.set.hash == hash {
			return true
		}
	}
	return false
}

// showBarred makes the status that of the current generation while the folder
// may hold something else.
func (e *Engine) showBarred(disk string) {
	b := e.history.bar(disk)
	switch {
	case disk == e.current.set.hash:
		e.failed = ""
		e.show(disk, nil)
	case b != nil:
		e.failed = disk
		e.show(disk, &BarredError{disk, b.By, b.At})
	default: // a set that could not be loaded: that stays so
		e.show(disk, errors.New(e.Status().Err))
	}
	e.tell("rolled back")
}

// resume starts with the generation that somebody went back to before the
// program ended: the set in the folder is barred.
func (e *Engine) resume(ctx context.Context, disk string) error {
	b := e.history.bar(disk)
	k := e.history.find(e.history.current)
	barred := &BarredError{disk, b.By, b.At}
	if k == nil {
		return fmt.Errorf("%w; and the generation gone back to, %d, is not kept any more: change the scripts, or remove %s from the folder of kept generations",
			barred, e.history.current, stateFile)
	}
	if err := e.swap(ctx, k.set, arrival{number: k.number, by: "start", meant: true}); err != nil {
		return fmt.Errorf("%w; and the generation gone back to, %d, cannot be loaded: %w", barred, k.number, err)
	}
	e.failed = disk
	e.remember()
	e.options.Log.Warn("the scripts in the folder are not in force", "generation", k.number, "err", barred)
	e.show(disk, barred)
	return nil
}
