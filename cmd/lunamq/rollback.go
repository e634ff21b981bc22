package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
)

// rollbackRequest is the body of POST /v1/rollback; 0 is the generation before.
type rollbackRequest struct {
	Generation int `json:"generation"`
}

func rollbackCommand() *cobra.Command {
	var f askFlags
	cmd := &cobra.Command{
		Use:   "rollback [GENERATION]",
		Short: "Go back to an earlier generation of the rules",
		Long: `Go back to an earlier generation of the rules, at once: to the one named, or to the
newest before the running one that nobody went back from. lunamq scripts lists what
is kept ([scripting] keep).

The rules that are left stay out, also after a restart, until their files change or
until lunamq reload --force. The files themselves are not touched.`,
		Example: `  lunamq rollback
  lunamq rollback 12
  lunamq rollback --data /var/lib/lunamq --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.MaximumNArgs(1)(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := rollbackTo(args)
			if err != nil {
				return err
			}
			var out swapped
			if err := f.ask(cmd, "/v1/rollback", r, &out); err != nil || f.json {
				return err
			}
			w := cmd.OutOrStdout()
			fmt.Fprintf(w, "generation %d (%s) is in force again: %d files, %d handlers\n", out.Generation, short(out.Hash), out.Files, out.Handlers)
			if out.Generation < out.Before {
				fmt.Fprintf(w, "generation %d stays out until its files change or lunamq reload --force\n", out.Before)
			}
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

func rollbackTo(args []string) (r rollbackRequest, err error) {
	if len(args) == 0 {
		return r, nil
	}
	if r.Generation, err = strconv.Atoi(args[0]); err != nil || r.Generation < 1 {
		return r, usageError{fmt.Errorf("rollback %q: want the number of a generation, as lunamq scripts lists them", args[0])}
	}
	return r, nil
}

// handleRollback is the broker's side.
func (p *program) handleRollback(ctx context.Context, r rollbackRequest) (any, error) {
	by := askedBy(ctx, "rollback")
	return p.swap(by, func() error { return p.engine.Rollback(ctx, r.Generation, by) })
}
