package scripting

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"lunamq/core"
)

// gauge is the value of a metric in the broker's registry, -1 if there is none.
func (h *fakeHost) gauge(name string) float64 {
	for _, s := range h.registry.Samples() {
		if s.Name == name && s.Kind == core.GaugeMetric {
			return s.Value
		}
	}
	return -1
}

// TestStatusIsMeasured: the metrics and $SYS say, until the files are good again,
// that the folder is not what runs (SCRIPT-API.md, "Reload" 4).
func TestStatusIsMeasured(t *testing.T) {
	r := newRig(t, map[string]string{"10.lua": mark("a", "1")})
	file := filepath.Join(r.options.Dir, "10.lua")
	numberOf := func(hash string) float64 {
		n, _ := strconv.ParseUint(hash[:min(len(hash), 12)], 16, 64)
		return float64(n)
	}
	check := func(state string, ok bool, generation int) {
		t.Helper()
		s := r.Status()
		want := map[string]float64{"reload_ok": 0, "generation": float64(generation), "hash": numberOf(s.Hash), "disk_hash": numberOf(s.DiskHash)}
		if ok {
			want["reload_ok"] = 1
		}
		for name, value := range want {
			if got := r.host.gauge("lunamq_scripts_" + name); got != value {
				t.Errorf("%s: lunamq_scripts_%s is %v, want %v", state, name, got, value)
			}
		}
		if ok != (s.Hash == s.DiskHash) {
			t.Errorf("%s: %+v", state, s)
		}
		if s.OK != ok || r.host.status("ok") != fmt.Sprint(ok) || r.host.status("hash") != s.Hash || r.host.status("disk_hash") != s.DiskHash {
			t.Errorf("%s: published ok=%s hash=%s disk_hash=%s, status %+v", state, r.host.status("ok"), r.host.status("hash"), r.host.status("disk_hash"), s)
		}
	}
	reload := func() error { return r.Reload(context.Background()) }

	must(t, reload())
	check("loaded", true, 1)
	writeFile(t, file, "broken(")
	if reload() == nil {
		t.Fatal("loaded")
	}
	check("broken", false, 1)
	writeFile(t, file, mark("a", "1"))
	must(t, reload())
	check("the old bytes", true, 1)
	writeFile(t, file, mark("a", "2"))
	must(t, reload())
	check("new bytes", true, 2)
	must(t, os.Rename(r.options.Dir, r.options.Dir+".away"))
	if reload() == nil {
		t.Fatal("loaded from a folder that is not there")
	}
	check("no folder", false, 2)
	must(t, os.Rename(r.options.Dir+".away", r.options.Dir))
	must(t, reload())
	check("the folder is back", true, 2)
}

// TestStatusIsMeasuredFirst: rules that make as many metrics as there may be leave
// room for those of the status.
func TestStatusIsMeasuredFirst(t *testing.T) {
	r := newRig(t, map[string]string{"10.lua": `for i = 1, 1000 do metrics.gauge("g" .. i, "") end`})
	must(t, r.Start(context.Background()))
	defer r.Stop(context.Background())
	if got := r.host.gauge("lunamq_scripts_reload_ok"); got != 1 {
		t.Errorf("lunamq_scripts_reload_ok is %v", got)
	}
	if n := len(r.host.registry.Samples()); n != core.MaxMetrics {
		t.Errorf("%d metrics", n)
	}
	if logs := strings.Join(r.log.all(), "\n"); !strings.Contains(logs, "a metric of the scripts is not kept") {
		t.Errorf("logged %s", logs)
	}
}
