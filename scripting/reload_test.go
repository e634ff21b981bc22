package scripting

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"lunamq/core"
)

// mark is a rule that says which version of itself runs.
func mark(name, version string) string {
	return fmt.Sprintf("mqtt.on(\"publish\", %q, function(m) m.payload = %q end)\n", name, version)
}

// live is a rig that watches its folder.
type live struct {
	*rig
	outcomes chan string
}

func startLive(t *testing.T, files map[string]string, change ...func(*live)) *live {
	t.Helper()
	l := &live{rig: newRig(t, files), outcomes: make(chan string, 10_000)}
	l.options.Poll = time.Hour // events alone
	l.options.Now = time.Now
	l.timing = defaultTiming
	l.observe = func(outcome string) { l.outcomes <- outcome }
	for _, c := range change {
		c(l)
	}
	if err := l.Start(context.Background()); err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() {
		if err := l.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return l
}

// await waits for one of the outcomes of a look at the folder.
func (l *live) await(done func() bool) {
	l.t.Helper()
	limit := time.After(30 * time.Second)
	for !done() {
		select {
		case <-l.outcomes:
		case <-limit:
			l.t.Fatalf("nothing happened; status %+v, log %q", l.Status(), l.log.all())
		}
	}
}

// says is what the rules make of a message on a topic.
func (l *live) says(topic string) string {
	h, ok := hookOf[core.PublishHook](l.host)
	if !ok {
		return ""
	}
	ev := newPublish(topic, "untouched")
	h.OnPublish(ev)
	return string(ev.Message.Payload)
}

func (l *live) awaitSays(topic, want string) {
	l.t.Helper()
	l.await(func() bool { return l.says(topic) == want })
}

func (l *live) path(name string) string { return filepath.Join(l.options.Dir, name) }

func (l *live) write(name, content string) {
	l.t.Helper()
	writeFile(l.t, l.path(name), content)
}

// replace writes beside and renames over, as editors do.
func (l *live) replace(name, content string) {
	l.t.Helper()
	l.write("."+name+".tmp", content)
	must(l.t, os.Rename(l.path("."+name+".tmp"), l.path(name)))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestReloadOnEverySaving(t *testing.T) {
	l := startLive(t, map[string]string{"10.lua": mark("a", "1")})
	if got := l.says("a"); got != "1" {
		t.Fatalf("at start: %q", got)
	}
	l.write("10.lua", mark("a", "2"))
	l.awaitSays("a", "2")
	l.replace("10.lua", mark("a", "3"))
	l.awaitSays("a", "3")
	l.replace("10.lua", mark("a", "4")) // the watch outlives a rename
	l.awaitSays("a", "4")
	l.write("20.lua", mark("b", "new"))
	l.awaitSays("b", "new")
	must(t, os.Remove(l.path("10.lua")))
	l.awaitSays("a", "untouched")
	must(t, os.Rename(l.path("20.lua"), l.path("20.off")))
	l.await(func() bool { return len(l.Status().Files) == 0 })
	if _, ok := hookOf[core.PublishHook](l.host); ok {
		t.Error("an event without handlers is still hooked")
	}
	if s := l.Status(); !s.OK || s.Generation != 7 {
		t.Errorf("status %+v", s)
	}
	l.clean()
}

func TestReloadKeepsTheOldOnFailure(t *testing.T) {
	l := startLive(t, map[string]string{"10.lua": mark("a", "1"), "20.lua": mark("b", "1")})
	l.write("20.lua", mark("b", "2")+"\nthis is broken")
	l.write("10.lua", mark("a", "2"))
	l.await(func() bool { return !l.Status().OK && l.Status().DiskHash != "" })
	l.await(func() bool { return strings.Contains(l.host.status("error"), "20.lua:3:") })
	if l.says("a") != "1" || l.says("b") != "1" {
		t.Errorf("half of a broken set runs: %s %s", l.says("a"), l.says("b"))
	}
	if s := l.Status(); s.Generation != 1 || s.Hash == s.DiskHash || !strings.Contains(s.Err, "20.lua:3:") {
		t.Errorf("status %+v", s)
	}
	if l.host.status("ok") != "false" || l.host.status("generation") != "1" {
		t.Errorf("published ok=%s generation=%s", l.host.status("ok"), l.host.status("generation"))
	}
	if err := l.Reload(context.Background()); err == nil || !strings.Contains(err.Error(), "20.lua:3:") {
		t.Errorf("Reload says %v", err)
	}
	l.write("20.lua", mark("b", "3"))
	l.awaitSays("b", "3")
	if l.says("a") != "2" {
		t.Errorf("a says %s", l.says("a"))
	}
	if s := l.Status(); !s.OK || s.Err != "" || s.Generation != 2 || s.Hash != s.DiskHash {
		t.Errorf("status %+v", s)
	}
	if l.host.status("ok") != "true" || l.host.status("error") != "" || l.host.status("files") != "10.lua\n20.lua" || l.host.status("hash") != l.Status().Hash {
		t.Errorf("published %q %q %q", l.host.status("ok"), l.host.status("error"), l.host.status("files"))
	}
}

func TestOldBytesClearTheAlarm(t *testing.T) {
	l := startLive(t, map[string]string{"10.lua": mark("a", "1")})
	l.write("10.lua", "broken(")
	l.await(func() bool { return !l.Status().OK })
	l.write("10.lua", mark("a", "1"))
	l.await(func() bool { return l.Status().OK })
	if s := l.Status(); s.Generation != 1 || s.Err != "" || s.DiskHash != s.Hash || l.host.registered != 1 {
		t.Errorf("status %+v, registered %d times", s, l.host.registered)
	}
}

func TestSameBytesAreNoReload(t *testing.T) {
	l := startLive(t, map[string]string{"10.lua": mark("a", "1")})
	l.replace("10.lua", mark("a", "1"))
	for outcome := range l.outcomes {
		if outcome == "same" {
			break
		}
	}
	must(t, l.Reload(context.Background()))
	if s := l.Status(); s.Generation != 1 || l.host.registered != 1 {
		t.Errorf("status %+v", s)
	}
}

// TestConfigMapSwap moves the link ..data as Kubernetes does.
func TestConfigMapSwap(t *testing.T) {
	dir := t.TempDir()
	version := func(name, content string) {
		writeFile(t, filepath.Join(dir, name, "10.lua"), content)
		must(t, os.Symlink(name, filepath.Join(dir, "..tmp")))
		must(t, os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")))
	}
	version("..2026_1", mark("a", "1"))
	must(t, os.Symlink("..data/10.lua", filepath.Join(dir, "10.lua")))
	l := startLive(t, nil, func(l *live) { l.options.Dir = dir })
	version("..2026_2", mark("a", "2"))
	l.awaitSays("a", "2")
	must(t, os.RemoveAll(filepath.Join(dir, "..2026_1")))
	version("..2026_3", mark("a", "3"))
	l.awaitSays("a", "3")
	l.clean()
}

func TestFolderBehindALink(t *testing.T) {
	parent, real := t.TempDir(), t.TempDir()
	for _, v := range []string{"1", "2"} {
		writeFile(t, filepath.Join(real, v, "10.lua"), mark("a", v))
	}
	link := filepath.Join(parent, "scripts")
	must(t, os.Symlink(filepath.Join(real, "1"), link))
	l := startLive(t, nil, func(l *live) { l.options.Dir = link })
	must(t, os.Symlink(filepath.Join(real, "2"), link+".new"))
	must(t, os.Rename(link+".new", link))
	l.awaitSays("a", "2")
	writeFile(t, filepath.Join(real, "2", "10.lua"), mark("a", "3"))
	l.awaitSays("a", "3")
}

func TestLinkToAFileElsewhere(t *testing.T) {
	other := filepath.Join(t.TempDir(), "shared.lua")
	writeFile(t, other, mark("a", "1"))
	dir := t.TempDir()
	must(t, os.Symlink(other, filepath.Join(dir, "10.lua")))
	l := startLive(t, nil, func(l *live) { l.options.Dir = dir })
	writeFile(t, other, mark("a", "2"))
	l.awaitSays("a", "2")
}

func TestReloadOnLibChange(t *testing.T) {
	l := startLive(t, map[string]string{
		"10.lua":           `local v = require("sub.v"); mqtt.on("publish", function(m) m.payload = v end)`,
		"lib/sub/v.lua":    `return "1"`,
		"lib/unneeded.lua": `return 1`,
	})
	l.write("lib/sub/v.lua", `return "2"`)
	l.awaitSays("a", "2")
	l.write("lib/unneeded.lua", `return (`)
	l.await(func() bool { return !l.Status().OK })
	must(t, os.Remove(l.path("lib/unneeded.lua")))
	l.await(func() bool { return l.Status().OK })
	must(t, os.RemoveAll(l.path("lib")))
	l.await(func() bool { return strings.Contains(l.Status().Err, "there is no module") })
	l.write("lib/sub/v.lua", `return "3"`)
	l.awaitSays("a", "3")
}

func TestTruncateThenWrite(t *testing.T) {
	l := startLive(t, map[string]string{"10.lua": mark("a", "1")}, func(l *live) { l.timing.emptied = time.Hour })
	must(t, os.Truncate(l.path("10.lua"), 0))
	for outcome := range l.outcomes {
		if outcome == "emptied" { // the engine has seen the empty file, and waits
			break
		}
	}
	if l.says("a") != "1" {
		t.Error("an empty file took over at once")
	}
	l.write("10.lua", mark("a", "2"))
	l.awaitSays("a", "2")
	if s := l.Status(); s.Generation != 2 {
		t.Errorf("status %+v", s)
	}
}

func TestAnEmptyFileCounts(t *testing.T) {
	l := startLive(t, map[string]string{"10.lua": mark("a", "1")}, func(l *live) { l.timing.emptied = 50 * time.Millisecond })
	must(t, os.Truncate(l.path("10.lua"), 0))
	l.await(func() bool { return l.Status().Generation == 2 })
	if _, ok := hookOf[core.PublishHook](l.host); ok {
		t.Error("a rule that is gone is still hooked")
	}
}

func TestManyFilesAtOnce(t *testing.T) {
	l := startLive(t, map[string]string{"00.lua": mark("a", "1")})
	for i := range 50 {
		l.write(fmt.Sprintf("%02d.lua", i), mark(fmt.Sprint("t/", i), "2"))
	}
	l.await(func() bool { return len(l.Status().Files) == 50 })
	for i := range 50 {
		if got := l.says(fmt.Sprint("t/", i)); got != "2" {
			t.Errorf("file %d says %q", i, got)
		}
	}
	if g := l.Status().Generation; g > 10 {
		t.Errorf("%d generations for one copy of 50 files", g)
	}
}

func TestPollingAlone(t *testing.T) {
	l := startLive(t, map[string]string{"10.lua": mark("a", "1")}, func(l *live) {
		l.options.Poll = 10 * time.Millisecond
		l.watcher = func() (fileWatcher, error) { return nil, errors.New("no inotify here") }
	})
	l.write("10.lua", mark("a", "2"))
	l.awaitSays("a", "2")
	must(t, os.RemoveAll(l.options.Dir))
	l.await(func() bool { return !l.Status().OK })
	if l.says("a") != "2" {
		t.Error("the rules went with their folder")
	}
	l.write("10.lua", mark("a", "2"))
	l.await(func() bool { return l.Status().OK })
	if g := l.Status().Generation; g != 2 {
		t.Errorf("generation %d", g)
	}
	if all := strings.Join(l.log.all(), "\n"); !strings.Contains(all, "no inotify here") {
		t.Errorf("logged %s", all)
	}
}

// mute is a watcher that reports an error and no event.
type mute struct {
	events chan fsnotify.Event
	errs   chan error
}

func (m mute) Add(string) error    { return errors.New("too many watches") }
func (m mute) Remove(string) error { return nil }
func (m mute) Close() error        { return nil }
func (m mute) hints() (<-chan fsnotify.Event, <-chan error) {
	return m.events, m.errs
}

func TestWatcherErrorsAreHints(t *testing.T) {
	m := mute{make(chan fsnotify.Event), make(chan error)}
	l := startLive(t, map[string]string{"10.lua": mark("a", "1")}, func(l *live) {
		l.watcher = func() (fileWatcher, error) { return m, nil }
	})
	l.write("10.lua", mark("a", "2"))
	m.errs <- fsnotify.ErrEventOverflow
	l.awaitSays("a", "2")
	all := strings.Join(l.log.all(), "\n")
	for _, want := range []string{"too many watches", "file events may be lost", fsnotify.ErrEventOverflow.Error()} {
		if !strings.Contains(all, want) {
			t.Errorf("the log lacks %q: %s", want, all)
		}
	}
}

// TestSteadyNoise: events that never end must not put off a reload for ever.
func TestSteadyNoise(t *testing.T) {
	m := mute{make(chan fsnotify.Event), make(chan error)}
	l := startLive(t, map[string]string{"10.lua": mark("a", "1")}, func(l *live) {
		l.watcher = func() (fileWatcher, error) { return m, nil }
		l.timing.quiet, l.timing.longest = time.Hour, 20*time.Millisecond
	})
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case m.events <- fsnotify.Event{}:
			case <-done:
				return
			}
		}
	}()
	l.write("10.lua", mark("a", "2"))
	l.awaitSays("a", "2")
	close(done)
	<-stopped
}

