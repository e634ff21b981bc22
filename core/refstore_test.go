package core

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// refStore is the simplest store that is durable as a store on disk is: batches
// of all connections are kept later, many at once and in order, by one
// goroutine that tells of them; messages that wait are handed out page by page.
// It can be slow, refuse writes and reads, and crash.
type refStore struct {
	disk *MemoryStore // what a crash leaves
	work sync.WaitGroup

	mu      sync.Mutex
	queue   []heldBatch
	writing bool
	crashed bool
	buried  chan struct{}            // closed when the clients of one that crashed have gone
	delay   time.Duration            // of a write
	refuse  func(*Batch) error       // a write; nil: none
	reading func(first uint64) error // a read; nil: none is refused
	pages   int                      // read
	largest int                      // page
}

var errDisk = errors.New("the disk is full")

func newRefStore() *refStore { return &refStore{disk: NewMemoryStore()} }

func (r *refStore) Commit(b *Batch, done Committed) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue = append(r.queue, heldBatch{b, done})
	if !r.writing {
		r.writing = true
		r.work.Go(r.writeLoop)
	}
	return false
}

func (r *refStore) writeLoop() {
	for {
		r.mu.Lock()
		list, delay := r.queue, r.delay
		r.queue = nil
		r.writing = len(list) > 0
		r.mu.Unlock()
		if len(list) == 0 {
			return
		}
		if delay > 0 {
			time.Sleep(delay)
		}
		errs := r.write(list)
		r.mu.Lock()
		crashed := r.crashed
		r.mu.Unlock()
		if crashed { // nobody is told anything any more, while somebody could hear it
			<-r.buried
		}
		for i, w := range list {
			w.done.Committed(errs[i])
		}
	}
}

// write keeps a group of batches, as one write to the disk.
func (r *refStore) write(list []heldBatch) []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	errs := make([]error, len(list))
	for i, w := range list {
		switch {
		case r.crashed:
			errs[i] = errDisk
		case r.refuse != nil:
			errs[i] = r.refuse(w.batch)
		}
		if errs[i] == nil {
			r.disk.Commit(w.batch, nil)
		}
	}
	return errs
}

// crash ends the store at once and returns the one that is found afterwards.
// The crashed one is buried when the clients have gone, so that the broker can end.
func (r *refStore) crash() *refStore {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.crashed, r.buried = true, make(chan struct{})
	after := newRefStore()
	after.delay = r.delay
	_ = r.disk.Load(func(op Op) error { after.disk.apply(&op); return nil })
	return after
}

// Load hands out messages that wait as sums.
func (r *refStore) Load(fn func(Op) error) error {
	var last Op // a message of which it is not known yet whether it waits
	var sum StoredBacklog
	count := func() {
		if last.Kind != 0 {
			sum.Count++
			sum.Bytes += int64(last.Queued.Message.Weight())
			if sum.First == 0 {
				sum.First = last.Seq
			}
			sum.Last = last.Seq
		}
		last = Op{}
	}
	session := ""
	handOut := func() error {
		count()
		if sum.Count == 0 {
			return nil
		}
		all := sum
		sum = StoredBacklog{}
		return fn(Op{Kind: PutBacklog, Session: session, Backlog: &all})
	}
	err := r.disk.Load(func(op Op) error {
		switch op.Kind {
		case PutMessage:
			count()
			last = op
			return nil
		case PutInflight, PutReleased:
			put := last
			last = Op{}
			if err := fn(put); err != nil {
				return err
			}
		case PutSession:
			if err := handOut(); err != nil {
				return err
			}
			session = op.Session
		}
		return fn(op)
	})
	return errors.Join(err, handOut())
}

func (r *refStore) Waiting(session string, from uint64, n, bytes int) ([]Op, error) {
	r.mu.Lock()
	reading := r.reading
	r.mu.Unlock()
	if reading != nil {
		if err := reading(from); err != nil {
			return nil, err
		}
	}
	ops, err := r.disk.Waiting(session, from, n, bytes)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pages++
	r.largest = max(r.largest, len(ops))
	return ops, err
}

func (r *refStore) Durable() bool { return true }

func (r *refStore) Close() error {
	r.work.Wait()
	return nil
}

// set changes how the store behaves from now on.
func (r *refStore) set(change func(*refStore)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r)
}

// left is how many messages the store holds.
func (r *refStore) left() (n int) {
	r.disk.mu.Lock()
	defer r.disk.mu.Unlock()
	for _, s := range r.disk.sessions {
		n += len(s.messages)
	}
	return n
}

// newRefStage is a broker in virtual time over a refStore.
func newRefStage(t *testing.T, set func(*Options), hooks ...any) (*stage, *refStore) {
	t.Helper()
	store := newRefStore()
	o := wireOptions()
	o.Store = store
	if set != nil {
		set(&o)
	}
	return newStage(t, o, hooks...), store
}

// restart ends the broker as a crash would and starts another on what is left.
func (s *stage) restart(o Options, peers ...*peer) (*stage, *refStore) {
	s.t.Helper()
	store := s.b.store.(*refStore)
	after := store.crash()
	for _, p := range peers {
		p.net.Close()
	}
	close(store.buried)
	synctest.Wait()
	s.end()
	o.Store = after
	return newStage(s.t, o), after
}
