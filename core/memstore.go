package core

import (
	"cmp"
	"maps"
	"slices"
	"sync"
)

// MemoryStore is the store that forgets with the process. A broker that is
// started with the store of an earlier one goes on where that stopped.
type MemoryStore struct {
	mu       sync.Mutex
	sessions map[string]*memorySession
	retained map[string]Op
	values   map[valueName]Op
}

type valueName struct{ bucket, key string }

type memorySession struct {
	put      Op
	subs     map[string]Op
	messages map[uint64]*memoryMessage
	received map[uint16]struct{}
}

type memoryMessage struct{ put, state Op }

// NewMemoryStore returns an empty store.
func NewMemoryStore() *MemoryStore {
	return &MemoryStore{sessions: make(map[string]*memorySession), retained: make(map[string]Op), values: make(map[valueName]Op)}
}

// Commit implements Store: it is kept at once.
func (m *MemoryStore) Commit(b *Batch, _ Committed) (kept bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range b.Ops {
		m.apply(&b.Ops[i])
	}
	return true
}

func (m *MemoryStore) apply(op *Op) {
	switch op.Kind {
	case PutRetained:
		m.retained[op.Queued.Message.Topic] = *op
		return
	case DeleteRetained:
		delete(m.retained, op.Topic)
		return
	case PutValue:
		m.values[valueName{op.Bucket, op.Key}] = *op
		return
	case DeleteValue:
		delete(m.values, valueName{op.Bucket, op.Key})
		return
	}
	s := m.sessions[op.Session]
	other := s != nil && s.put.Life != 0 && s.put.Life != op.Life
	switch {
	case op.Kind == PutSession:
		if s == nil || other {
			s = &memorySession{subs: make(map[string]Op), messages: make(map[uint64]*memoryMessage), received: make(map[uint16]struct{})}
			m.sessions[op.Session] = s
		}
		s.put = *op
	case s == nil || other: // the session has ended meanwhile, and all of it
	case op.Kind == DeleteSession:
		delete(m.sessions, op.Session)
	default:
		s.apply(op)
	}
}

func (s *memorySession) apply(op *Op) {
	switch op.Kind {
	case PutSubscription:
		s.subs[op.Subscription.Requested] = *op
	case DeleteSubscription:
		delete(s.subs, op.Subscription.Requested)
	case PutMessage:
		s.messages[op.Seq] = &memoryMessage{put: *op}
	case PutInflight, PutReleased:
		if msg := s.messages[op.Seq]; msg != nil {
			msg.state = *op
		}
	case DeleteMessage:
		delete(s.messages, op.Seq)
	case PutReceived:
		s.received[op.ID] = struct{}{}
	case DeleteReceived:
		delete(s.received, op.ID)
	}
}

// Load implements Store.
func (m *MemoryStore) Load(fn func(Op) error) error {
	m.mu.Lock()
	ops := m.all()
	m.mu.Unlock()
	for _, op := range ops {
		if err := fn(op); err != nil {
			return err
		}
	}
	return nil
}

func (m *MemoryStore) all() (ops []Op) {
	for _, op := range m.retained {
		ops = append(ops, op)
	}
	ops = slices.AppendSeq(ops, maps.Values(m.values))
	for name, s := range m.sessions {
		s.put.Life = 0
		ops = append(ops, s.put)
		ops = slices.AppendSeq(ops, maps.Values(s.subs))
		for _, msg := range s.inOrder() {
			ops = append(ops, msg.put)
			if msg.state.Kind != 0 {
				ops = append(ops, msg.state)
			}
		}
		for id := range s.received {
			ops = append(ops, Op{Kind: PutReceived, Session: name, ID: id})
		}
	}
	return ops
}

// inOrder returns the messages in the order of their Seq.
func (s *memorySession) inOrder() []*memoryMessage {
	messages := slices.Collect(maps.Values(s.messages))
	slices.SortFunc(messages, func(a, b *memoryMessage) int { return cmp.Compare(a.put.Seq, b.put.Seq) })
	return messages
}

// Waiting implements Store.
func (m *MemoryStore) Waiting(session string, from uint64, n, bytes int) (ops []Op, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sessions[session]
	if s == nil {
		return nil, nil
	}
	for _, msg := range s.inOrder() {
		if msg.state.Kind != 0 || msg.put.Seq < from {
			continue
		}
		if len(ops) == n || bytes <= 0 && len(ops) > 0 {
			break
		}
		ops = append(ops, msg.put)
		bytes -= msg.put.Queued.Message.Weight()
	}
	return ops, nil
}

// Durable implements Store.
func (m *MemoryStore) Durable() bool { return false }

// Close implements Store.
func (m *MemoryStore) Close() error { return nil }
