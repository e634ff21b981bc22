//go:build !linux

package bench

import (
	"os"
	"sync"
	"time"
)

// ticker ticks as well as the runtime can.
type ticker struct {
	every   time.Duration
	began   time.Time
	seen    uint64
	stopped chan struct{}
	once    sync.Once
}

func newTicker(every time.Duration) (*ticker, error) {
	return &ticker{every: every, began: time.Now(), stopped: make(chan struct{})}, nil
}

// wait returns how many ticks there were since the last, at least one.
func (t *ticker) wait() (uint64, error) {
	select {
	case <-time.After(time.Until(t.began.Add(time.Duration(t.seen+1) * t.every))):
	case <-t.stopped:
		return 0, os.ErrClosed
	}
	n := uint64(time.Since(t.began)/t.every) - t.seen
	t.seen += max(n, 1)
	return max(n, 1), nil
}

// stop makes wait return an error.
func (t *ticker) stop() { t.once.Do(func() { close(t.stopped) }) }
