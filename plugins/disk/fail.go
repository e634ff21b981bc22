package disk

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// lookEvery is how many bytes are committed between two looks at what is
	// free, beside those by the clock.
	lookEvery = 8 << 20

	// maxRetry bounds the time between two attempts to open a store that failed.
	maxRetry = 30 * time.Second

	// trialBytes is what must be written and forced to the disk before a store
	// that failed is opened again.
	trialBytes = 64 << 10
)

// failLoop waits until d fails, answers everybody, and opens the store anew.
func (s *Store) failLoop(d *database) {
	defer s.loops.Done()
	select {
	case <-s.closed:
		return
	case <-d.failed:
	}
	err := d.err()
	s.failed(d, err)
	d.gate.close()
	s.reopen(isCorrupt(err))
}

// failed answers all that is queued with an error, and lets nothing more in.
func (s *Store) failed(d *database, err error) {
	if s.refuseAll(d, fmt.Errorf("the disk has failed: %w", err)) {
		s.metrics.failures.add(1)
		s.o.Log.Error("the store has failed: nothing is stored, and what should be is refused, until the disk can be written again", "path", s.o.Dir, "err", err)
	}
}

// refuseAll is the part of failed that is done once, under the lock.
func (s *Store) refuseAll(d *database, err error) (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.database != d || s.failure != nil {
		return false
	}
	s.failure, s.since = err, time.Now()
	refused := append(s.group, s.queue...)
	for i := range refused {
		refused[i].err = err
	}
	s.metrics.refused.add(int64(len(refused)))
	s.answerLocked(refused...)
	s.group, s.queue, s.queued = nil, nil, 0
	s.work.Broadcast()
	s.idle.Broadcast()
	return true
}

// reopen opens the store anew as soon as the disk can be written.
func (s *Store) reopen(damaged bool) {
	last := ""
	for delay := s.probe; ; delay = min(2*delay, maxRetry) {
		select {
		case <-s.stop:
			return
		case <-time.After(delay):
		}
		if s.tryDisk() != nil {
			continue
		}
		d, found, err := s.openSound(damaged)
		if err != nil {
			if text := err.Error(); text != last {
				last = text
				s.o.Log.Error("the disk can be written again, and the store cannot be opened; this is tried again", "path", s.o.Dir, "err", err)
			}
			continue
		}
		s.begin(d, found)
		return
	}
}

// begin takes an opened database into service.
func (s *Store) begin(d *database, found *scanner) {
	s.mu.Lock()
	closing := s.closing
	if !closing {
		s.database, s.failure, s.since = d, nil, time.Now()
		found.index.live(s.index.Load())
		s.index.Store(found.index)
		s.serve(d)
	}
	s.mu.Unlock()
	if closing {
		_ = d.leave() // nothing was written to it
		return
	}
	s.o.Log.Warn("the store works again", "path", s.o.Dir)
}

// tryDisk writes something, forces it to the disk and takes it away again.
func (s *Store) tryDisk() error {
	fs := s.o.FS
	if free, err := s.free(); err == nil && free < s.o.Reserve {
		return errLow
	}
	name := fs.PathJoin(s.o.Dir, "trial")
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, trialBytes))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), fs.Remove(name))
}

// free is how many bytes this process may still write to the disk.
func (s *Store) free() (int64, error) {
	usage, err := s.o.FS.GetDiskUsage(s.o.Dir)
	return int64(min(usage.AvailBytes, 1<<62)), err
}

// watchLoop looks now and then how much is free.
func (s *Store) watchLoop() {
	defer s.loops.Done()
	t := time.NewTicker(s.probe)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-t.C:
			s.look()
		}
	}
}

// lookSometimes is for the commit goroutine: by the clock alone a fast disk
// fills up between two looks.
func (s *Store) lookSometimes() {
	s.mu.Lock()
	due := s.written > lookEvery
	if due {
		s.written = 0
	}
	s.mu.Unlock()
	if due {
		s.look()
	}
}

// look sees how much is free.
func (s *Store) look() {
	free, err := s.free()
	if err != nil || s.o.Reserve < 0 || !s.noteFree(free) {
		return
	}
	if free < s.o.Reserve {
		s.o.Log.Error("too little is free on the disk: messages and values that should be stored are refused", "path", s.o.Dir, "free", free, "reserve", s.o.Reserve)
	} else {
		s.o.Log.Warn("enough is free on the disk again", "path", s.o.Dir, "free", free)
	}
}

// noteFree says whether so much being free changes anything. What was low is so
// until a quarter more than the reserve is free, so that it does not go to and fro.
func (s *Store) noteFree(free int64) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	enough := s.o.Reserve
	if s.low {
		enough += enough / 4
	}
	low := free < enough
	if low == s.low {
		return false
	}
	s.low = low
	if s.failure == nil {
		s.since = time.Now()
	}
	return true
}
