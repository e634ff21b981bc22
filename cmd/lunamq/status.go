package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// statusReport is the answer to GET /v1/status.
type statusReport struct {
	Version       string           `json:"version"`
	Node          string           `json:"node"`
	PID           int              `json:"pid"`
	Started       time.Time        `json:"started"`
	Uptime        float64          `json:"uptime_seconds"`
	Listeners     []listenerReport `json:"listeners"`
	Clients       clientsReport    `json:"clients"`
	Sessions      int64            `json:"sessions"`
	Subscriptions int64            `json:"subscriptions"`
	Shared        int64            `json:"shared_subscriptions"`
	Retained      stockReport      `json:"retained"`
	Queued        stockReport      `json:"queued"`
	Messages      messagesReport   `json:"messages"`
	Dropped       map[string]int64 `json:"dropped"` // by cause
	Storage       storageReport    `json:"storage"`
	Scripts       *scriptsReport   `json:"scripts"` // null without rules
}

type listenerReport struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

type clientsReport struct {
	Connected   int64 `json:"connected"`
	Maximum     int64 `json:"maximum"`     // connected at once, as $SYS has seen it
	Connections int64 `json:"connections"` // sockets, those in the handshake included
	Accepted    int64 `json:"accepted"`    // CONNECTs, in all
	Denied      int64 `json:"denied"`
}

type stockReport struct {
	Messages int64 `json:"messages"`
	Bytes    int64 `json:"bytes"`
}

type messagesReport struct {
	Received int64 `json:"received"` // PUBLISH packets
	Sent     int64 `json:"sent"`
	Denied   int64 `json:"denied"`
}

// status is what the broker is doing now.
func (p *program) status() *statusReport {
	m, s := p.broker.Metrics(), p.broker.Stats()
	connected := m.Connected.Load()
	r := &statusReport{
		Version: versionText(), Node: p.config.Node, PID: os.Getpid(), Started: p.began, Uptime: time.Since(p.began).Seconds(),
		Clients: clientsReport{
			Connected: connected, Maximum: max(connected, m.MaxConnected.Load()), Connections: m.Connections.Load(),
			Accepted: m.Connects.Load(), Denied: m.ConnectsDenied.Load(),
		},
		Sessions: s.Sessions, Subscriptions: m.Subscriptions.Load(), Shared: s.Shared,
		Retained: stockReport{s.Retained, s.RetainedBytes},
		Queued:   stockReport{s.Queued, s.QueuedBytes},
		Messages: messagesReport{m.PublishReceived.Load(), m.PublishSent.Load(), m.PublishesDenied.Load()},
		Dropped:  make(map[string]int64),
		Storage:  p.storage(),
		Scripts:  p.scripts(),
	}
	for _, w := range p.ways {
		r.Listeners = append(r.Listeners, listenerReport{w.config.Name, w.config.Scheme() + "://" + w.net.Addr().String()})
	}
	for _, cause := range m.Dropped.Causes() {
		r.Dropped[string(cause)] = m.Dropped.Get(cause)
	}
	return r
}

func statusCommand() *cobra.Command {
	var f askFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what a running broker is doing",
		Long: `Show what a running broker is doing: who listens, how many clients, sessions,
subscriptions and messages there are, what was dropped and why, whether the rules in
the folder are in force, and what each handler has done since.`,
		Example: `  lunamq status
  lunamq status --config /etc/lunamq/config.toml
  lunamq status --json | jq .scripts.ok`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r statusReport
			if err := f.ask(cmd, "/v1/status", nil, &r); err != nil || f.json {
				return err
			}
			r.print(cmd.OutOrStdout())
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

func (r *statusReport) print(w io.Writer) {
	var listeners []string
	for _, l := range r.Listeners {
		text := l.Name + " " + l.Address
		if l.Name == l.Address {
			text = l.Name
		}
		listeners = append(listeners, text)
	}
	uptime := time.Duration(r.Uptime * float64(time.Second)).Round(time.Second)
	facts(w,
		[2]string{"LunaMQ", fmt.Sprintf("%s, node %s, process %d, up %v since %s", r.Version, r.Node, r.PID, uptime, momentText(r.Started))},
		[2]string{"listeners", strings.Join(listeners, "\n")},
		[2]string{"clients", fmt.Sprintf("%d connected, %d at most, %d accepted, %d denied", r.Clients.Connected, r.Clients.Maximum, r.Clients.Accepted, r.Clients.Denied)},
		[2]string{"sessions", fmt.Sprint(r.Sessions)},
		[2]string{"subscriptions", fmt.Sprintf("%d, %d shared", r.Subscriptions, r.Shared)},
		[2]string{"retained", r.Retained.String()},
		[2]string{"queued", r.Queued.String()},
		[2]string{"messages", fmt.Sprintf("%d received, %d sent, %d denied", r.Messages.Received, r.Messages.Sent, r.Messages.Denied)},
		[2]string{"storage", r.Storage.String()},
		[2]string{"dropped", countsText(r.Dropped, "none")},
	)
	if r.Scripts == nil {
		fmt.Fprintln(w, "\nno rules: [scripting] dir is not set")
		return
	}
	fmt.Fprintln(w)
	facts(w, r.Scripts.facts()...)
	if len(r.Scripts.Handlers) > 0 {
		fmt.Fprintln(w)
		r.Scripts.printHandlers(w)
	}
}

func (s stockReport) String() string {
	return fmt.Sprintf("%d messages, %s", s.Messages, bytesText(s.Bytes))
}
