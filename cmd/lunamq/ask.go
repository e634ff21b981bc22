package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// askFlags are those of the subcommands that ask a running broker.
type askFlags struct {
	file string
	data string
	json bool
}

// askCommand makes cmd such a subcommand.
func (f *askFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.file, "config", "", "configuration `FILE` of the broker (default ./config.toml where there is one, else built-in defaults)")
	flags.StringVar(&f.data, "data", "", "data folder `DIR` of the broker, in place of the configuration's")
	flags.BoolVar(&f.json, "json", false, "print JSON, for programs")
}

// dataFolder is that of the broker.
func (f *askFlags) dataFolder(cmd *cobra.Command) (string, error) {
	if cmd.Flags().Changed("data") {
		if f.data == "" {
			return "", usageError{errors.New("--data must name a folder")}
		}
		return f.data, nil
	}
	c, _, err := loadFile(f.file)
	if err != nil {
		return "", err
	}
	return c.Storage.Path, nil
}

// socket is where the broker answers.
func (f *askFlags) socket(cmd *cobra.Command) (string, error) {
	dir, err := f.dataFolder(cmd)
	return filepath.Join(dir, controlSocket), err
}

const (
	// dialLimit bounds the wait for a broker that is there but busy starting.
	dialLimit = 10 * time.Second
	// maxAnswer bounds an answer, in bytes: 10 000 handlers have 4 MB.
	maxAnswer = 64 << 20
)

// ask puts a request to the broker: GET without a body, else POST. The answer is
// decoded into out, and printed as it is with --json.
func (f *askFlags) ask(cmd *cobra.Command, path string, body, out any) error {
	socket, err := f.socket(cmd)
	if err != nil {
		return err
	}
	code, text, err := roundTrip(cmd.Context(), socket, path, body)
	if err != nil {
		return err
	}
	if f.json {
		if _, err := cmd.OutOrStdout().Write(text); err != nil {
			return err
		}
	}
	if code == http.StatusOK {
		return json.Unmarshal(text, out)
	}
	var no refusal
	if json.Unmarshal(text, &no) != nil || no.Error == "" {
		return fmt.Errorf("the broker answers %d %s: is it of another version than this program?", code, http.StatusText(code))
	}
	return errors.New(no.Error)
}

// roundTrip sends one request to the socket and returns the answer.
func roundTrip(ctx context.Context, socket, path string, body any) (code int, text []byte, err error) {
	method, send := http.MethodGet, io.Reader(nil)
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		method, send = http.MethodPost, bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://lunamq"+path, send)
	if err != nil {
		return 0, nil, err
	}
	limit := controlWrite
	if path == backupPath {
		limit = 0 // none: a copy to another disk takes its time
	}
	client := http.Client{Timeout: limit, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: dialLimit}).DialContext(ctx, "unix", socket)
		},
	}}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, unreached(socket, err)
	}
	defer response.Body.Close()
	text, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return response.StatusCode, text, err
}

// errNobody: there is no broker to ask.
var errNobody = errors.New("no broker runs here")

// unreached says why no broker answered, and what to do.
func unreached(socket string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nobody listens at %s (name the broker's data folder with --data, or its configuration with --config)", errNobody, socket)
	case errors.Is(err, syscall.EINVAL):
		return fmt.Errorf("%w: %s is too long for the path of a socket", errNobody, socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s is for the user that the broker runs as: run this as that user", socket)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the broker at %s does not answer", socket)
	}
	return fmt.Errorf("the broker at %s: %w", socket, err)
}