func TestFailuresAreRepeated(t *testing.T) {
	l := startLive(t, map[string]string{"10.lua": mark("a", "1")}, func(l *live) {
		l.timing.remind, l.options.Poll = 5*time.Millisecond, 5*time.Millisecond
	})
	l.write("10.lua", "broken(")
	l.await(func() bool {
		n := 0
		for _, line := range l.log.errors() {
			if strings.Contains(line, "still cannot be loaded; the old ones go on") && strings.Contains(line, "10.lua:1:") {
				n++
			}
		}
		return n >= 2
	})
}

func TestRefusedRegistrationKeepsTheOld(t *testing.T) {
	l := startLive(t, map[string]string{"10.lua": mark("a", "1")})
	l.host.mu.Lock()
	l.host.refuse = errors.New("no room in the table")
	l.host.mu.Unlock()
	l.write("10.lua", mark("a", "2"))
	l.await(func() bool { return !l.Status().OK })
	if l.says("a") != "1" || !strings.Contains(l.Status().Err, "no room in the table") {
		t.Errorf("%+v", l.Status())
	}
	l.host.mu.Lock()
	l.host.refuse = nil
	l.host.mu.Unlock()
	l.remind(context.Background())
	if l.says("a") != "2" || !l.Status().OK {
		t.Errorf("a failure that has passed is not tried again: %+v", l.Status())
	}
}

