package disk

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"lunamq/core"
)

// Store is a core.Store on disk. Make one with Open.
type Store struct {
	// Immutable:
	o      Options
	lock   io.Closer
	stop   chan struct{} // closed when Close begins
	closed chan struct{} // closed when the database is
	probe  time.Duration // between two looks at the disk
	most   int64         // bytes that may be queued

	loaded  Counts
	metrics metrics
	index   atomic.Pointer[index]
	loops   sync.WaitGroup
	work    sync.Cond // something is queued, or ends; its lock is mu
	idle    sync.Cond // a group is done; its lock is mu
	told    sync.Cond // something is to be answered; its lock is mu

	mu sync.Mutex
	// Guarded by mu:
	database   *database
	failure    error // nil while all is well
	since      time.Time
	low        bool // less than the reserve is free
	closing    bool // nothing is taken any more
	ended      bool // nothing is answered any more but what is in answers
	queue      []pending
	queued     int64
	group      []pending // that is being committed
	answers    []pending
	written    int64 // bytes since the last look at the disk
	lastCommit time.Time
	backlogs   backlogs // until Load
	damaged    []string // folders put aside at the start
}

// probeEvery is how often the store looks how much is free, and whether a disk
// that failed can be written again.
const probeEvery = time.Second

// Open opens the store in a folder, which no other process may have open.
func Open(o Options) (*Store, error) { return open(o, probeEvery) }

func open(o Options, probe time.Duration) (*Store, error) {
	o = o.withDefaults()
	s := &Store{o: o, stop: make(chan struct{}), closed: make(chan struct{}), probe: probe, most: maxQueued, since: time.Now()}
	s.work.L, s.idle.L, s.told.L = &s.mu, &s.mu, &s.mu
	var err error
	if s.lock, err = lockFolder(o.FS, o.Dir); err != nil {
		return nil, err
	}
	d, found, err := s.openSound(false)
	if err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	s.database, s.backlogs, s.loaded = d, found.backlogs, found.counts
	s.index.Store(found.index)
	s.loops.Add(1)
	go s.answerLoop()
	s.serve(d)
	s.look()
	s.loops.Add(1)
	go s.watchLoop()
	return s, nil
}

// serve starts what belongs to a database.
func (s *Store) serve(d *database) {
	d.loops.Add(1)
	go s.commitLoop(d)
	if s.o.Sync > 0 {
		d.loops.Add(1)
		go s.syncLoop(d)
	}
	s.loops.Add(1)
	go s.failLoop(d)
}

func (s *Store) indexNow() *index { return s.index.Load() }

func (s *Store) databaseNow() *database {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.database
}

// dir is the folder of the database.
func (s *Store) dir() string { return s.o.FS.PathJoin(s.o.Dir, databaseName) }

// Durable implements core.Store.
func (s *Store) Durable() bool { return true }

// Settle waits until all that was given is answered.
func (s *Store) Settle() { _ = s.commitAndWait(&core.Batch{}) } // the error is that of the batches before

// Close commits what was given, answers it, and closes the store.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return nil
	}
	s.closing = true
	s.work.Broadcast()
	s.mu.Unlock()
	close(s.stop)
	err := s.closeDatabase()
	close(s.closed)
	s.mu.Lock()
	s.ended = true
	s.told.Broadcast()
	s.mu.Unlock()
	s.loops.Wait()
	return errors.Join(err, s.lock.Close())
}

// closeDatabase waits until the queue is empty or the database has failed, and
// closes it. One that has failed is left as it is.
func (s *Store) closeDatabase() error {
	s.mu.Lock()
	for len(s.queue)+len(s.group) > 0 && s.failure == nil {
		s.idle.Wait()
	}
	d, failure := s.database, s.failure
	s.mu.Unlock()
	if failure != nil {
		d.gate.close()
		return fmt.Errorf("the store had failed: %w", failure)
	}
	return d.run(func() error {
		d.loops.Wait()
		return d.Close()
	})
}

// Loaded are the counts of what was there when the store was opened.
func (s *Store) Loaded() Counts { return s.loaded }

// State says whether the store takes what it is given; if not, why, and in
// either case since when.
func (s *Store) State() (ok bool, why string, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.failure != nil:
		return false, s.failure.Error(), s.since
	case s.low:
		return false, errLow.Error(), s.since
	}
	return true, "", s.since
}

// Damaged returns the folders of what was damaged and put aside since Open.
func (s *Store) Damaged() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.damaged...)
}

var _ core.Store = (*Store)(nil)
