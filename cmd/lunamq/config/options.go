package config

import (
	"runtime"
	"slices"
	"time"

	"lunamq/core"
)

// Core returns the broker's options. Log, Store and Version are the program's.
func (c *Config) Core() core.Options {
	m, l := &c.MQTT, &c.Limits
	all := c.newListener("")
	return core.Options{
		Listener:                 all.Options(),
		HandshakeTimeout:         time.Duration(l.HandshakeTimeout),
		HandshakePacketSize:      l.HandshakePacketSize.Int(),
		MaxConnections:           int(l.MaxConnections),
		MaxSessions:              int(l.MaxSessions),
		MaxPending:               int(l.MaxPending),
		Inflight:                 int(l.Inflight),
		Queued:                   int(l.Queued),
		QueuedBytes:              l.QueuedBytes.Int(),
		OutboxBytes:              l.OutboxBytes.Int(),
		TotalQueued:              int64(l.TotalQueued),
		Subscriptions:            int(l.Subscriptions),
		TotalSubscriptions:       int(l.TotalSubscriptions),
		TopicLevels:              int(l.TopicLevels),
		Retained:                 int(l.Retained),
		RetainedBytes:            int64(l.RetainedBytes),
		MessagesPerEvent:         int(l.MessagesPerEvent),
		DropOldest:               m.QueueDrops == "oldest",
		QueueQoS0Offline:         m.QueueQoS0Offline,
		SessionExpiryV3:          time.Duration(m.SessionExpiryV3),
		MaxSessionExpiry:         time.Duration(m.MaxSessionExpiry),
		DenyPublishV3Disconnects: m.DenyPublishV3 == "disconnect",
		AuthDefaultDeny:          c.Auth.Default == "deny",
		Recheck:                  c.Auth.Recheck,
		Packets:                  c.Scripting.Packets,
		WriteTimeout:             time.Duration(l.WriteTimeout),
		ShutdownTimeout:          time.Duration(l.ShutdownTimeout),
		SysInterval:              time.Duration(c.Sys.Interval),
		Node:                     c.Node,
		Driver:                   driver(c.Process.Driver),
	}
}

func driver(name string) core.Driver {
	if name == "goroutine" {
		return core.DriverGoroutine
	}
	return core.DriverPoller
}

// Options returns what this listener announces and bounds.
func (l *Listener) Options() core.ListenerOptions {
	return core.ListenerOptions{
		MaxQoS:                  byte(l.MaxQoS),
		RetainAvailable:         l.RetainAvailable,
		ReceiveMaximum:          int(l.ReceiveMaximum),
		MaxPacketSize:           l.MaxPacketSize.Int(),
		TopicAliasMaximum:       int(l.TopicAliasMaximum),
		TopicAliasMaximumOut:    int(l.TopicAliasMaximumOut),
		ServerKeepAlive:         seconds(l.ServerKeepAlive),
		MaxKeepAlive:            seconds(l.MaxKeepAlive),
		WildcardSubscriptions:   l.WildcardSubscriptions,
		SharedSubscriptions:     l.SharedSubscriptions,
		SubscriptionIdentifiers: l.SubscriptionIdentifiers,
		MaxConnections:          int(l.MaxConnections),
		PublishRate:             float64(l.PublishRate),
		PublishBytes:            float64(l.PublishBytes),
		Protocols:               levels(l.Protocols),
	}
}

// seconds of a keep alive; "unlimited" is 0, no maximum.
func seconds(d Duration) int {
	if d == Never {
		return 0
	}
	return int(time.Duration(d) / time.Second)
}

// levels are the protocol levels of CONNECT for the versions' names; nil for
// all three. (MQTT 3.1.1, 3.1.2.2; MQTT 5.0, 3.1.2.2)
func levels(names []string) []int {
	var out []int
	for i, name := range []string{"3.1", "3.1.1", "5"} {
		if slices.Contains(names, name) {
			out = append(out, 3+i)
		}
	}
	if len(out) == 3 {
		return nil
	}
	return out
}

// Worlds returns the number of Lua worlds; "auto" is one for each processor.
func (s *Scripting) Worlds() int {
	if s.Workers == 0 {
		return runtime.GOMAXPROCS(0)
	}
	return int(s.Workers)
}
