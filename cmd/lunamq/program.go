package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"lunamq/cmd/lunamq/config"
	"lunamq/core"
	"lunamq/plugins/disk"
	"lunamq/scripting"
)

// program is the broker with all that takes part in it.
type program struct {
	config  *config.Config
	log     *slog.Logger
	store   *disk.Store // nil with [storage] kind = "memory"
	broker  *core.Broker
	durable *scripting.Durable // nil without a store, or without rules
	engine  *scripting.Engine  // nil without a folder of rules
	ways    []*way
	began   time.Time
	heap    *heapMinimum // nil: GOGC is set
	alone   bool         // the data folder is another broker's
}

// run builds the parts, in an order in which nobody is let in before the rules
// are in force, and serves until a signal or ctx ends it.
func (p *program) run(ctx context.Context) error {
	// From the start, so that one that comes early is not lost, until the process
	// has ended, so that a late one does not change the exit code.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)

	p.began = time.Now()
	p.useMachine()
	defer p.heap.end()
	profiles, err := p.openPprof()
	if err != nil {
		return err
	}
	defer profiles.Close()
	control, err := p.openControl()
	switch {
	case errors.Is(err, errTaken) && p.config.Storage.Kind == "memory": // nothing but the generations of the rules lies in the data folder
		p.log.Warn("lunamq status, scripts, reload and rollback do not reach this broker, and it keeps the generations of its rules in memory alone", "err", err)
		p.alone = true
	case errors.Is(err, errTaken):
		return p.takenError()
	case err != nil:
		return err
	default:
		defer control.close()
	}
	if err := p.build(); err != nil {
		return errors.Join(err, p.closeStore())
	}
	defer func() {
		if err := p.closeStore(); err != nil {
			p.log.Error("the store was not closed in order: what was acknowledged is on the disk", "err", err)
		}
	}()
	defer p.broker.Close()
	if err := p.startRules(ctx); err != nil {
		return err
	}
	if err := p.open(); err != nil {
		return errors.Join(err, p.stopRules(ctx))
	}
	served := make(chan error, len(p.ways))
	for _, w := range p.ways {
		go func() { served <- p.serve(w) }()
	}
	if !p.alone {
		control.serve()
	}
	working, done := context.WithCancel(ctx)
	defer done()
	go giveBackLoop(working)
	p.report()
	return p.wait(ctx, signals, served)
}

func (p *program) build() (err error) {
	o := p.config.Core()
	o.Log, o.Version = p.log, "LunaMQ "+versionText()
	if p.config.Storage.Kind == "disk" {
		if p.store, err = disk.Open(storeOptions(p.config, p.log)); err != nil {
			return err
		}
		o.Store = lentStore{p.store}
	}
	if p.broker, err = core.New(o); err != nil || p.store == nil {
		return err
	}
	return p.store.Show(p.broker.Registry())
}

// startRules loads the rules; a set with any error is fatal, with all findings.
func (p *program) startRules(ctx context.Context) error {
	s := &p.config.Scripting
	if s.Dir == "" {
		return nil
	}
	if info, err := os.Stat(s.Dir); err != nil {
		return fmt.Errorf("the folder of rules: %w: create it, or set [scripting] dir or --scripts to another one", err)
	} else if !info.IsDir() {
		return fmt.Errorf("the folder of rules: %s is a file: set [scripting] dir or --scripts to the folder around it", s.Dir)
	}
	o := scriptingOptions(p.config)
	o.Log = p.log
	if p.store != nil {
		p.durable = scripting.NewDurable(p.broker.Values(), o.KVBytes, p.log)
		o.Durable = p.durable
	}
	if !p.alone {
		o.Archive = filepath.Join(p.config.Storage.Path, "scripts")
	}
	p.engine = scripting.New(p.broker, o)
	if err := p.engine.Start(ctx); err != nil {
		return fmt.Errorf("the rules in %s are not in force, so nothing listens:\n%w", s.Dir, err)
	}
	return nil
}

func (p *program) stopRules(ctx context.Context) error {
	if p.engine == nil {
		return nil
	}
	return p.engine.Stop(ctx)
}

func (p *program) serve(w *way) error {
	options := w.config.Options()
	err := p.broker.Serve(core.Listener{Name: w.config.Name, Net: w.net, Options: &options})
	if err != nil {
		return fmt.Errorf("listener %s: %w", w.config.Name, err)
	}
	return nil
}

// wait serves until it is to end: gracefully at the first signal, at once at
// the second.
func (p *program) wait(ctx context.Context, signals <-chan os.Signal, served <-chan error) error {
	for {
		select {
		case s := <-signals:
			if s == syscall.SIGHUP {
				p.reload(ctx)
				continue
			}
			p.log.Info("ending gracefully; the same signal again ends at once", "signal", s.String())
			return p.shutdown(ctx, signals)
		case <-ctx.Done():
			return p.shutdown(context.WithoutCancel(ctx), signals)
		case err := <-served:
			if err == nil {
				err = errors.New("a listener was closed")
			}
			return errors.Join(err, p.shutdown(ctx, signals))
		}
	}
}

// reload reads the rules anew; config.toml is read at start only.
func (p *program) reload(ctx context.Context) {
	if p.engine == nil {
		p.log.Warn("SIGHUP reloads the rules, and there is no folder of rules; config.toml is read at start only")
		return
	}
	p.log.Info("SIGHUP: the rules are reloaded; config.toml is read at start only")
	if err := p.engine.ReloadFor(ctx, scripting.Request{By: "SIGHUP"}); err != nil {
		p.log.Error("the new rules are not in force, those from before stay", "err", err)
	}
	p.warnExposed()
}

// shutdownMargin is what the broker has, after the time for clients to take
// their last packets, to send wills and close.
const shutdownMargin = 5 * time.Second

// sameSignal is how soon a signal is the first one once more: timeout(1) and
// others send it to the process and then to its group.
const sameSignal = 500 * time.Millisecond

// shutdown lets clients take their last packets, within [limits]
// shutdown_timeout, or until another signal to end.
func (p *program) shutdown(ctx context.Context, signals <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.config.Limits.ShutdownTimeout)+shutdownMargin)
	defer cancel()
	began := time.Now()
	done := make(chan error, 1)
	go func() {
		err := p.broker.Shutdown(ctx)
		done <- errors.Join(err, p.stopRules(context.WithoutCancel(ctx)))
	}()
	for {
		select {
		case err := <-done:
			if errors.Is(err, context.DeadlineExceeded) {
				p.log.Warn("some clients did not take their last packets in time")
				return nil
			}
			return err
		case s := <-signals:
			if s != syscall.SIGHUP && time.Since(began) > sameSignal {
				return fmt.Errorf("ended at once by a second %s", s)
			}
		}
	}
}
