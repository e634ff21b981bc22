package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"lunamq/plugins/disk"
)

// report prints what listens where, which rules are loaded and what is unsafe.
// It comes when all listeners are open, and ends with the line "ready".
func (p *program) report() {
	p.reportRules()
	for _, text := range p.unsafe() {
		p.log.Warn("unsafe: " + text)
	}
	if p.config.Auth.Default == "deny" && p.handlers("connect") == 0 {
		p.log.Warn(`nobody can connect: [auth] default = "deny", and no rule has a connect handler`)
	}
	if p.store == nil {
		p.log.Info("sessions, retained messages and kv are kept in memory: they end with the program", "data", p.config.Storage.Path)
	} else {
		c := p.store.Loaded()
		p.log.Info("stored on disk", "path", disk.Folder(p.config.Storage.Path), "sessions", c.Sessions, "queued", c.Queued, "retained", c.Retained, "values", c.Values)
	}
	for _, w := range p.ways {
		p.log.Info("listening", "listener", w.config.Name, "addr", w.config.Scheme()+"://"+w.net.Addr().String())
	}
	p.log.Info("ready")
}

// reportRules names the files and counts the handlers by event.
func (p *program) reportRules() {
	if p.engine == nil {
		p.log.Info("no rules: [scripting] dir is not set")
		return
	}
	s := p.engine.Status()
	if len(s.Files) == 0 {
		p.log.Warn("no rules: the folder has no .lua file", "dir", p.config.Scripting.Dir)
		return
	}
	var names, events []string
	for _, f := range s.Files {
		names = append(names, filepath.Base(f))
	}
	handlers := 0
	for _, event := range slices.Sorted(maps.Keys(s.Handlers)) {
		handlers += s.Handlers[event]
		events = append(events, fmt.Sprintf("%s %d", event, s.Handlers[event]))
	}
	p.log.Info("rules in force", "dir", p.config.Scripting.Dir, "files", len(names), "handlers", handlers,
		"names", strings.Join(names, " "), "events", strings.Join(events, ", "))
}

// unsafe says, in one sentence each, what in the configuration lets others do
// what is perhaps not meant.
func (p *program) unsafe() []string {
	var out []string
	for _, w := range p.ways {
		name, scheme := w.config.Name, w.config.Scheme()
		if w.isExposed() && p.isOpen() {
			out = append(out, fmt.Sprintf("everybody who reaches listener %s may connect, publish and subscribe ([auth] open = true)", name))
		}
		if w.isExposed() && (scheme == "tcp" || scheme == "ws") {
			out = append(out, fmt.Sprintf("listener %s carries passwords and messages unencrypted to other machines (tls:// and wss:// do not)", name))
		}
		if scheme == "ws" || scheme == "wss" {
			if len(w.config.Origins) == 0 && p.isOpen() {
				out = append(out, fmt.Sprintf("any web page that a user of listener %s visits may connect through the browser (origins names those that may)", name))
			}
		}
		if scheme == "unix" && w.config.Mode&0o002 != 0 && p.isOpen() {
			out = append(out, fmt.Sprintf("every user of this machine may connect to listener %s (mode)", name))
		}
	}
	if p.config.Scripting.OnError == "pass" {
		out = append(out, `a rule that fails lets the event pass ([scripting] on_error = "pass")`)
	}
	if !p.config.Auth.Recheck {
		out = append(out, "topics that a rule rewrote are not authorised again ([auth] recheck = false)")
	}
	return out
}
