package scripting

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/core/packet"
	"lunamq/scripting/sandbox"
)

// trialStart is what the clock of a trial shows at first: the same each time,
// so that what passes once passes always.
var trialStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// trialDeadline is in place of the deadline of the rules: how long a call takes
// is the machine's affair where rules are tried, and its budget of instructions
// is exact.
const trialDeadline = 10 * time.Second

// maxTrialMessages is what one event may publish in a trial, as the default of
// [limits] messages_per_event (SCRIPT-API.md, "Doing things").
const maxTrialMessages = 1000

// maxKept bounds what one trial keeps of what rules published and logged, in
// bytes: they do not happen, so all of it stays until the trial ends.
const maxKept = 64 << 20

// trial is a set of rules that is tried: real handlers in a world of their own,
// with an empty kv and a clock that is moved by hand. What they do to the
// broker is kept instead of done. Everything runs on one goroutine.
type trial struct {
	engine     *Engine
	generation *generation
	tester     *world          // of the code that tries: tests, or lunamq try
	broker     *core.Broker    // without listeners: for what is retained, and metrics
	ctx        context.Context // of the whole run
	now        time.Time
	tracing    bool // keep the steps
	kept       int  // bytes, as of maxKept

	outcome  *outcome // of the event under way; nil between events
	said     []logged // by the tester itself, and by rules between events
	failures []*ruleFailure
	unmet    *unmet // expectation, the first
}

// outcome is what one event came to beside its verdict.
type outcome struct {
	made      int // messages, in all
	published []published
	kicked    []kicked

	subscribed, unsubscribed []onBehalfOf

	logs     []logged
	failures []*ruleFailure
	steps    []*step
}

// ruleFailure is a failed handler; a test fails by it unless it asks for it.
type ruleFailure struct {
	Failure
	asked bool
}

// published, kicked and logged are what rules did.
type (
	published struct {
		core.Message
		handlers bool
	}
	kicked     struct{ id, reason, text, by string }
	onBehalfOf struct {
		id, filter string
		qos        byte
	}
	logged struct {
		level, text string
		fields      []slog.Attr
	}
)

// newTrial loads the rules of a set. The chunks are those that compileSet made.
func newTrial(ctx context.Context, o Options, set *fileSet, chunks map[string]*sandbox.Chunk) (*trial, error) {
	t := &trial{ctx: ctx, now: trialStart}
	o = o.withDefaults()
	o.Workers, o.Deadline = 1, trialDeadline
	o.Now, o.Log = t.clock, slog.New(trialLog{t: t})
	var err error
	if t.broker, err = newTrialBroker(); err != nil {
		return nil, err
	}
	t.engine = New(t, o)
	g := &generation{engine: t.engine, number: 1, set: set, chunks: chunks, trial: t, plans: make(map[string]any)}
	g.timers.generation = g
	t.generation = g
	w, findings := g.loadWorld(ctx, 0)
	if len(findings) > 0 {
		return nil, &LoadError{Findings: findings}
	}
	g.seats = make([]seat, 1)
	g.seats[0].Store(w)
	g.plan()
	if err := t.begin(); err != nil {
		return nil, err
	}
	t.said, t.failures = nil, nil
	t.tester = g.newWorld(0)
	return t, nil
}

// compileSet compiles a set for any number of trials.
func compileSet(set *fileSet) (map[string]*sandbox.Chunk, error) {
	g := &generation{set: set, chunks: make(map[string]*sandbox.Chunk)}
	findings := append([]string(nil), set.findings...)
	if findings = append(findings, g.compile()...); len(findings) > 0 {
		return nil, &LoadError{Findings: findings}
	}
	return g.chunks, nil
}

func (t *trial) clock() time.Time { return t.now }

// inTester runs fn as a call of the tester's world.
func (t *trial) inTester(fn *lua.LFunction, budget int64) error {
	w := t.tester
	w.Lock()
	defer w.Unlock()
	ev := &core.ConnectedEvent{Client: nobody} // the tester's own call is about nobody
	c := w.begin(testerHandler, connectedEvent, &ev.Turn, ev)
	defer w.end(c)
	_, err := w.Call(fn, sandbox.CallOptions{Budget: budget, Ctx: c}, 0)
	return err
}

var testerHandler = &handler{info: &eventInfo{name: "test"}, by: "test"}

// fire puts an event to the rules as the broker does: while they run, the
// tester's world is free. What they did happens once the event is decided.
func (t *trial) fire(L *lua.LState, k trialType, ev any) *result {
	out := &outcome{}
	before := t.outcome
	t.outcome = out
	defer func() { t.outcome = before }()
	r := &result{outcome: out, event: k.event(), ev: ev}
	sandbox.Release(L, func() { r.decision = k.ask(t.generation, ev) })
	return r
}

