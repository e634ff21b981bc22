package scripting

import (
	"context"
	"time"

	"github.com/fsnotify/fsnotify"
)

// fileWatcher is what the engine needs of fsnotify.
type fileWatcher interface {
	Add(dir string) error
	Remove(dir string) error
	Close() error
	hints() (<-chan fsnotify.Event, <-chan error)
}

type notifier struct{ *fsnotify.Watcher }

func (n notifier) hints() (<-chan fsnotify.Event, <-chan error) { return n.Events, n.Errors }

func newFileWatcher() (fileWatcher, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	return notifier{w}, nil
}

// watching is the state of the watch loop.
type watching struct {
	engine *Engine
	files  fileWatcher   // nil where there are no events: then there is polling alone
	hint   chan struct{} // something may have changed
	dirs   map[string]bool
	logged string // the failure that was logged last
}

// watch starts the loops that keep the rules as the files are. Whatever an
// event says it is only a hint that something changed: contents decide.
func (e *Engine) watch(ctx context.Context, dirs []string) {
	w := &watching{engine: e, hint: make(chan struct{}, 1), dirs: make(map[string]bool)}
	files, err := e.watcher()
	if err != nil {
		e.options.Log.Warn("no file events; the scripts are polled", "every", e.options.Poll, "err", err)
	} else {
		w.files = files
		w.follow(dirs)
		e.loops.Go(func() { w.drainLoop(ctx) })
	}
	e.loops.Go(func() { w.watchLoop(ctx) })
}

// drainLoop takes events as they come, so that their queue never fills, and
// never calls the watcher, which may wait for this loop.
func (w *watching) drainLoop(ctx context.Context) {
	events, errs := w.files.hints()
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-events:
			if !ok {
				return
			}
		case err, ok := <-errs:
			if !ok {
				return
			}
			w.engine.options.Log.Warn("file events may be lost; the scripts are polled too", "every", w.engine.options.Poll, "err", err)
		}
		w.suspect()
	}
}

// suspect hints that something may have changed.
func (w *watching) suspect() {
	select {
	case w.hint <- struct{}{}:
	default: // one is waiting already
	}
}

// watchLoop looks at the folder after hints and from time to time.
func (w *watching) watchLoop(ctx context.Context) {
	poll := time.NewTicker(w.engine.options.Poll)
	defer poll.Stop()
	remind := time.NewTicker(w.engine.timing.remind)
	defer remind.Stop()
	if w.files != nil {
		defer w.files.Close()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-remind.C:
			w.engine.remind(ctx)
			continue
		case <-poll.C:
		case <-w.hint:
			w.debounce(ctx)
		}
		w.look(ctx)
	}
}

// debounce waits until no more hints come, but not for ever.
func (w *watching) debounce(ctx context.Context) {
	t := w.engine.timing
	longest, quiet := time.NewTimer(t.longest), time.NewTimer(t.quiet)
	defer longest.Stop()
	defer quiet.Stop()
	for {
		select {
		case <-w.hint:
			quiet.Reset(t.quiet)
		case <-quiet.C:
			return
		case <-longest.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// look updates the rules, and watches the folders that the files are in now.
func (w *watching) look(ctx context.Context) {
	set, err := w.engine.update(ctx, look{by: "file change"})
	switch {
	case ctx.Err() != nil:
	case err == errUnsettled:
		w.suspect()
	case isBarred(err):
		w.engine.options.Log.Warn("the scripts in the folder are not in force", "generation", w.engine.Status().Generation, "err", err)
	case err != nil:
		if w.logged != err.Error() {
			w.logged = err.Error()
			w.engine.options.Log.Error("the scripts cannot be loaded; the old ones go on", "generation", w.engine.Status().Generation, "err", err)
		}
	case w.engine.Status().OK:
		w.logged = ""
	}
	if set != nil {
		w.follow(set.dirs)
	}
}

// follow makes dirs the folders that are watched. What is there already is
// added again: the folder may be another one of the same name. A new one may
// have changed between the reading and now.
func (w *watching) follow(dirs []string) {
	if w.files == nil {
		return
	}
	wanted := make(map[string]bool, len(dirs))
	for _, d := range dirs {
		wanted[d] = true
		if !w.dirs[d] {
			w.suspect()
		}
		if err := w.files.Add(d); err != nil {
			w.engine.options.Log.Warn("a folder of the scripts sends no events; it is polled", "folder", d, "every", w.engine.options.Poll, "err", err)
		}
	}
	for d := range w.dirs {
		if !wanted[d] {
			_ = w.files.Remove(d) // gone with the folder, if that is gone
		}
	}
	w.dirs = wanted
}
