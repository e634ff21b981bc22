package core

import (
	"log/slog"
	"math"
	"time"
)

// Unlimited is the bound that does not bind; configuration writes it as the
// word "unlimited", never as 0.
const Unlimited = math.MaxInt32

// Options is the configuration of a broker. DefaultOptions is sane; start from
// it. All sizes are bytes.
type Options struct {
	// Listener holds what may differ from listener to listener.
	Listener ListenerOptions

	// Handshake: from accept to an accepted CONNECT.
	HandshakeTimeout    time.Duration // one deadline for all of it, TLS and WebSocket included
	HandshakePacketSize int           // of the CONNECT

	MaxConnections int // at once, those in the handshake included
	MaxSessions    int // connected or not
	MaxPending     int // connections in the handshake at once

	Inflight           int   // QoS 1 and 2 messages unacknowledged at once towards one client, however large its receive maximum
	Queued             int   // messages waiting for one client, in memory or in a durable store
	QueuedBytes        int   // and their bytes
	OutboxBytes        int   // encoded and not yet taken by the client's socket
	TotalQueued        int64 // bytes in memory for all clients together: queued, in flight, and left in outboxes by slow clients
	Subscriptions      int   // of one client
	TotalSubscriptions int
	TopicLevels        int // of a topic name or filter
	Retained           int // messages
	RetainedBytes      int64
	MessagesPerEvent   int // made by rules because of one event, in all

	DropOldest       bool // which end of a full queue is dropped: the oldest message, else the newest
	QueueQoS0Offline bool // keep QoS 0 messages for sessions without a connection

	SessionExpiryV3  time.Duration // of 3.x sessions with clean session 0
	MaxSessionExpiry time.Duration // of every session; MQTT 5 clients are told

	DenyPublishV3Disconnects bool // a denied publish of 3.x closes the connection, instead of being acknowledged and dropped

	AuthDefaultDeny bool // nobody allowed and nobody denied: deny
	Packets         bool // packet hooks are shown every packet; it costs dearly

	Recheck bool // what a rule changed is authorised again

	WriteTimeout    time.Duration // a client whose socket takes nothing for so long is disconnected
	ShutdownTimeout time.Duration // for clients to take the last packets

	SysInterval time.Duration // of $SYS/broker, 0 off
	Version     string        // for $SYS/broker/version
	Node        string        // name of this broker

	Driver Driver

	Log   *slog.Logger
	Store Store // nil: nothing outlives the broker
}

// Driver is how the bytes of connections come and go.
type Driver uint8

// The drivers. The poller serves plain TCP on Linux; everything else has a
// goroutine for each connection. While messages come, the poller keeps one of Go's
// processors also when it waits: with few of them, raise GOMAXPROCS by one.
const (
	DriverPoller Driver = iota
	DriverGoroutine
)

// ListenerOptions is what a server announces, and bounds per connection; for
// all or for one listener.
type ListenerOptions struct {
	MaxQoS                  byte
	RetainAvailable         bool
	ReceiveMaximum          int // QoS 1 and 2 messages unacknowledged at once from one client
	MaxPacketSize           int
	TopicAliasMaximum       int // from the client
	TopicAliasMaximumOut    int // towards the client, at most what it allows
	ServerKeepAlive         int // seconds told to MQTT 5 clients in place of theirs; 0 theirs
	MaxKeepAlive            int // seconds; a client that asks for more, or for none, gets this with MQTT 5 and is refused with 3.x, which cannot be told. 0 no maximum
	WildcardSubscriptions   bool
	SharedSubscriptions     bool
	SubscriptionIdentifiers bool
	MaxConnections          int
	PublishRate             float64 // messages per second and client, 0 no limit
	PublishBytes            float64 // payload bytes per second and client, 0 no limit
	Protocols               []int   // levels spoken: 3, 4, 5; empty: all
}

// DefaultOptions returns the built-in defaults, those of config.toml.
func DefaultOptions() Options {
	return Options{
		Listener: ListenerOptions{
			MaxQoS:                  2,
			RetainAvailable:         true,
			ReceiveMaximum:          100,
			MaxPacketSize:           1 << 20,
			TopicAliasMaximum:       32,
			TopicAliasMaximumOut:    32,
			MaxKeepAlive:            0,
			WildcardSubscriptions:   true,
			SharedSubscriptions:     true,
			SubscriptionIdentifiers: true,
			MaxConnections:          Unlimited,
		},
		HandshakeTimeout:    10 * time.Second,
		HandshakePacketSize: 64 << 10,
		MaxConnections:      100_000,
		MaxSessions:         200_000,
		MaxPending:          2_000,
		Inflight:            100,
		Queued:              1_000,
		QueuedBytes:         16 << 20,
		OutboxBytes:         4 << 20,
		TotalQueued:         1 << 30,
		Subscriptions:       1_000,
		TotalSubscriptions:  5_000_000,
		TopicLevels:         128,
		Retained:            1_000_000,
		RetainedBytes:       1 << 30,
		MessagesPerEvent:    1_000,
		SessionExpiryV3:     7 * 24 * time.Hour,
		MaxSessionExpiry:    30 * 24 * time.Hour,
		Recheck:             true,
		WriteTimeout:        30 * time.Second,
		ShutdownTimeout:     5 * time.Second,
		SysInterval:         10 * time.Second,
		Version:             "lunamq",
		Node:                "lunamq",
		Log:                 slog.New(slog.DiscardHandler),
	}
}
