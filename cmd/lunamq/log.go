package main

import (
	"io"
	"log/slog"

	"lunamq/cmd/lunamq/config"
)

// newLog returns the log that [log] describes.
func newLog(w io.Writer, c config.Log) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.SlogLevel()}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