// failed notes a failed handler.
func (t *trial) failed(f Failure) {
	if !t.keep(len(f.Text)+len(f.Traceback)) && len(t.failures) > 0 {
		return
	}
	failure := &ruleFailure{Failure: f}
	t.failures = append(t.failures, failure)
	if t.outcome != nil {
		t.outcome.failures = append(t.outcome.failures, failure)
		if n := len(t.outcome.steps); n > 0 {
			t.outcome.steps[n-1].Failure = &failure.Failure
		}
	}
}

// unasked is the first failed handler that the test did not ask for, or nil.
func (t *trial) unasked() *Failure {
	for _, f := range t.failures {
		if !f.asked {
			return &f.Failure
		}
	}
	return nil
}

// Register is Host: a trial's hooks are asked directly.
func (t *trial) Register(string, ...any) error { return nil }

// Publish is Host: the message is kept, after the publish handlers if asked.
func (t *trial) Publish(_ *core.Turn, m core.Message, handlers bool) error {
	if t.outcome == nil || m.Origin == core.OriginBroker {
		return nil // the status of the scripts
	}
	if t.outcome.made++; t.outcome.made > maxTrialMessages {
		return core.ErrTooManyMessages
	}
	if !t.keep(len(m.Topic) + len(m.Payload)) {
		return errKept
	}
	if handlers {
		ev := &core.PublishEvent{Client: m.Publisher, Message: &m}
		d := askHooks(t.generation, publishEvent, &ev.Turn, ev)
		if d.Verdict >= core.Deny {
			ev.Settle(d.Verdict != core.Drop)
			return nil
		}
		defer ev.Settle(false)
	}
	t.outcome.published = append(t.outcome.published, published{m, handlers})
	if m.Retain {
		return t.broker.Publish(nil, m, false)
	}
	return nil
}

// errKept ends what rules publish in a trial that has published too much.
var errKept = fmt.Errorf("more than %d bytes were published and logged in one trial", maxKept)

// keep says whether n bytes more may be kept.
func (t *trial) keep(n int) bool {
	const each = 200 // what a message or a line of a log takes beside its bytes
	t.kept += n + each
	return t.kept <= maxKept
}

// Kick is Host.
func (t *trial) Kick(_, id string, reason packet.ReasonCode, text, by string) bool {
	if t.outcome != nil && t.keep(len(id)+len(text)) {
		t.outcome.kicked = append(t.outcome.kicked, kicked{id, reason.String(), text, by})
	}
	return true
}

// asker is a registered hook of any event.
type asker[T any] interface {
	ask(*core.Turn, *T) core.Decision
	about() *event[T]
}

// askHooks asks the handlers of one event; without any nobody has an opinion.
func askHooks[T any](g *generation, e *event[T], turn *core.Turn, ev *T) core.Decision {
	for _, h := range g.hooks {
		if a, ok := h.(asker[T]); ok && a.about() == e {
			return a.ask(turn, ev)
		}
	}
	return core.Decision{}
}

// trialLog is the slog.Handler that keeps what is logged.
type trialLog struct {
	t     *trial
	attrs []slog.Attr
}

func (l trialLog) Enabled(context.Context, slog.Level) bool { return true }
func (l trialLog) WithGroup(string) slog.Handler            { return l }

func (l trialLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return trialLog{l.t, append(append([]slog.Attr(nil), l.attrs...), attrs...)}
}

func (l trialLog) Handle(_ context.Context, rec slog.Record) error {
	entry := logged{level: levelName(rec.Level), text: rec.Message, fields: append([]slog.Attr(nil), l.attrs...)}
	rec.Attrs(func(a slog.Attr) bool {
		entry.fields = append(entry.fields, a)
		return true
	})
	size := len(entry.text)
	for _, a := range entry.fields {
		size += len(a.Key) + len(a.Value.String())
	}
	if !l.t.keep(size) {
		return errKept
	}
	if o := l.t.outcome; o != nil {
		o.logs = append(o.logs, entry)
	} else {
		l.t.said = append(l.t.said, entry)
	}
	return nil
}

// levelName is a level as the functions of log are called.
func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return "debug"
	case l < slog.LevelWarn:
		return "info"
	case l < slog.LevelError:
		return "warn"
	}
	return "error"
}

func (l logged) String() string {
	out := l.level + ": " + l.text
	for _, a := range l.fields {
		out += fmt.Sprintf(" %s=%v", a.Key, a.Value)
	}
	return out
}

// errNotInTest is what try, expect and clock answer while a test file loads.
var errNotInTest = errors.New("only inside test(name, function() … end)")
