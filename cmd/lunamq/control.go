package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// controlSocket is the name of the socket in the data folder at which the broker
// answers lunamq status, scripts, reload and rollback: HTTP with JSON bodies. Who
// may open it may do all of it, so it is for the broker's user only.
const controlSocket = "control.sock"

// Bounds of what the socket takes: far above what the subcommands send.
const (
	controlConns  = 16       // at once
	controlBody   = 4 << 10  // bytes of a request
	controlHeader = 16 << 10 // bytes of its head
	controlRead   = 10 * time.Second
	controlWrite  = 2 * time.Minute // a reload may take its 30 s, after another's
)

// control is the server of the socket.
type control struct {
	program *program
	net     *controlListener
	server  *http.Server
}

// openControl binds the socket. It is the first thing that a broker does with its
// data folder, and who finds somebody else there leaves it alone.
func (p *program) openControl() (*control, error) {
	dir := p.config.Storage.Path
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the data folder: %w: set [storage] path or --data to a folder that this user may write", err)
	}
	n, err := bindSocket(filepath.Join(dir, controlSocket), 0o600)
	if err != nil {
		return nil, fmt.Errorf("the control socket in the data folder: %w ([storage] path or --data sets the folder; each broker has its own)", err)
	}
	c := &control{program: p, net: newControlListener(n)}
	c.server = &http.Server{
		Handler:           c.routes(),
		ReadHeaderTimeout: controlRead,
		ReadTimeout:       controlRead,
		WriteTimeout:      controlWrite,
		IdleTimeout:       controlRead,
		MaxHeaderBytes:    controlHeader,
		ErrorLog:          slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, peerOf(c))
		},
	}
	return c, nil
}

// serve answers from now on; who asked before has waited.
func (c *control) serve() {
	go func() {
		if err := c.server.Serve(c.net); !errors.Is(err, http.ErrServerClosed) {
			c.program.log.Error("the control socket does not answer any more", "err", err)
		}
	}()
}

// close ends the answers and removes the socket.
func (c *control) close() {
	c.server.Close()
	c.net.Close()
}

func (c *control) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, c.program.status()) })
	mux.HandleFunc("GET /v1/scripts", func(w http.ResponseWriter, _ *http.Request) { answer(w, c.program.scripts()) })
	mux.HandleFunc("GET /v1/store", handleGet(c.program.handleStore))
	mux.HandleFunc("POST "+backupPath, patient(handle(c.program.handleBackup)))
	mux.HandleFunc("POST /v1/reload", handle(c.program.handleReload))
	mux.HandleFunc("POST /v1/rollback", handle(c.program.handleRollback))
	return mux
}

// refusal is the body of an answer that says no.
type refusal struct {
	Error string `json:"error"`
}

// handle makes a handler of what takes one request and answers it.
func handle[T any](do func(ctx context.Context, request T) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var request T
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, controlBody))
		d.DisallowUnknownFields()
		err := d.Decode(&request)
		if err == nil && d.Decode(new(any)) != io.EOF {
			err = errors.New("more than one value")
		}
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			answer(w, refusal{"the request: " + err.Error()})
			return
		}
		out, err := do(r.Context(), request)
		if err != nil {
			w.WriteHeader(http.StatusConflict)
			out = refusal{err.Error()}
		}
		answer(w, out)
	}
}

// patient is for what takes as long as it takes.
func patient(do http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // as it was, where it cannot be set
		do(w, r)
	}
}

// handleGet makes a handler of what answers without a request.
func handleGet(do func() (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		out, err := do()
		if err != nil {
			w.WriteHeader(http.StatusConflict)
			out = refusal{err.Error()}
		}
		answer(w, out)
	}
}

func answer(w http.ResponseWriter, body any) {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(body) // to one who has gone
}

// controlListener accepts controlConns connections at once; the others wait.
type controlListener struct {
	net.Listener
	slots chan struct{}
	ended chan struct{}
	once  sync.Once
}

func newControlListener(n net.Listener) *controlListener {
	return &controlListener{Listener: n, slots: make(chan struct{}, controlConns), ended: make(chan struct{})}
}

func (l *controlListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.ended:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &controlConn{Conn: c, slots: l.slots}, nil
}

func (l *controlListener) Close() error {
	l.once.Do(func() { close(l.ended) })
	return l.Listener.Close()
}

type controlConn struct {
	net.Conn
	slots chan struct{}
	once  sync.Once
}

func (c *controlConn) Close() error {
	c.once.Do(func() { <-c.slots })
	return c.Conn.Close()
}

// peerKey is the key of peerOf in a request's context.
type peerKey struct{}

// peerOf names who asks: "uid 1000", or "somebody" where the system does not tell.
func peerOf(c net.Conn) string {
	if own, ok := c.(*controlConn); ok {
		c = own.Conn
	}
	if unix, ok := c.(*net.UnixConn); ok {
		if uid, ok := peerUID(unix); ok {
			return fmt.Sprint("uid ", uid)
		}
	}
	return "somebody"
}

// askedBy names who asks in a request's context.
func askedBy(ctx context.Context, command string) string {
	peer, _ := ctx.Value(peerKey{}).(string)
	return "lunamq " + command + " by " + peer
}