// TestNoEventIsLostInAReload: whatever table an event was taken from, it is
// answered by one whole generation, once.
func TestNoEventIsLostInAReload(t *testing.T) {
	both := func(v string) string {
		return mark("#", v) + `mqtt.on("publish", function(m) m.payload = m.payload .. "-" .. mqtt.generation end)`
	}
	for _, workers := range []int{1, 3} {
		r := newRig(t, map[string]string{"10.lua": both("1")}, func(o *Options) { o.Workers = workers })
		must(t, r.Reload(context.Background()))
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					h, _ := hookOf[core.PublishHook](r.host)
					ev := newPublish("a", "none")
					d := h.OnPublish(ev)
					got := string(ev.Message.Payload)
					if v, g, _ := strings.Cut(got, "-"); d.Verdict != core.Pass || v != g {
						t.Errorf("%+v, payload %q", d, got)
						return
					}
					select {
					case <-stop:
						return
					default:
					}
				}
			})
		}
		for v := 2; v <= 20; v++ {
			writeFile(t, filepath.Join(r.options.Dir, "10.lua"), both(fmt.Sprint(v)))
			must(t, r.Reload(context.Background()))
		}
		close(stop)
		wg.Wait()
		if g := r.Status().Generation; g != 20 {
			t.Errorf("generation %d", g)
		}
		r.clean()
	}
}

