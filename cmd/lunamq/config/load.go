package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"

	"github.com/BurntSushi/toml"
)

// Load reads and checks a file. Relative paths in it are relative to its
// folder. The error has one line per finding.
func Load(file string) (*Config, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	c, err := parse(file, string(text))
	if err != nil {
		return nil, err
	}
	c.resolve(filepath.Dir(file))
	return c, nil
}

// parse decodes and checks text; file is its name in errors.
func parse(file, text string) (*Config, error) {
	raw := make(map[string]any)
	if _, err := toml.Decode(text, &raw); err != nil {
		var at toml.ParseError
		if errors.As(err, &at) {
			return nil, fmt.Errorf("%s:%d: %s", file, at.Position.Line, at.Message)
		}
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	c := Default()
	d := &decoder{file: file, at: lines(text), raw: make(map[string]any)}
	list, listed := raw["listener"]
	delete(raw, "listener")
	d.section("", reflect.ValueOf(c).Elem(), raw)
	if c.Listeners = c.defaultListeners(); listed {
		c.Listeners = d.listeners(c, list)
	}
	d.check(c)
	if err := d.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// listeners fills one Listener for each [[listener]].
func (d *decoder) listeners(c *Config, list any) []Listener {
	tables, ok := list.([]map[string]any)
	if !ok {
		d.errorf("listener", "write [[listener]] on a line of its own, in double brackets")
		return nil
	}
	out := make([]Listener, len(tables))
	for i, raw := range tables {
		out[i] = c.newListener("")
		d.section(fmt.Sprintf("listener[%d]", i), reflect.ValueOf(&out[i]).Elem(), raw)
	}
	return out
}

// resolve makes relative paths relative to dir.
func (c *Config) resolve(dir string) {
	paths := []*string{&c.Scripting.Dir, &c.Storage.Path}
	for i := range c.Listeners {
		l := &c.Listeners[i]
		paths = append(paths, &l.Cert, &l.Key, &l.ClientCA)
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}

// Listen puts listeners of these URLs in place of those of the file.
func (c *Config) Listen(urls []string) error {
	c.Listeners = nil
	for _, u := range urls {
		c.Listeners = append(c.Listeners, c.newListener(u))
	}
	d := &decoder{file: "--listen", raw: make(map[string]any)}
	for i, u := range urls {
		d.raw[fmt.Sprintf("listener[%d].url", i)] = u
	}
	d.checkListeners(c.Listeners)
	return d.err()
}
