package config

import (
	"math"
	"time"

	"lunamq/core"
)

// defaultURL is the listener of those who configure none: loopback only.
const defaultURL = "tcp://127.0.0.1:1883"

// Default returns the built-in defaults: those of core.DefaultOptions, and what
// core does not know. It has no rules.
func Default() *Config {
	o := core.DefaultOptions()
	c := &Config{
		Node: o.Node,
		MQTT: MQTT{
			Offer:            defaultOffer(o.Listener),
			SessionExpiryV3:  Duration(o.SessionExpiryV3),
			MaxSessionExpiry: Duration(o.MaxSessionExpiry),
			QueueQoS0Offline: o.QueueQoS0Offline,
			QueueDrops:       "newest",
			DenyPublishV3:    "ack",
		},
		Limits: defaultLimits(o),
		Auth:   Auth{Default: "allow", Recheck: o.Recheck},
		Scripting: Scripting{
			Workers:   1,
			Budget:    1_000_000, // SCRIPT-API.md, "How scripts run"
			Deadline:  Duration(100 * time.Millisecond),
			WaitLimit: Duration(5 * time.Second),
			Queue:     100_000,
			QueueTime: Duration(5 * time.Second),
			Memory:    64 << 20,
			OnError:   "deny",
			KVBytes:   64 << 20,
			Poll:      Duration(5 * time.Second),
			Handover:  Duration(250 * time.Millisecond), // SCRIPT-API.md, "Reload" 6
			Env:       []string{},

			Keep:           5,
			RollbackErrors: 0, // off
			RollbackWindow: Duration(time.Minute),
		},
		Storage: Storage{
			Kind:     "disk",
			Path:     "data",
			Sync:     0, // always
			OnDamage: "start",
			Reserve:  64 << 20,
		},
		Sys:     Sys{Interval: Duration(o.SysInterval)},
		Process: Process{Driver: "poller", GCPercent: 100, HeapMinimum: 16 << 20, MemoryLimit: math.MaxInt64, Pprof: "off"},
		Log:     Log{Level: "info", Format: "text"},
	}
	c.Listeners = c.defaultListeners()
	return c
}

func defaultOffer(l core.ListenerOptions) Offer {
	return Offer{
		MaxQoS:                  Count(l.MaxQoS),
		RetainAvailable:         l.RetainAvailable,
		WildcardSubscriptions:   l.WildcardSubscriptions,
		SharedSubscriptions:     l.SharedSubscriptions,
		SubscriptionIdentifiers: l.SubscriptionIdentifiers,
		ReceiveMaximum:          Count(l.ReceiveMaximum),
		MaxPacketSize:           Size(l.MaxPacketSize),
		TopicAliasMaximum:       Count(l.TopicAliasMaximum),
		TopicAliasMaximumOut:    Count(l.TopicAliasMaximumOut),
		ServerKeepAlive:         Duration(l.ServerKeepAlive) * Duration(time.Second),
		MaxKeepAlive:            Never, // core's 0
		Protocols:               []string{"3.1", "3.1.1", "5"},
	}
}

func defaultLimits(o core.Options) Limits {
	return Limits{
		HandshakeTimeout:       Duration(o.HandshakeTimeout),
		HandshakePacketSize:    Size(o.HandshakePacketSize),
		WriteTimeout:           Duration(o.WriteTimeout),
		ShutdownTimeout:        Duration(o.ShutdownTimeout),
		MaxConnections:         Count(o.MaxConnections),
		ConnectionsPerListener: Count(o.Listener.MaxConnections),
		MaxPending:             Count(o.MaxPending),
		MaxSessions:            Count(o.MaxSessions),
		Inflight:               Count(o.Inflight),
		Queued:                 Count(o.Queued),
		QueuedBytes:            Size(o.QueuedBytes),
		OutboxBytes:            Size(o.OutboxBytes),
		Subscriptions:          Count(o.Subscriptions),
		Rates:                  Rates{Rate(o.Listener.PublishRate), Rate(o.Listener.PublishBytes)},
		TotalQueued:            Size(o.TotalQueued),
		TotalSubscriptions:     Count(o.TotalSubscriptions),
		Retained:               Count(o.Retained),
		RetainedBytes:          Size(o.RetainedBytes),
		TopicLevels:            Count(o.TopicLevels),
		MessagesPerEvent:       Count(o.MessagesPerEvent),
	}
}

func (c *Config) defaultListeners() []Listener {
	l := c.newListener(defaultURL)
	l.Name, l.scheme, l.address = "local", "tcp", "127.0.0.1:1883"
	return []Listener{l}
}

// newListener returns a listener that offers what all offer.
func (c *Config) newListener(url string) Listener {
	return Listener{
		URL:            url,
		MinVersion:     "1.2",
		Mode:           0o660,
		MaxConnections: c.Limits.ConnectionsPerListener,
		Offer:          c.MQTT.Offer,
		Rates:          c.Limits.Rates,
	}
}