func TestStateOutlivesReloads(t *testing.T) {
	l := startLive(t, map[string]string{"10.lua": `local l = rate.limiter(0.001, 1)
		mqtt.on("publish", function(m) m.payload = tostring(kv.incr("n")) .. tostring(l:allow("x")) end)`})
	if got := l.says("a"); got != "1true" {
		t.Errorf("first: %s", got)
	}
	l.write("10.lua", `local l = rate.limiter(0.002, 1) -- changed
		mqtt.on("publish", function(m) m.payload = "new " .. tostring(kv.incr("n")) .. tostring(l:allow("x")) end)`)
	l.await(func() bool { return l.Status().Generation == 2 })
	if got := l.says("a"); got != "new 2false" {
		t.Errorf("after the reload: %s", got)
	}
}

func TestStopEndsTheGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	r := newRig(t, map[string]string{"10.lua": mark("a", "1")})
	must(t, r.Start(context.Background()))
	must(t, r.Stop(context.Background()))
	must(t, r.Stop(context.Background()))
	deadline := time.After(10 * time.Second)
	for runtime.NumGoroutine() > before { // fsnotify's own ends on its own
		select {
		case <-deadline:
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		default:
			runtime.Gosched()
		}
	}
	if d, _ := r.publish("a", "x"); d.Verdict != core.Pass {
		t.Errorf("after Stop the rules no longer answer: %+v", d)
	}
}

