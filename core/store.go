package core

import (
	"sync"
	"time"

	"lunamq/core/packet"
)

// Store keeps what must outlive a connection and, with a store on disk, the
// process. The broker tells it what changes, in batches; what it was told and
// has confirmed it hands back at the next start. Sessions without expiry and
// QoS 0 messages that are not retained never come here.
type Store interface {
	// Load hands out what is kept, as the Put operations that make it again: a
	// session before what belongs to it (its subscriptions, then its messages in
	// flight in the order of Seq, each PutMessage followed at once by its
	// PutInflight or PutReleased, then PutReceived), retained messages, values.
	// Of messages that wait, which were never sent, a durable store hands out,
	// instead of the messages, one PutBacklog per session. It is called once,
	// before the first Commit.
	Load(fn func(Op) error) error
	// Commit applies all of b or nothing. Either it has when it returns true,
	// or it calls done once, later, from a goroutine of its own. Batches of
	// one caller are applied in its order. The batch belongs to the store until
	// then. The caller may hold a session's lock: Commit does not wait for the
	// disk, nor for any done.
	Commit(b *Batch, done Committed) (kept bool)
	// Waiting reads messages of a session that wait (not in flight), from Seq on,
	// in order, as PutMessage: at most n, and not many more than bytes of Weight,
	// but one at least. It may read the disk; nobody holds a lock while calling
	// it. It sees every batch that is kept.
	Waiting(session string, from uint64, n, bytes int) ([]Op, error)
	// Durable says that what is kept outlives the process.
	Durable() bool
	// Close tells every done that is outstanding before it returns. A Commit
	// that comes later is refused by its done.
	Close() error
}

// Ailing is implemented by a Store that may stop to take what it is given while
// the broker runs, and begin again.
type Ailing interface {
	// State says whether it takes it; if not, why, and in either case since when.
	State() (ok bool, why string, since time.Time)
}

// Committed is told when a batch is kept, or why it could not be. It returns at
// once: it runs no hooks and waits for nobody.
type Committed interface{ Committed(err error) }

// Batch gathers what one packet, message or timer changes.
type Batch struct {
	Ops     []Op
	retains bool // some are of retained messages
}

// batches are those that the store is done with, for their memory: growing it anew
// for each took a tenth of what setting a retained message costs.
var batches = sync.Pool{New: func() any { return new(Batch) }}

// keptOps bounds what a batch keeps (some 250 KiB).
const keptOps = 1024

// recycle gives a batch back that nobody reads any more; nil is none.
func (b *Batch) recycle() {
	if b == nil || cap(b.Ops) > keptOps {
		return
	}
	clear(b.Ops)
	*b = Batch{Ops: b.Ops[:0]}
	batches.Put(b)
}

func (b *Batch) add(op Op) {
	b.Ops = append(b.Ops, op)
	b.retains = b.retains || op.Kind == PutRetained || op.Kind == DeleteRetained
}

func (b *Batch) empty() bool { return len(b.Ops) == 0 }

// OpKind is what an Op does.
type OpKind uint8

// The operations on a store. Put makes or replaces what its name says.
//
// Sessions of one name follow each other, and what an old connection changes may
// come when the next session is stored already. So each has a Life, and an
// operation on a session is left out if the one that is stored has another Life
// (PutSession begins that anew). It is not kept: what was loaded has none, 0, and
// takes what comes.
const (
	PutSession         OpKind = iota + 1 // Session, Client
	DeleteSession                        // Session, with all that belongs to it
	PutSubscription                      // Session, Subscription
	DeleteSubscription                   // Session, Subscription.Requested
	PutMessage                           // Session, Seq, Queued: waits for the client; a Seq is put once
	PutInflight                          // Session, Seq, ID: the message was sent under ID
	PutReleased                          // Session, Seq, ID: PUBREC came, PUBCOMP is awaited
	DeleteMessage                        // Session, Seq
	PutReceived                          // Session, ID: a QoS 2 identifier of the client
	DeleteReceived                       // Session, ID
	PutRetained                          // Queued.Message
	DeleteRetained                       // Topic
	PutBacklog                           // Session, Backlog: only handed out, by Load
	PutValue                             // Bucket, Key, Value, ExpiresAt
	DeleteValue                          // Bucket, Key
)

// Op is one change.
type Op struct {
	Kind         OpKind
	Session      string // the session's name
	Seq          uint64 // of a message in its session; increasing
	ID           uint16
	Life         uint32 // of the session
	Topic        string
	Client       *StoredClient
	Subscription *StoredSubscription
	Queued       StoredMessage
	Backlog      *StoredBacklog
	Bucket, Key  string // of a rule's durable value
	Value        []byte
	ExpiresAt    int64 // of Value: unix nanoseconds, 0 never

	entry *retained // of PutRetained: what the message is in memory
}

// StoredBacklog sums up the messages of a session that wait.
type StoredBacklog struct {
	Count       int
	Bytes       int64  // the sum of Weight
	First, Last uint64 // Seq
}

// StoredClient is what is kept of a session and the client it belongs to.
type StoredClient struct {
	Client         Client // its facts; Vars apart
	Vars           map[string]any
	Limits         Limits
	Expiry         uint32 // seconds after the connection's end
	DisconnectedAt int64  // unix nanoseconds; 0: connected
	Will           *StoredWill
}

// StoredWill is a will that waits for its delay or its session's end.
type StoredWill struct {
	Message *Message
	Delay   uint32
	Due     int64 // unix nanoseconds; 0 while connected
	Reason  packet.ReasonCode
	Text    string
}

// StoredSubscription is one subscription of a session.
type StoredSubscription struct {
	Requested         string // as the client wrote it
	Filter            string // as rules left it, without $share/group/ and mount
	QoS               byte
	NoLocal           bool
	RetainAsPublished bool
	RetainHandling    byte
	Identifier        uint32
}

// StoredMessage is a message with what its receiver needs to know of it.
type StoredMessage struct {
	Message     *Message
	ExpiresAt   int64 // unix nanoseconds, 0 never
	QoS         byte
	Retain      bool
	Identifiers []uint32
	Filter      string // of the subscription that brought it, as requested
}

// noStore is the store of a broker without one: all there is is in the broker's
// own memory, and is forgotten with it.
type noStore struct{}

func (noStore) Load(func(Op) error) error                      { return nil }
func (noStore) Commit(*Batch, Committed) bool                  { return true }
func (noStore) Durable() bool                                  { return false }
func (noStore) Close() error                                   { return nil }
func (noStore) Waiting(string, uint64, int, int) ([]Op, error) { return nil, nil }
