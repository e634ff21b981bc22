// Command lunamq is the broker: it reads config.toml, joins core, scripting and
// the plugins, and serves until it is told to end. One file per subcommand; the
// configuration is in the package config beside this one, the load tool in bench.
package main
