package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"lunamq/cmd/lunamq/config"
)

// defaultFile is read where there is one and none is named.
const defaultFile = "config.toml"

// serveFlags are what the command line says over the file.
type serveFlags struct {
	file     string
	listen   []string
	scripts  string
	data     string
	logLevel string
}

func serveCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the broker",
		Long: `Run the broker until SIGTERM or SIGINT, which end it gracefully; a second one
ends it at once. SIGHUP reloads the rules.`,
		Example: `  lunamq
  lunamq --config /etc/lunamq/config.toml
  lunamq --listen tcp://127.0.0.1:1884 --listen ws://127.0.0.1:9001 --scripts rules`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.file, "config", "", "configuration `FILE` (default ./config.toml where there is one, else built-in defaults)")
	flags.StringArrayVar(&f.listen, "listen", nil, "listen at `URL`: tcp://, ws:// or unix://; repeatable, in place of the file's listeners")
	flags.StringVar(&f.scripts, "scripts", "", "`DIR` of the Lua rules")
	flags.StringVar(&f.data, "data", "", "`DIR` of what outlives a restart")
	flags.StringVar(&f.logLevel, "log-level", "", "`LEVEL` of the log: debug, info, warn or error")
	return cmd
}

// run loads the configuration and serves.
func (f *serveFlags) run(cmd *cobra.Command) error {
	c, source, err := f.load(cmd)
	if err != nil {
		return err
	}
	log := newLog(cmd.ErrOrStderr(), c.Log)
	log.Info("LunaMQ "+versionText(), "config", source, "node", c.Node)
	p := &program{config: c, log: log}
	return p.run(cmd.Context())
}

// load returns the configuration and where it came from.
func (f *serveFlags) load(cmd *cobra.Command) (c *config.Config, source string, err error) {
	if c, source, err = loadFile(f.file); err != nil {
		return nil, "", err
	}
	changed := cmd.Flags().Changed
	if changed("listen") {
		if err := c.Listen(f.listen); err != nil {
			return nil, "", usageError{err}
		}
	}
	if changed("scripts") {
		c.Scripting.Dir = f.scripts
	}
	if changed("data") {
		if f.data == "" {
			return nil, "", usageError{errors.New("--data must name a folder")}
		}
		c.Storage.Path = f.data
	}
	if changed("log-level") {
		if err := new(slog.LevelVar).UnmarshalText([]byte(f.logLevel)); err != nil {
			return nil, "", usageError{fmt.Errorf("--log-level = %q: must be debug, info, warn or error", f.logLevel)}
		}
		c.Log.Level = f.logLevel
	}
	return c, source, nil
}

// loadFile loads the named file, or the one that is there, or the defaults.
func loadFile(file string) (*config.Config, string, error) {
	if file == "" {
		if _, err := os.Stat(defaultFile); errors.Is(err, os.ErrNotExist) {
			return config.Default(), "built-in defaults", nil
		}
		file = defaultFile
	}
	c, err := config.Load(file)
	return c, file, err
}
