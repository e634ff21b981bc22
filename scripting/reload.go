package scripting

import (
	"context"
	"errors"
	"time"
)

// timing is what a reload waits for.
type timing struct {
	quiet   time.Duration // after the last file event
	longest time.Duration // from the first one, however many follow
	settle  time.Duration // between two equal samples of the folder
	emptied time.Duration // for which all samples are equal, where a file has become empty
	samples int           // until a folder that is always being written is left for later
	remind  time.Duration // between two logs of a set that cannot be loaded
	load    time.Duration // for loading a set
}

var defaultTiming = timing{
	quiet: 100 * time.Millisecond, longest: time.Second,
	settle: 25 * time.Millisecond, emptied: 500 * time.Millisecond, samples: 40,
	remind: time.Minute, load: loadLimit,
}

// errUnsettled says that the folder is being written all the time.
var errUnsettled = errors.New("the scripts folder is being written: no two samples were equal")

// look is one look at the folder.
type look struct {
	by    string // who wants it
	asked bool   // somebody wants to know: a set that failed before is tried once more, and its error returned
	force bool   // a set that was gone back from is loaded
}

// arrival is where a generation comes from.
type arrival struct {
	number int
	by     string
	meant  bool // it ran before, or somebody insists: nobody goes back from it by himself
}

// update looks at the folder and makes its set the running one if it differs.
func (e *Engine) update(ctx context.Context, l look) (*fileSet, error) {
	e.loadMu.Lock()
	defer e.loadMu.Unlock()
	set, err := e.readSet()
	if err != nil {
		return nil, e.fail("folder", "", err)
	}
	if !l.asked && e.isKnown(set) {
		e.tell("same")
		return set, nil
	}
	if set, err = e.settled(ctx, set); err != nil {
		e.tell("unsettled")
		return nil, err
	}
	switch {
	case e.current != nil && set.hash == e.current.set.hash:
		e.mended()
		return set, nil
	case !l.asked && e.isKnown(set):
		e.tell("same")
		return set, nil
	}
	if b := e.history.bar(set.hash); b != nil && !l.force {
		if e.current == nil {
			return set, e.resume(ctx, set.hash)
		}
		return set, e.fail(set.hash, set.hash, &BarredError{set.hash, b.By, b.At})
	}
	return set, e.replace(ctx, set, l)
}

// readSet reads the folder, with the tests where they count.
func (e *Engine) readSet() (*fileSet, error) {
	if e.options.TestBeforeReload {
		return readTestedSet(e.options.Dir)
	}
	return readSet(e.options.Dir)
}

// isKnown says that a set needs no second look: it runs, or has been refused.
// One whose tests failed is refused until they or it change.
func (e *Engine) isKnown(set *fileSet) bool {
	if e.failed != "" {
		return set.hash == e.failed || set.tested == e.failed
	}
	return e.current != nil && set.hash == e.current.set.hash
}

// settled reads the folder until two samples in a row are equal; where a file
// has become empty, which may be the moment between truncating and writing,
// until all samples for a longer while are.
func (e *Engine) settled(ctx context.Context, set *fileSet) (*fileSet, error) {
	calm := time.Duration(0)
	for range e.timing.samples {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(e.timing.settle):
		}
		next, err := e.readSet()
		if err != nil {
			return nil, e.fail("folder", "", err)
		}
		if calm += e.timing.settle; next.stamp != set.stamp {
			set, calm = next, 0
			continue
		}
		if e.current == nil || !next.emptied(e.current.set) || calm >= e.timing.emptied {
			return next, nil
		}
		e.tell("emptied")
	}
	return nil, errUnsettled
}

// replace makes the set in the folder the running one, if nothing is wrong with it.
func (e *Engine) replace(ctx context.Context, set *fileSet, l look) error {
	o := arrival{number: e.history.number(set), by: l.by, meant: l.force}
	mark, err := set.tested, e.checkTests(ctx, set)
	if err == nil {
		mark, err = set.hash, e.swap(ctx, set, o)
	}
	if ctx.Err() != nil { // given up, which says nothing about the files
		return ctx.Err()
	}
	if err != nil {
		return e.fail(mark, set.hash, err)
	}
	e.failed = ""
	e.history.add(kept{number: o.number, set: set, loaded: e.options.Now(), by: l.by})
	e.remember()
	e.show(set.hash, nil)
	e.tell("loaded")
	return nil
}

// swap loads a set aside and, if nothing is wrong with it, swaps it in by one
// Register. Events under way finish in the old generation.
func (e *Engine) swap(ctx context.Context, set *fileSet, o arrival) error {
	g, err := e.build(ctx, set, o.number)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	g.since, g.by, g.guard = e.options.Now(), o.by, e.newGuard(o)
	if err := e.install(g); err != nil {
		return err
	}
	e.current = g
	e.limiters.Keep(func(id string) bool { return set.file(limiterFile(id)) != nil })
	e.options.Log.Info("scripts loaded", "generation", o.number, "files", len(set.names()), "handlers", len(g.handlers), "hash", short(set.hash), "by", o.by)
	return nil
}

// show makes the status that of the current generation; err is why it is not
// what the folder holds.
func (e *Engine) show(disk string, err error) {
	g := e.current
	e.mu.Lock()
	e.inForce = g
	e.mu.Unlock()
	s := Status{
		Files: g.set.names(), Hash: g.set.hash, DiskHash: disk,
		Handlers: g.counts(), Generation: g.number, OK: err == nil,
		Since: g.since, By: g.by,
	}
	if err != nil {
		s.Err = err.Error()
	}
	e.setStatus(s)
	e.publishAlarms()
}

// mended ends an alarm: the files are those of the running generation again.
func (e *Engine) mended() {
	if e.failed == "" {
		e.tell("same")
		return
	}
	e.failed = ""
	e.show(e.current.set.hash, nil)
	e.options.Log.Info("the scripts are those that run again", "generation", e.current.number)
	e.tell("mended")
}

// fail notes that a set cannot be loaded, and returns err. The old generation
// stays, untouched.
func (e *Engine) fail(mark, disk string, err error) error {
	e.failed = mark
	s := e.Status()
	s.OK, s.Err, s.DiskHash = false, err.Error(), disk
	e.setStatus(s)
	e.tell("failed")
	return err
}

// remind tries a set that could not be loaded again, for failures that pass,
// and logs it as long as it lasts.
func (e *Engine) remind(ctx context.Context) {
	if e.Status().OK {
		return
	}
	if _, err := e.update(ctx, look{by: "file change", asked: true}); err != nil && ctx.Err() == nil {
		s := e.Status()
		if isBarred(err) {
			e.options.Log.Warn("the scripts in the folder are still not in force", "generation", s.Generation, "err", err)
			return
		}
		e.options.Log.Error("the scripts still cannot be loaded; the old ones go on", "generation", s.Generation, "err", s.Err)
	}
}

func (e *Engine) tell(outcome string) {
	if e.observe != nil {
		e.observe(outcome)
	}
}

func short(hash string) string { return hash[:min(len(hash), 12)] }
