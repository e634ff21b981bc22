package disk

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"lunamq/core"
)

const (
	// maxGroup bounds the bytes of one group, so that the first in it do not wait
	// for all that is queued. Pebble turns batches of half a memtable into tables.
	maxGroup = 1 << 20

	// maxQueued bounds the bytes that wait for the commit goroutine. The broker
	// lets each connection wait for its own answers (core/ack.go, waitForStore),
	// so only many connections with large messages on a slow disk come here.
	maxQueued = 256 << 20
)

// Why a batch is refused.
var (
	errBehind = errors.New("the disk is too slow for what comes")
	errLow    = errors.New("too little is free on the disk")
	errClosed = errors.New("the store is closed")
)

// pending is a batch on its way; afterwards, with err, an answer on its way.
type pending struct {
	batch *core.Batch
	done  core.Committed
	size  int64
	err   error
}

// Commit implements core.Store.
func (s *Store) Commit(b *core.Batch, done core.Committed) (kept bool) {
	p := pending{batch: b, done: done}
	for i := range b.Ops {
		p.size += sizeOf(&b.Ops[i])
	}
	growing := grows(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.err = s.refusalLocked(p.size, growing); p.err != nil {
		s.metrics.refused.add(1)
		if s.ended { // by now nobody answers in order
			if done != nil {
				go done.Committed(p.err)
			}
			return false
		}
		s.answerLocked(p)
		return false
	}
	s.queue = append(s.queue, p)
	s.queued += p.size
	s.work.Signal()
	return false
}

// refusalLocked says why a batch is not taken, nil if it is.
func (s *Store) refusalLocked(size int64, growing bool) error {
	switch {
	case s.closing:
		return errClosed
	case s.failure != nil:
		return s.failure
	case growing && s.low:
		return errLow
	case growing && s.queued > 0 && s.queued+size > s.most:
		return errBehind
	}
	return nil
}

func (s *Store) answerLocked(p ...pending) {
	s.answers = append(s.answers, p...)
	s.told.Signal()
}

// answerLoop tells who waits, in order, until all is told and nothing more can come.
func (s *Store) answerLoop() {
	defer s.loops.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for len(s.answers) == 0 {
			if s.ended {
				return
			}
			s.told.Wait()
		}
		answers := s.answers
		s.answers = nil
		s.mu.Unlock()
		for i := range answers {
			if p := &answers[i]; p.done != nil {
				p.done.Committed(p.err)
			}
		}
		s.mu.Lock()
	}
}

// commitLoop commits what is queued to d, until the store is closed or d has
// failed.
func (s *Store) commitLoop(d *database) {
	defer d.loops.Done()
	w := &writer{index: s.indexNow()}
	for {
		group := s.takeGroup(d)
		if group == nil {
			return
		}
		began := time.Now()
		err := caught(func() error { return s.commitGroup(d, w, group) })
		if err != nil {
			d.fail(err)
		}
		if !s.groupDone(d, time.Since(began)) {
			return
		}
	}
}

// takeGroup waits for work and takes up to maxGroup bytes of it; nil: there is
// none any more.
func (s *Store) takeGroup(d *database) []pending {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) == 0 && !s.closing && s.database == d && s.failure == nil {
		s.work.Wait()
	}
	if len(s.queue) == 0 || s.database != d || s.failure != nil {
		return nil
	}
	n, size := 0, int64(0)
	for n < len(s.queue) && (n == 0 || size+s.queue[n].size <= maxGroup) {
		size += s.queue[n].size
		n++
	}
	s.group = append(s.group[:0], s.queue[:n]...)
	clear(s.queue[:n])
	if s.queue = s.queue[n:]; len(s.queue) == 0 {
		s.queue = nil
	}
	s.queued -= size
	s.written += size
	return s.group
}

// commitGroup encodes a group and writes it with one sync.
func (s *Store) commitGroup(d *database, w *writer, group []pending) error {
	w.batch = d.NewBatch()
	for i := range group {
		for j := range group[i].batch.Ops {
			if err := w.write(&group[i].batch.Ops[j]); err != nil {
				return err
			}
		}
	}
	if w.batch.Empty() {
		return w.batch.Close()
	}
	if err := w.batch.Commit(&pebble.WriteOptions{Sync: s.o.Sync == SyncAlways}); err != nil {
		return err
	}
	d.unsynced.Store(s.o.Sync != SyncAlways)
	return w.batch.Close()
}

// groupDone answers the group, unless d has failed meanwhile and all was answered.
func (s *Store) groupDone(d *database, took time.Duration) (goOn bool) {
	if err := d.err(); err != nil {
		s.failed(d, err)
	}
	s.lookSometimes()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.database != d || s.failure != nil {
		return false
	}
	s.metrics.committed(len(s.group), took)
	s.lastCommit = time.Now()
	s.answerLocked(s.group...)
	s.group = nil
	s.idle.Broadcast()
	return true
}

// syncLoop forces what was committed to the disk, every Options.Sync.
func (s *Store) syncLoop(d *database) {
	defer d.loops.Done()
	t := time.NewTicker(s.o.Sync)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-d.failed:
			return
		case <-t.C:
		}
		if !d.unsynced.Swap(false) {
			continue
		}
		if err := caught(func() error { return d.LogData(nil, pebble.Sync) }); err != nil {
			d.fail(fmt.Errorf("sync: %w", err))
		}
	}
}
