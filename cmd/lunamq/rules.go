package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lunamq/cmd/lunamq/config"
	"lunamq/scripting"
)

// rulesFlags are what the commands about a folder of rules share.
type rulesFlags struct {
	file string
	json bool
}

func (f *rulesFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.file, "config", "", "configuration `FILE` (default ./config.toml where there is one, else built-in defaults)")
	flags.BoolVar(&f.json, "json", false, "print JSON")
}

// load is the configuration, with the folder named on the command line in
// place of its own.
func (f *rulesFlags) load(dir string) (*config.Config, error) {
	c, _, err := loadFile(f.file)
	if err != nil {
		return nil, err
	}
	if dir != "" {
		c.Scripting.Dir = dir
	}
	if c.Scripting.Dir == "" {
		return nil, usageError{errors.New("no folder of rules: name one, or set [scripting] dir")}
	}
	return c, nil
}

// oneDir takes at most one folder.
func oneDir(cmd *cobra.Command, args []string) error {
	if err := cobra.MaximumNArgs(1)(cmd, args); err != nil {
		return usageError{err}
	}
	return nil
}

func firstOf(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// scriptingOptions are the options of the rules, as serve and all that tries
// them have them.
func scriptingOptions(c *config.Config) scripting.Options {
	s := &c.Scripting
	return scripting.Options{
		Dir:       s.Dir,
		Workers:   s.Worlds(),
		Budget:    int64(s.Budget),
		Deadline:  time.Duration(s.Deadline),
		WaitLimit: time.Duration(s.WaitLimit),
		Queue:     int(s.Queue),
		QueueTime: time.Duration(s.QueueTime),
		Memory:    int64(s.Memory),
		OnError:   s.OnError,
		KVBytes:   int64(s.KVBytes),
		Poll:      time.Duration(s.Poll),
		Handover:  time.Duration(s.Handover),
		Env:       s.Env,
		Packets:   s.Packets,
		Keep:      int(s.Keep),
		Version:   versionText(),
		Node:      c.Node,

		RollbackErrors: float64(s.RollbackErrors),
		RollbackWindow: time.Duration(s.RollbackWindow),

		TopicLevels:      int(c.Limits.TopicLevels),
		TestBeforeReload: s.TestBeforeReload,
	}
}

// errQuiet ends a command with exit code 1 when it has said why already.
var errQuiet = errors.New("failed")

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// count is a number with its noun: "1 test", "3 tests".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
