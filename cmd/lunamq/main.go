package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"lunamq/plugins/disk"
)

// Exit codes.
const (
	exitOK    = 0 // ended as asked
	exitError = 1 // did not start, or failed
	exitUsage = 2 // the command line makes no sense
	exitStore = 3 // the store is damaged, and [storage] on_damage = "refuse"
)

// usageError is an error of the command line, not of what it does.
type usageError struct{ error }

func main() { os.Exit(execute(os.Args[1:])) }

// execute runs one command line and returns its exit code.
func execute(args []string) int {
	root := rootCommand()
	root.SetArgs(goStyle(args))
	err := root.Execute()
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errQuiet):
		return exitError
	case errors.Is(err, disk.ErrDamaged):
		fmt.Fprintf(root.ErrOrStderr(), "lunamq: %v\nlunamq store check tells what is damaged; [storage] on_damage = \"start\" starts with what is intact\n", err)
		return exitStore
	case errors.As(err, &usage):
		fmt.Fprintf(root.ErrOrStderr(), "lunamq: %v\nlunamq --help tells what there is\n", err)
		return exitUsage
	}
	fmt.Fprintf(root.ErrOrStderr(), "lunamq: %v\n", err)
	return exitError
}

// goStyle takes -run of lunamq test as go test has it.
func goStyle(args []string) []string {
	if len(args) == 0 || args[0] != "test" {
		return args
	}
	out := slices.Clone(args)
	for i, a := range out {
		if a == "-run" || strings.HasPrefix(a, "-run=") {
			out[i] = "-" + a
		}
	}
	return out
}

func rootCommand() *cobra.Command {
	root := serveCommand()
	root.Use = "lunamq"
	root.Short = "An MQTT broker whose behaviour is written in Lua"
	root.Long = `LunaMQ is an MQTT broker (3.1, 3.1.1, 5.0) whose behaviour is written in Lua
rules that are reloaded while it runs. Without a subcommand it serves.`
	root.AddCommand(checkCommand(), testCommand(), tryCommand(), luaTypesCommand())
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(serveCommand(), statusCommand(), scriptsCommand(), reloadCommand(), rollbackCommand(), benchCommand(), storeCommand(), versionCommand())
	return root
}

// noArgs refuses arguments as an error of usage.
func noArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return usageError{err}
	}
	return nil
}
