package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"runtime/debug"
	"time"
)

// useMachine sets how garbage is collected, where the environment does not.
func (p *program) useMachine() {
	c := &p.config.Process
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(int(c.GCPercent))
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(c.MemoryLimit))
	}
}

// openPprof serves profiles where [process] pprof says so; the address is a
// loopback one, held by the check of the configuration.
func (p *program) openPprof() (io.Closer, error) {
	address := p.config.Process.Pprof
	if address == "off" {
		return io.NopCloser(nil), nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("profiles: %w: set [process] pprof to another address, or to \"off\"", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			p.log.Error("profiles are not served any more", "err", err)
		}
	}()
	p.log.Info("profiles are served", "url", "http://"+l.Addr().String()+"/debug/pprof/")
	return s, nil
}
