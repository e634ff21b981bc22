package scripting

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"lunamq/core"
)

// versions is a rig in which the rule "v" of each version ran in turn.
func versions(t *testing.T, n int, change ...func(*Options)) *rig {
	t.Helper()
	r := newRig(t, nil, change...)
	for v := 1; v <= n; v++ {
		r.save(fmt.Sprint(v))
		must(t, r.ReloadFor(t.Context(), Request{By: "edit " + fmt.Sprint(v)}))
	}
	return r
}

func (r *rig) save(version string) {
	writeFile(r.t, r.options.Dir+"/10.lua", mark("v", version))
}

// wantRunning wants a generation and what its rule says.
func (r *rig) wantRunning(generation int, version string) {
	r.t.Helper()
	if g := r.Status().Generation; g != generation {
		r.t.Errorf("generation %d runs, want %d", g, generation)
	}
	if _, ev := r.publish("v", ""); string(ev.Message.Payload) != version {
		r.t.Errorf("version %s runs, want %s", ev.Message.Payload, version)
	}
}

// listed is the list of generations in short: "3 barred, 2 running, 1".
func (r *rig) listed() string {
	var out []string
	for _, g := range r.Generations() {
		s := fmt.Sprint(g.Number)
		if g.Running {
			s += " running"
		}
		if g.Barred != "" {
			s += " barred"
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

func (r *rig) wantListed(want string) {
	r.t.Helper()
	if got := r.listed(); got != want {
		r.t.Errorf("kept: %s; want %s", got, want)
	}
}

// look looks at the folder as after a file event.
func (r *rig) look() error {
	_, err := r.update(context.Background(), look{by: "file change"})
	return err
}

func TestRollbackIsAtOnceAndStays(t *testing.T) {
	r := versions(t, 3)
	must(t, r.Rollback(t.Context(), 0, "ann"))
	r.wantRunning(2, "2")
	r.wantListed("3 barred, 2 running, 1")
	s := r.Status()
	if s.OK || s.Hash == s.DiskHash || !strings.Contains(s.Err, "gone back from, by ann") || !strings.Contains(s.Err, "--force") {
		t.Errorf("status %+v", s)
	}
	if s.By != "ann" || !s.Since.Equal(r.now) {
		t.Errorf("status %+v", s)
	}
	if r.host.status("ok") != "false" || r.host.status("generation") != "2" {
		t.Errorf("published %s %s", r.host.status("ok"), r.host.status("generation"))
	}
	must(t, r.look()) // nobody asked
	r.remind(t.Context())
	var barred *BarredError
	if err := r.Reload(t.Context()); !errors.As(err, &barred) || barred.By != "ann" || barred.Hash != s.DiskHash {
		t.Errorf("Reload says %v", err)
	}
	r.wantRunning(2, "2")
	r.clean() // a bar is no failure
}

func TestChangedFilesEndTheBar(t *testing.T) {
	r := versions(t, 2)
	must(t, r.Rollback(t.Context(), 0, "ann"))
	r.save("3")
	must(t, r.look())
	r.wantRunning(3, "3")
	r.wantListed("3 running, 2 barred, 1")
	if s := r.Status(); !s.OK || s.Err != "" {
		t.Errorf("status %+v", s)
	}
	r.save("2") // by its hash it is barred still
	if err := r.look(); err == nil || !strings.Contains(err.Error(), "gone back from") {
		t.Errorf("%v", err)
	}
	r.wantRunning(3, "3")
}

func TestForceEndsTheBar(t *testing.T) {
	r := versions(t, 2)
	must(t, r.Rollback(t.Context(), 0, "ann"))
	must(t, r.ReloadFor(t.Context(), Request{By: "bob", Force: true}))
	r.wantRunning(3, "2")
	r.wantListed("3 running, 1") // of equal sets the newest
	if g := r.Generations()[0]; g.By != "bob" || !r.Status().OK {
		t.Errorf("%+v, %+v", g, r.Status())
	}
	must(t, r.Reload(t.Context())) // the bar is gone for good
}

func TestOldFilesBackEndTheAlarm(t *testing.T) {
	r := versions(t, 2)
	must(t, r.Rollback(t.Context(), 0, "ann"))
	r.save("1")
	must(t, r.look())
	r.wantRunning(1, "1")
	if s := r.Status(); !s.OK || s.Hash != s.DiskHash {
		t.Errorf("status %+v", s)
	}
}

func TestRollbackToANumber(t *testing.T) {
	r := versions(t, 4)
	must(t, r.Rollback(t.Context(), 2, "ann"))
	r.wantRunning(2, "2")
	r.wantListed("4 barred, 3, 2 running, 1")
	must(t, r.Rollback(t.Context(), 0, "ann")) // further back
	r.wantRunning(1, "1")
	r.wantListed("4 barred, 3, 2 barred, 1 running")
	for n, want := range map[int]string{0: "no generation before", 1: "runs already", 9: "generation 9 is not kept", -1: "is not kept"} {
		if err := r.Rollback(t.Context(), n, "ann"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("rollback %d: %v, want %q", n, err, want)
		}
	}
	must(t, r.Rollback(t.Context(), 3, "ann")) // and forward
	r.wantRunning(3, "3")
	must(t, r.look())
	r.wantRunning(3, "3") // the folder has 4, which stays out
	must(t, r.Rollback(t.Context(), 4, "ann"))
	r.wantRunning(4, "4")
	r.wantListed("4 running, 3, 2 barred, 1")
	if s := r.Status(); !s.OK {
		t.Errorf("status %+v", s)
	}
}

// Going forward leaves nothing barred but what the folder would bring back.
func TestForwardOverTheFolder(t *testing.T) {
	r := versions(t, 2)
	r.save("1")
	must(t, r.look()) // the set of 1, as generation 3
	r.wantListed("3 running, 2")
	must(t, r.Rollback(t.Context(), 2, "ann"))
	must(t, r.look())
	r.wantRunning(2, "2")
	r.wantListed("3 barred, 2 running")
}

func TestKeepBoundsTheGenerations(t *testing.T) {
	r := versions(t, 6, func(o *Options) { o.Keep = 3 })
	r.wantListed("6 running, 5, 4")
	must(t, r.Rollback(t.Context(), 4, "ann"))
	r.save("7")
	must(t, r.look())
	r.wantListed("7 running, 6 barred, 5")
	r = versions(t, 3, func(o *Options) { o.Keep = 1 })
	r.wantListed("3 running")
	if err := r.Rollback(t.Context(), 0, "ann"); !errors.Is(err, errNothingBefore) {
		t.Errorf("%v", err)
	}
}

func TestWhoBroughtAGeneration(t *testing.T) {
	r := versions(t, 1)
	r.save("2")
	must(t, r.look())
	got := r.Generations()
	if len(got) != 2 || got[0].By != "file change" || got[1].By != "edit 1" || !got[0].Loaded.Equal(r.now) || got[0].Files[0] != "10.lua" || got[0].Hash != r.Status().Hash {
		t.Errorf("%+v", got)
	}
}

// What cannot be gone back to leaves everything as it is.
func TestRollbackThatFails(t *testing.T) {
	r := versions(t, 2)
	r.host.refuse = errors.New("no room in the table")
	before := r.Status()
	err := r.Rollback(t.Context(), 0, "ann")
	if err == nil || !strings.Contains(err.Error(), "generation 1 cannot be loaded; generation 2 goes on: no room") {
		t.Errorf("%v", err)
	}
	if s := r.Status(); s.Generation != 2 || !s.OK || s.Hash != before.Hash {
		t.Errorf("status %+v", s)
	}
	r.wantListed("2 running, 1")
	if err := newRig(t, nil, func(o *Options) { o.Dir = "" }).Rollback(t.Context(), 0, "ann"); !errors.Is(err, errNoRules) {
		t.Errorf("without a folder: %v", err)
	}
	if err := newRig(t, nil).Rollback(t.Context(), 0, "ann"); err == nil {
		t.Error("before the start")
	}
}

// A broken set in the folder stays the alarm that it is, and is loaded when
// mended.
func TestRollbackUnderABrokenFolder(t *testing.T) {
	r := versions(t, 2)
	writeFile(t, r.options.Dir+"/20.lua", "broken(")
	if r.look() == nil {
		t.Fatal("loaded")
	}
	must(t, r.Rollback(t.Context(), 0, "ann"))
	r.wantRunning(1, "1")
	if s := r.Status(); s.OK || !strings.Contains(s.Err, "20.lua:1:") || s.Generation != 1 {
		t.Errorf("status %+v", s)
	}
	writeFile(t, r.options.Dir+"/20.lua", "-- mended")
	must(t, r.look())
	r.wantRunning(3, "2")
}

// Rules that run while they are swapped back and forth: each event is answered
// by one whole generation.
func TestNoEventIsLostInARollback(t *testing.T) {
	r := newRig(t, nil)
	both := func(v string) string {
		return mark("#", v) + fmt.Sprintf("mqtt.on('publish', function(m) m.payload = m.payload .. %q end)\n", v)
	}
	for _, v := range []string{"1", "2"} {
		writeFile(t, r.options.Dir+"/10.lua", both(v))
		must(t, r.Reload(t.Context()))
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			h, _ := hookOf[core.PublishHook](r.host)
			ev := newPublish("a", "none")
			d := h.OnPublish(ev)
			if got := string(ev.Message.Payload); d.Verdict != core.Pass || got != "11" && got != "22" {
				t.Errorf("%+v, payload %q", d, got)
				return
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	for range 10 {
		must(t, r.Rollback(t.Context(), 1, "ann"))
		must(t, r.Rollback(t.Context(), 2, "ann"))
	}
	close(stop)
	<-done
	r.clean()
}
