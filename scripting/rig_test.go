package scripting

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lunamq/core"
	"lunamq/core/packet"
)

// fakeHost is a broker of which only the hook table is real.
type fakeHost struct {
	Host     // nil: what is not here is not called
	registry core.Registry

	mu         sync.Mutex
	hooks      []any
	registered int
	published  []core.Message
	handlers   []bool
	kicked     []string
	behalf     []string // subscriptions made and ended
	refuse     error
}

func (h *fakeHost) Register(owner string, hooks ...any) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refuse != nil {
		return h.refuse
	}
	h.hooks = hooks
	h.registered++
	return nil
}

func (h *fakeHost) Subscribe(mount, id, filter string, qos byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.behalf = append(h.behalf, fmt.Sprint("+", mount, id, filter, qos))
	return nil
}

func (h *fakeHost) Unsubscribe(mount, id, filter string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.behalf = append(h.behalf, fmt.Sprint("-", mount, id, filter))
	return nil
}

func (h *fakeHost) Publish(_ *core.Turn, m core.Message, handlers bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.published = append(h.published, m)
	h.handlers = append(h.handlers, handlers)
	return nil
}

func (h *fakeHost) Kick(mount, id string, reason packet.ReasonCode, text, by string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kicked = append(h.kicked, fmt.Sprintf("%s|%s|%s|%s|%s", mount, id, reason, text, by))
	return true
}

// hookOf is the registered hook of one kind; ok is false if there is none.
func hookOf[H any](h *fakeHost) (hook H, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, x := range h.hooks {
		if hook, ok := x.(H); ok {
			return hook, true
		}
	}
	return hook, false
}

// sent are the messages published, without those of the status.
func (h *fakeHost) sent() []core.Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(h.published), func(m core.Message) bool { return m.Origin == core.OriginBroker })
}

// status is the last value published on a status topic.
func (h *fakeHost) status(name string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range slices.Backward(h.published) {
		if m.Topic == "$SYS/broker/scripts/"+name {
			return string(m.Payload)
		}
	}
	return ""
}

// record is a slog.Handler that keeps what was logged.
type record struct {
	mu    sync.Mutex
	lines []string
}

func (r *record) Enabled(context.Context, slog.Level) bool { return true }
func (r *record) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *record) WithGroup(string) slog.Handler            { return r }
func (r *record) Handle(_ context.Context, rec slog.Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", rec.Level, rec.Message)
	rec.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
		return true
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, b.String())
	return nil
}

func (r *record) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

// errors are the lines of level ERROR.
func (r *record) errors() []string {
	return slices.DeleteFunc(r.all(), func(l string) bool { return !strings.HasPrefix(l, "ERROR") })
}

// rig is an engine with loaded rules and nothing watching.
type rig struct {
	*Engine
	t    testing.TB
	host *fakeHost
	log  *record
	now  time.Time
}

func newRig(t testing.TB, files map[string]string, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, host: new(fakeHost), log: new(record), now: time.Unix(1_700_000_000, 500_000_000)}
	o := Options{
		Dir: t.TempDir(), Deadline: time.Minute, Log: slog.New(r.log),
		Version: "1.2.3", Node: "node-a", Now: func() time.Time { return r.now },
	}
	for name, source := range files {
		writeFile(t, filepath.Join(o.Dir, name), source)
	}
	for _, c := range change {
		c(&o)
	}
	r.Engine = New(r.host, o)
	r.timing.settle = time.Microsecond
	r.timing.emptied = time.Microsecond
	return r
}

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// rules is a rig with one file, loaded.
func rules(t testing.TB, source string, change ...func(*Options)) *rig {
	t.Helper()
	r := newRig(t, map[string]string{"10.lua": source}, change...)
	if err := r.Reload(context.Background()); err != nil {
		t.Fatalf("load: %v", err)
	}
	return r
}

// loadError is the error of one file that must not load.
func loadError(t *testing.T, source string) string {
	t.Helper()
	err := newRig(t, map[string]string{"10.lua": source}).Reload(context.Background())
	if err == nil {
		t.Fatalf("loaded:\n%s", source)
	}
	return err.Error()
}

func testClient(v packet.Version) *core.Client {
	return &core.Client{
		ID: "gw-7", Username: "ann", HasUsername: true, Remote: "192.0.2.1:5000", Listener: "main",
		Protocol: v, ConnectedAt: time.Unix(1_600_000_000, 0), Mount: "t1/", Vars: new(core.Vars),
	}
}

func newPublish(topic, payload string) *core.PublishEvent {
	c := testClient(packet.V5)
	return &core.PublishEvent{Client: c, Message: &core.Message{Topic: topic, Payload: []byte(payload), Publisher: c}}
}

func (r *rig) onPublish(ev *core.PublishEvent) core.Decision {
	r.t.Helper()
	return ask(r, ev, core.PublishHook.OnPublish)
}

func (r *rig) publish(topic, payload string) (core.Decision, *core.PublishEvent) {
	r.t.Helper()
	ev := newPublish(topic, payload)
	return r.onPublish(ev), ev
}

// ask puts an event to the registered hook of its kind.
func ask[H, T any](r *rig, ev *T, call func(H, *T) core.Decision) core.Decision {
	r.t.Helper()
	h, ok := hookOf[H](r.host)
	if !ok {
		r.t.Fatalf("no hook for %T", ev)
	}
	return call(h, ev)
}

func told[H, T any](r *rig, ev *T, call func(H, *T)) {
	r.t.Helper()
	ask(r, ev, func(h H, ev *T) core.Decision { call(h, ev); return core.Decision{} })
}

// clean fails if a rule failed.
func (r *rig) clean() {
	r.t.Helper()
	for _, l := range r.log.errors() {
		r.t.Errorf("logged: %s", l)
	}
}

// failedWith wants exactly one logged error that has all the parts.
func (r *rig) failedWith(parts ...string) {
	r.t.Helper()
	lines := r.log.errors()
	if len(lines) != 1 {
		r.t.Fatalf("want one logged error with %q, got %q", parts, lines)
	}
	for _, p := range parts {
		if !strings.Contains(lines[0], p) {
			r.t.Errorf("the log lacks %q: %s", p, lines[0])
		}
	}
}

// settle does what the core does once an event is decided: core.Turn runs its
// effects only for the core, so this reaches into it.
func settle(turn *core.Turn, refused bool) {
	effects := reflect.ValueOf(turn).Elem().FieldByName("effects")
	for i := range effects.Len() {
		e := effects.Index(i)
		always := e.FieldByName("always").Bool()
		do := e.FieldByName("do")
		if always || !refused {
			reflect.NewAt(do.Type(), do.Addr().UnsafePointer()).Elem().Call(nil)
		}
	}
}

// Act is that of a broker: effects happen once do has returned.
func (h *fakeHost) Act(do func(*core.Turn) bool) {
	var turn core.Turn
	settle(&turn, !do(&turn))
}

func (h *fakeHost) Registry() *core.Registry { return &h.registry }
