package scripting

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"lunamq/core"
	"lunamq/core/packet"
	"lunamq/scripting/lib"
	"lunamq/scripting/sandbox"
)

// owner is the name under which the hooks are registered.
const owner = "scripts"

// Host is what the engine needs of the broker; *core.Broker is one.
type Host interface {
	Register(owner string, hooks ...any) error
	Publish(t *core.Turn, m core.Message, handlers bool) error
	Kick(mount, id string, reason packet.ReasonCode, text, by string) bool
	Act(do func(*core.Turn) bool)
	Client(mount, id string) *core.Client
	Clients(dst []*core.Client, page int) (clients []*core.Client, more bool)
	Subscribe(mount, id, filter string, qos byte) error
	Unsubscribe(mount, id, filter string) error
	Retained(topic string) *core.Message
	RetainedAll(filter string) *core.RetainedMessages
	Registry() *core.Registry
}

// Options of an Engine. A zero field means its default.
type Options struct {
	TopicLevels int // of the topics and filters that rules make; those of core's default

	TestBeforeReload bool // the set's *_test.lua must pass before it takes over

	Dir       string        // the scripts folder; "" no rules
	Workers   int           // worlds that run in parallel; 1
	Budget    int64         // instructions per call; 1 000 000
	Deadline  time.Duration // a call may hold its world; 100 ms
	WaitLimit time.Duration // a library call that waits; 5 s
	Queue     int           // events that may wait for one world; 100 000
	QueueTime time.Duration // and for how long; 5 s
	Memory    int64         // of one world, in bytes; 64 MiB
	OnError   string        // "deny" or "pass": what a failed handler comes to; "deny"
	KVBytes   int64         // of all kv together; 64 MiB
	Poll      time.Duration // between two looks at the folder without a file event; 5 s
	Handover  time.Duration // events wait for load and unload at a reload; 250 ms
	Packets   bool          // packet events are on: the broker has them too
	Env       []string      // the environment variables that scripts may read; none
	Durable   KVStore       // of durable buckets; nil: they are in memory as the others
	Keep      int           // generations that are kept, the running one included; 5
	Archive   string        // the folder in which they outlive a restart; "": in memory alone

	// A new generation whose share of failed calls is greater than the old one's by
	// RollbackErrors, within RollbackWindow, is gone back from; 0: never.
	RollbackErrors float64
	RollbackWindow time.Duration // 1 min

	Log     *slog.Logger // nil: none
	Version string       // mqtt.version
	Node    string       // mqtt.node
	Now     func() time.Time
}

// maxWorkers bounds Options.Workers: a world takes some hundred kilobytes.
const maxWorkers = 1024

// maxKeep bounds Options.Keep: a generation may have 32 MiB.
const maxKeep = 100

