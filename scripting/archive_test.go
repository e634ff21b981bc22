package scripting

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// restarted is the rig after the program ended and began again.
func (r *rig) restarted() *rig {
	r.t.Helper()
	again := newRig(r.t, nil, func(o *Options) { o.Dir, o.Archive, o.Keep = r.options.Dir, r.options.Archive, r.options.Keep })
	return again
}

func (r *rig) begin() {
	r.t.Helper()
	must(r.t, r.Start(r.t.Context()))
	must(r.t, r.Stop(r.t.Context()))
}

// archivedVersions is versions with an archive, started.
func archivedVersions(t *testing.T, n int) *rig {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data", "scripts")
	r := newRig(t, map[string]string{"10.lua": mark("v", "1"), "lib/m.lua": "return '\xff'"}, func(o *Options) { o.Archive = dir })
	r.begin()
	for v := 2; v <= n; v++ {
		r.save(string(rune('0' + v)))
		must(t, r.Reload(t.Context()))
	}
	return r
}

func TestARollbackOutlivesARestart(t *testing.T) {
	r := archivedVersions(t, 3)
	must(t, r.Rollback(t.Context(), 0, "ann"))
	for range 2 {
		r = r.restarted()
		r.begin()
		r.wantRunning(2, "2")
		r.wantListed("3 barred, 2 running, 1")
		if s := r.Status(); s.OK || !strings.Contains(s.Err, "by ann") || s.Hash == s.DiskHash {
			t.Errorf("status %+v", s)
		}
		if g := r.Generations(); g[0].By != "reload" || g[2].By != "start" || !g[0].Loaded.Equal(r.now) {
			t.Errorf("%+v", g)
		}
	}
	must(t, r.Rollback(t.Context(), 0, "ann"))
	r.wantRunning(1, "1")
	r.save("4")
	r = r.restarted()
	r.begin() // the files have changed
	r.wantRunning(4, "4")
	r.clean()
}

// A restart with the same files is no new generation, and numbers go on.
func TestNumbersGoOn(t *testing.T) {
	r := archivedVersions(t, 2)
	r = r.restarted()
	r.begin()
	r.wantRunning(2, "2")
	r.wantListed("2 running, 1")
	r.save("3")
	must(t, r.look())
	r.wantRunning(3, "3")
}

func TestTheArchiveIsPrivate(t *testing.T) {
	r := archivedVersions(t, 2)
	var files []string
	err := filepath.WalkDir(r.options.Archive, func(p string, d fs.DirEntry, err error) error {
		must(t, err)
		info, err := d.Info()
		must(t, err)
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		} else {
			rel, err := filepath.Rel(r.options.Archive, p)
			must(t, err)
			files = append(files, rel)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", p, info.Mode(), want)
		}
		return nil
	})
	must(t, err)
	if want := []string{"1/10.lua", "1/lib/m.lua", "2/10.lua", "2/lib/m.lua", "state.json"}; !slices.Equal(files, want) {
		t.Errorf("files %q, want %q", files, want)
	}
	text, err := os.ReadFile(filepath.Join(r.options.Archive, "1/10.lua"))
	if err != nil || string(text) != mark("v", "1") {
		t.Errorf("%q, %v", text, err)
	}
}

// A program that was killed while it wrote leaves nothing that counts.
func TestWhatAKilledProgramLeaves(t *testing.T) {
	r := archivedVersions(t, 2)
	for _, name := range []string{"3.tmp/10.lua", "4/10.lua", "state.json.tmp"} {
		writeFile(t, filepath.Join(r.options.Archive, name), "half")
	}
	r = r.restarted()
	r.begin()
	r.wantListed("2 running, 1")
	r.save("3")
	must(t, r.look())
	r.wantRunning(3, "3")
	for _, name := range []string{"3.tmp", "4", "state.json.tmp"} {
		if _, err := os.Stat(filepath.Join(r.options.Archive, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
}

func TestADamagedGenerationIsPutAside(t *testing.T) {
	for name, damage := range map[string]func(file string) error{
		"changed": func(f string) error { return os.WriteFile(f, []byte("x"), 0o600) },
		"gone":    os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			r := archivedVersions(t, 3)
			must(t, damage(filepath.Join(r.options.Archive, "2/10.lua")))
			r = r.restarted()
			r.begin()
			r.wantListed("3 running, 1")
			if all := strings.Join(r.log.all(), "\n"); !strings.Contains(all, "a kept generation is damaged") {
				t.Errorf("logged %s", all)
			}
			if _, err := os.Stat(filepath.Join(r.options.Archive, "2.damaged")); err != nil {
				t.Error(err)
			}
			must(t, r.Rollback(t.Context(), 0, "ann"))
			r.wantRunning(1, "1")
		})
	}
}

// Where it is not known any more what somebody went back to, nothing starts.
func TestStartRefusesALostChoice(t *testing.T) {
	for _, tt := range []struct{ name, file, text, want string }{
		{"the generation is damaged", "1/10.lua", "x", "the generation gone back to, 1, is not kept any more"},
		{"the generation does not load", "1/10.lua", "", "the generation gone back to, 1, cannot be loaded"},
		{"the state is no JSON", "state.json", "{", "kept generations cannot be read"},
		{"the state is another version's", "state.json", `{"version":2}`, "it has version 2, this program knows 1"},
		{"the state has unknown keys", "state.json", `{"version":1,"x":1}`, "unknown field"},
		{"the state names files elsewhere", "state.json", `{"version":1,"last":1,"generations":[{"number":1,"files":[{"name":"../x"}]}]}`, `has a file "../x"`},
		{"the state has numbers twice", "state.json", `{"version":1,"last":1,"generations":[{"number":1},{"number":1}]}`, "generation 1 stands after 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := archivedVersions(t, 2)
			must(t, r.Rollback(t.Context(), 0, "ann"))
			r = r.restarted()
			if tt.text == "" {
				r.host.refuse = os.ErrInvalid
			} else {
				writeFile(t, filepath.Join(r.options.Archive, tt.file), tt.text)
			}
			err := r.Start(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if r.host.registered != 0 {
				t.Error("rules are in force")
			}
		})
	}
}

// A full or read-only disk does not hold up a reload; it is said.
func TestTheArchiveCannotBeWritten(t *testing.T) {
	r := archivedVersions(t, 1)
	must(t, os.RemoveAll(r.options.Archive))
	writeFile(t, r.options.Archive, "a file in place of the folder")
	r.save("2")
	must(t, r.Reload(t.Context()))
	r.wantRunning(2, "2")
	must(t, r.Rollback(t.Context(), 0, "ann"))
	r.wantRunning(1, "1")
	if lines := r.log.errors(); len(lines) != 2 || !strings.Contains(lines[0], "was not written to the disk") {
		t.Errorf("logged %q", lines)
	}
}
