package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"lunamq/scripting"
)

// errNoFolder: reload and rollback are about rules.
var errNoFolder = errors.New("this broker has no rules: [scripting] dir is not set")

// reloadRequest is the body of POST /v1/reload.
type reloadRequest struct {
	Force bool `json:"force"`
}

// swapped is the answer to reload and rollback.
type swapped struct {
	Generation int    `json:"generation"`
	Hash       string `json:"hash"`
	Files      int    `json:"files"`
	Handlers   int    `json:"handlers"`
	Before     int    `json:"before"` // the generation that ran before
}

func reloadCommand() *cobra.Command {
	var f askFlags
	var r reloadRequest
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Make a running broker look at its rules now",
		Long: `Make a running broker look at its rules now. What has changed is loaded aside and
takes over at once; with any error the rules that run stay, and the exit code is 1.

Rules that somebody went back from (lunamq rollback) stay out until their files
change. --force brings them into force all the same.`,
		Example: `  lunamq reload
  lunamq reload --data /var/lib/lunamq
  lunamq reload --force`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out swapped
			if err := f.ask(cmd, "/v1/reload", r, &out); err != nil || f.json {
				return err
			}
			out.printReload(cmd.OutOrStdout())
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&r.Force, "force", false, "also rules that somebody went back from")
	return cmd
}

func (s *swapped) printReload(w io.Writer) {
	if s.Before == s.Generation {
		fmt.Fprintf(w, "nothing has changed: generation %d (%s) goes on\n", s.Generation, short(s.Hash))
		return
	}
	fmt.Fprintf(w, "generation %d (%s) is in force: %d files, %d handlers\n", s.Generation, short(s.Hash), s.Files, s.Handlers)
}

// handleReload is the broker's side.
func (p *program) handleReload(ctx context.Context, r reloadRequest) (any, error) {
	by := askedBy(ctx, "reload")
	if r.Force {
		by = askedBy(ctx, "reload --force")
	}
	return p.swap(by, func() error { return p.engine.ReloadFor(ctx, scripting.Request{By: by, Force: r.Force}) })
}

// swap does what may change the generation, and says what runs then. A failure is
// told to who asked, and to those who read the log.
func (p *program) swap(by string, do func() error) (any, error) {
	if p.engine == nil {
		return nil, errNoFolder
	}
	before := p.engine.Status().Generation
	if err := do(); err != nil {
		p.log.Warn("the rules stay as they were", "generation", before, "by", by, "err", err)
		return nil, err
	}
	p.warnExposed()
	s := p.engine.Status()
	out := &swapped{Generation: s.Generation, Hash: s.Hash, Files: len(s.Files), Before: before}
	for _, n := range s.Handlers {
		out.Handlers += n
	}
	return out, nil
}

// short is a hash as people compare it.
func short(hash string) string { return hash[:min(len(hash), 12)] }