func TestStartRefusesABrokenSet(t *testing.T) {
	r := newRig(t, map[string]string{"10.lua": mark("a", "1"), "20.lua": "("})
	err := r.Start(context.Background())
	var all *LoadError
	if !errors.As(err, &all) || len(all.Findings) != 1 || r.host.registered != 0 {
		t.Errorf("%v, registered %d", err, r.host.registered)
	}
	must(t, r.Stop(context.Background()))
}

func TestLoadEndsWithItsContextAndLimit(t *testing.T) {
	r := newRig(t, map[string]string{"10.lua": mark("a", "1")})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.Reload(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	r.timing.load = -1
	if err := r.Reload(context.Background()); err == nil || !strings.Contains(err.Error(), "took longer than") {
		t.Errorf("%v", err)
	}
}

func TestBoundsOfAFolder(t *testing.T) {
	r := newRig(t, map[string]string{"10.lua": mark("a", "1"), "20.lua": "-- " + strings.Repeat("x", maxFileSize)})
	must(t, os.Symlink("nowhere", filepath.Join(r.options.Dir, "30.lua")))
	must(t, os.Mkdir(filepath.Join(r.options.Dir, "40.lua"), 0o755))
	err := r.Reload(context.Background())
	for _, want := range []string{"20.lua: has more than 1048576 bytes", "30.lua: cannot be read"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
	if err != nil && strings.Contains(err.Error(), "40.lua") {
		t.Errorf("a folder is no script: %v", err)
	}
	r = newRig(t, nil)
	for i := range maxFiles + 1 {
		writeFile(t, filepath.Join(r.options.Dir, fmt.Sprintf("%04d.lua", i)), "")
	}
	if err := r.Reload(context.Background()); err == nil || !strings.Contains(err.Error(), "1000.lua: is one file too many") {
		t.Errorf("%v", err)
	}
}

// TestARefusedSetChangesNothing: what a file does while it loads aside does not
// reach the rules that run.
func TestARefusedSetChangesNothing(t *testing.T) {
	r := rules(t, `local l = rate.limiter(0.001, 1)
		mqtt.on("publish", function(m) return l:allow("x") end)`)
	if d, _ := r.publish("a", ""); d.Verdict != core.Allow {
		t.Errorf("first: %+v", d)
	}
	writeFile(t, filepath.Join(r.options.Dir, "10.lua"), `local l = rate.limiter(1000, 1000); error("no")`)
	if err := r.Reload(context.Background()); err == nil || !strings.Contains(err.Error(), "10.lua:1: no") {
		t.Errorf("%v", err)
	}
	r.now = r.now.Add(time.Second)
	if d, _ := r.publish("a", ""); d.Verdict != core.Deny {
		t.Errorf("the refused set raised the rate: %+v", d)
	}
}

// TestAFileThatOverrunsIsTriedAgain: the deadline is wall time, and may have
// been the machine's fault.
func TestAFileThatOverrunsIsTriedAgain(t *testing.T) {
	r := newRig(t, map[string]string{"10.lua": `log.info("a try")
		while true do end`}, func(o *Options) { o.Deadline, o.Budget = time.Millisecond, 1<<50 })
	err := r.Reload(context.Background())
	if err == nil || !strings.Contains(err.Error(), "10.lua:2: ") {
		t.Errorf("%v", err)
	}
	tries := 0
	for _, l := range r.log.all() {
		if strings.Contains(l, "a try") {
			tries++
		}
	}
	if tries != loadTries {
		t.Errorf("%d tries", tries)
	}
}

// TestFewGenerationsOfMany: a hundred reloads leave no goroutines.
func TestFewGenerationsOfMany(t *testing.T) {
	r := rules(t, mark("a", "0"))
	before := runtime.NumGoroutine()
	for i := range 100 {
		writeFile(t, filepath.Join(r.options.Dir, "10.lua"), mark("a", fmt.Sprint(i+1)))
		must(t, r.Reload(context.Background()))
		r.publish("a", "")
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines, %d before", after, before)
	}
	if g := r.Status().Generation; g != 101 {
		t.Errorf("generation %d", g)
	}
	r.clean()
}
