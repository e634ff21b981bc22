package core

import (
	"sort"
	"sync"
	"sync/atomic"
)

// Metrics are the broker's counters and gauges. Counters only grow.
type Metrics struct {
	Connected        atomic.Int64 // clients connected now
	MaxConnected     atomic.Int64
	Connections      atomic.Int64 // sockets open now, those in the handshake included
	Accepted         atomic.Int64 // sockets
	Refused          atomic.Int64 // sockets closed because there were too many
	Connects         atomic.Int64 // accepted CONNECTs
	ConnectsDenied   atomic.Int64
	Disconnects      atomic.Int64
	Subscriptions    atomic.Int64 // now
	SubscribesDenied atomic.Int64
	PublishesDenied  atomic.Int64
	WillsSent        atomic.Int64
	SessionsExpired  atomic.Int64
	RetainedRefused  atomic.Int64
	ProtocolErrors   atomic.Int64
	Panics           atomic.Int64
	HookPanics       atomic.Int64
	StoreErrors      atomic.Int64

	ScriptMessagesRefused atomic.Int64

	BytesReceived        atomic.Int64
	BytesSent            atomic.Int64
	PacketsReceived      atomic.Int64
	PacketsSent          atomic.Int64 // but for a connection's last
	MessagesReceived     atomic.Int64
	MessagesSent         atomic.Int64
	PublishReceived      atomic.Int64
	PublishReceivedBytes atomic.Int64
	PublishSent          atomic.Int64
	PublishSentBytes     atomic.Int64

	Dropped Drops
}

// Drops counts messages lost on purpose, by cause.
type Drops struct {
	mu sync.RWMutex
	m  map[Cause]*atomic.Int64
}

func (d *Drops) add(c Cause) { d.addN(c, 1) }

func (d *Drops) addN(c Cause, count int64) {
	d.mu.RLock()
	n := d.m[c]
	d.mu.RUnlock()
	if n == nil {
		d.mu.Lock()
		if d.m == nil {
			d.m = make(map[Cause]*atomic.Int64)
		}
		if n = d.m[c]; n == nil {
			n = new(atomic.Int64)
			d.m[c] = n
		}
		d.mu.Unlock()
	}
	n.Add(count)
}

// Get returns how many messages were lost because of c.
func (d *Drops) Get(c Cause) int64 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if n := d.m[c]; n != nil {
		return n.Load()
	}
	return 0
}

// Total returns how many messages were lost in all, those that nobody
// subscribed to apart.
func (d *Drops) Total() (n int64) {
	for _, c := range d.Causes() {
		if c != CauseNoSubscriber {
			n += d.Get(c)
		}
	}
	return n
}

// Causes returns the causes seen so far, sorted.
func (d *Drops) Causes() []Cause {
	d.mu.RLock()
	defer d.mu.RUnlock()
	out := make([]Cause, 0, len(d.m))
	for c := range d.m {
		out = append(out, c)
	}
	sort.Slice(out, func(i, j int) bool { return out[i] < out[j] })
	return out
}

// connected counts a client in, and the most there have been.
func (m *Metrics) connected() {
	now := m.Connected.Add(1)
	for most := m.MaxConnected.Load(); now > most && !m.MaxConnected.CompareAndSwap(most, now); most = m.MaxConnected.Load() {
	}
}

// add takes over what a round has counted.
func (m *Metrics) add(c *counts) {
	if *c == (counts{}) {
		return
	}
	m.PacketsReceived.Add(c.packetsReceived)
	m.MessagesReceived.Add(c.messagesReceived)
	m.PublishReceived.Add(c.publishReceived)
	m.PublishReceivedBytes.Add(c.publishReceivedBytes)
	m.PacketsSent.Add(c.packetsSent)
	m.MessagesSent.Add(c.messagesSent)
	m.PublishSent.Add(c.publishSent)
	m.PublishSentBytes.Add(c.publishSentBytes)
}