func (o Options) withDefaults() Options {
	if o.Workers == 0 {
		o.Workers = 1
	}
	if o.TopicLevels == 0 {
		o.TopicLevels = core.DefaultOptions().TopicLevels
	}
	if o.Budget == 0 {
		o.Budget = 1_000_000
	}
	if o.Deadline == 0 {
		o.Deadline = 100 * time.Millisecond
	}
	if o.WaitLimit == 0 {
		o.WaitLimit = 5 * time.Second
	}
	if o.Queue == 0 {
		o.Queue = 100_000
	}
	if o.QueueTime == 0 {
		o.QueueTime = 5 * time.Second
	}
	if o.Memory == 0 {
		o.Memory = 64 << 20
	}
	if o.OnError == "" {
		o.OnError = "deny"
	}
	if o.KVBytes == 0 {
		o.KVBytes = 64 << 20
	}
	if o.Poll == 0 {
		o.Poll = 5 * time.Second
	}
	if o.Handover == 0 {
		o.Handover = 250 * time.Millisecond // SCRIPT-API.md, "Reload" 6
	}
	if o.Keep == 0 {
		o.Keep = 5
	}
	if o.RollbackWindow == 0 {
		o.RollbackWindow = time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func (o Options) check() error {
	switch {
	case o.Workers < 1 || o.Workers > maxWorkers:
		return fmt.Errorf("scripting: workers is %d, want 1 to %d", o.Workers, maxWorkers)
	case o.Budget < 1:
		return fmt.Errorf("scripting: the budget is %d instructions, want at least 1", o.Budget)
	case o.Deadline < 0:
		return fmt.Errorf("scripting: the deadline is %v, want more than 0", o.Deadline)
	case o.WaitLimit < 0 || o.Queue < 1 || o.QueueTime < 0 || o.Memory < minMemory:
		return fmt.Errorf("scripting: wait_limit is %v, queue %d, queue_time %v, want more than 0; memory %d, want at least %d", o.WaitLimit, o.Queue, o.QueueTime, o.Memory, minMemory)
	case o.OnError != "deny" && o.OnError != "pass":
		return fmt.Errorf(`scripting: on_error is %q, want "deny" or "pass"`, o.OnError)
	case o.Keep < 1 || o.Keep > maxKeep:
		return fmt.Errorf("scripting: keep is %d, want 1 to %d", o.Keep, maxKeep)
	case o.RollbackErrors < 0 || o.RollbackErrors > 1 || o.RollbackWindow < 0:
		return fmt.Errorf("scripting: rollback_errors is %v, want 0 to 1, and rollback_window %v, want more than 0", o.RollbackErrors, o.RollbackWindow)
	case o.KVBytes < 0 || o.Poll < 0 || o.Handover < 0:
		return fmt.Errorf("scripting: kv_bytes is %d, poll %v and handover %v, want more than 0", o.KVBytes, o.Poll, o.Handover)
	}
	return nil
}

// Engine runs the rules of a scripts folder and keeps them as the files are.
type Engine struct {
	// Immutable:
	host      Host
	options   Options
	kv        *lib.KV       // outlives the generations
	limiters  *lib.Limiters // likewise
	started   time.Time
	timing    timing
	watcher   func() (fileWatcher, error)
	spikes    chan *generation                    // to guardLoop: whose calls fail
	alarms    chan struct{}                       // to alarmLoop: something changed
	observe   func(outcome string)                // told the outcome of every look at the folder; nil outside tests
	patterns  *lib.Patterns                       // as kv
	desks     []sandbox.Queue                     // for passwords: one for each processor but one
	afterFunc func(time.Duration, func()) stopper // for the timers of scripts

	// Owned by Start and Stop:
	cancel context.CancelFunc
	loops  sync.WaitGroup

	loadMu sync.Mutex // one load at a time; before mu

	// Guarded by loadMu:
	current   *generation // nil before the first
	failed    string      // hash, with tests that failed fileSet.tested, of the set that could not be loaded; "" if the current is the newest
	published map[string]string
	history   history

	mu sync.Mutex

	// Guarded by mu:
	status      Status
	inForce     *generation // current, for others than the loader
	generations []Generation
	loads       []WorldLoad
}

// New makes an engine; nothing is read or started before Start.
func New(host Host, o Options) *Engine {
	o = o.withDefaults()
	return &Engine{
		host: host, options: o, started: o.Now(),
		kv: lib.NewKV(o.KVBytes, o.Now), limiters: lib.NewLimiters(o.Now, maxLimiterKeys), patterns: lib.NewPatterns(),
		timing: defaultTiming, watcher: newFileWatcher,
		afterFunc: func(d time.Duration, do func()) stopper { return time.AfterFunc(d, do) },
		published: make(map[string]string), spikes: make(chan *generation, 1), alarms: make(chan struct{}, 1),
		history: history{keep: o.Keep}, desks: make([]sandbox.Queue, max(1, runtime.GOMAXPROCS(0)-1)),
	}
}

// Start loads the scripts within ctx, registers their hooks and watches the
// folder until Stop. A set that cannot be loaded whole is an error
// (a *LoadError) and nothing is registered: a broker with half its rules must
// not open its listeners.
func (e *Engine) Start(ctx context.Context) error {
	if err := e.options.check(); err != nil {
		return err
	}
	if e.options.Dir == "" {
		e.setStatus(Status{OK: true, Files: []string{}, Handlers: map[string]int{}})
		return nil
	}
	if err := e.openHistory(); err != nil {
		return err
	}
	e.showMetrics(Status{}) // before rules make metrics, which are bounded in number
	set, err := e.update(ctx, look{by: "start", asked: true})
	if err != nil {
		return err
	}
	ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	e.watch(ctx, set.dirs)
	e.loops.Go(func() { e.busyLoop(ctx) })
	e.loops.Go(func() { e.guardLoop(ctx) })
	e.loops.Go(func() { e.alarmLoop(ctx) })
	e.loops.Go(func() { e.memoryLoop(ctx) })
	return nil
}

// openHistory reads the kept generations of earlier runs.
func (e *Engine) openHistory() (err error) {
	e.loadMu.Lock()
	defer e.loadMu.Unlock()
	e.history, err = archive(e.options.Archive).open(e.options.Keep, e.options.Log)
	return err
}

// Request is who asks for a reload, and how.
type Request struct {
	By    string // "SIGHUP", "lunamq reload by uid 1000", …
	Force bool   // also files that were gone back from
}

// Reload looks at the folder now. What changed is loaded aside and takes over
// at once; on an error the rules that run stay. Files that were gone back from
// are an error, a *BarredError.
func (e *Engine) Reload(ctx context.Context) error {
	return e.ReloadFor(ctx, Request{By: "reload"})
}

// ReloadFor is Reload for somebody.
func (e *Engine) ReloadFor(ctx context.Context, r Request) error {
	if e.options.Dir == "" {
		return nil
	}
	_, err := e.update(ctx, look{by: r.By, asked: true, force: r.Force})
	return err
}

// Stop ends the watching and the timers of the rules. The rules stay registered
// and go on answering: a broker that is shutting down still sends wills.
func (e *Engine) Stop(ctx context.Context) error {
	defer e.endTimers()
	if e.cancel == nil {
		return nil
	}
	e.cancel()
	done := make(chan struct{})
	go func() {
		e.loops.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("scripting: stop: %w", ctx.Err())
	}
}

// HandlerCounts says of each handler of the running generation what became of
// its events, in the order in which they run.
func (e *Engine) HandlerCounts() []HandlerCounts {
	e.mu.Lock()
	g := e.inForce
	e.mu.Unlock()
	if g == nil {
		return nil
	}
	out := make([]HandlerCounts, 0, len(g.handlers))
	for _, h := range g.handlers {
		out = append(out, h.snapshot(e.options.Now()))
	}
	return out
}

func (e *Engine) endTimers() {
	e.loadMu.Lock()
	defer e.loadMu.Unlock()
	if e.current != nil {
		e.current.timers.pause(e.options.Handover)
		e.current.timers.end()
	}
}
