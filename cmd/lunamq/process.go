package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// useMachine sets how garbage is collected, and on how many processors Go code
// runs, where the environment does not. The poller keeps one while it waits, which
// takes no time of it: the others are there for the store and the rules. With two
// processors and messages on disk that is a quarter more of them.
func (p *program) useMachine() {
	c := &p.config.Process
	if os.Getenv("GOMAXPROCS") == "" && c.Driver == "poller" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
	if os.Getenv("GOGC") == "" {
		p.heap = &heapMinimum{bytes: int64(c.HeapMinimum), least: int(c.GCPercent)}
		p.heap.keep()
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

// Memory that a burst has left behind is given back to the system when it is
// over: Go itself collects garbage every two minutes where nothing is
// allocated, and gives back what is free slowly, lest it be needed again.
const (
	quietLook  = 2 * time.Second
	quietBelow = 256 << 10 // bytes allocated between two looks
	worthwhile = 4 << 20   // bytes allocated since memory was last given back
	giveShare  = 100       // the time between two is at least so many times what one takes
)

// giveBackLoop gives memory back while the broker has little to do.
func giveBackLoop(ctx context.Context) {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	read := func() uint64 {
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	look := time.NewTicker(quietLook)
	defer look.Stop()
	var last, given uint64
	var earliest time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		now := read()
		quiet := now-last < quietBelow
		last = now
		if !quiet || now-given < worthwhile || time.Now().Before(earliest) {
			continue
		}
		began := time.Now()
		debug.FreeOSMemory()
		given, earliest = now, time.Now().Add(giveShare*time.Since(began))
	}
}
