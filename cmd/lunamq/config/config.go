package config

import "log/slog"

// Config is config.toml. What each key means is written there.
type Config struct {
	Node      string     `toml:"node"`
	Listeners []Listener `toml:"listener"`
	MQTT      MQTT       `toml:"mqtt"`
	Limits    Limits     `toml:"limits"`
	Auth      Auth       `toml:"auth"`
	Scripting Scripting  `toml:"scripting"`
	Storage   Storage    `toml:"storage"`
	Sys       Sys        `toml:"sys"`
	Process   Process    `toml:"process"`
	Log       Log        `toml:"log"`
}

// Listener is one way in. Its offer and rates are those of [mqtt] and [limits]
// where it sets none.
type Listener struct {
	Name string `toml:"name"`
	URL  string `toml:"url"`

	// tls and wss:
	Cert              string `toml:"cert"`
	Key               string `toml:"key"`
	ClientCA          string `toml:"client_ca"`
	RequireClientCert bool   `toml:"require_client_cert"`
	MinVersion        string `toml:"min_version" oneof:"1.2|1.3"`

	// ws and wss:
	Path    string   `toml:"path"`
	Origins []string `toml:"origins"`

	// unix:
	Mode Mode `toml:"mode" range:"0000..0777"`

	MaxConnections Count `toml:"max_connections" word:"unlimited" range:"1..2000000000"`
	Offer
	Rates

	scheme, address string // of URL, set by the check
}

// Offer is what the server announces, for all listeners or for one.
type Offer struct {
	MaxQoS                  Count    `toml:"max_qos" range:"0..2"`
	RetainAvailable         bool     `toml:"retain_available"`
	WildcardSubscriptions   bool     `toml:"wildcard_subscriptions"`
	SharedSubscriptions     bool     `toml:"shared_subscriptions"`
	SubscriptionIdentifiers bool     `toml:"subscription_identifiers"`
	ReceiveMaximum          Count    `toml:"receive_maximum" range:"1..65535"`
	MaxPacketSize           Size     `toml:"max_packet_size" range:"64..268435460"`
	TopicAliasMaximum       Count    `toml:"topic_alias_maximum" range:"0..65535"`
	TopicAliasMaximumOut    Count    `toml:"topic_alias_maximum_out" range:"0..65535"`
	ServerKeepAlive         Duration `toml:"server_keep_alive" word:"off" range:"1s..65535s"`
	MaxKeepAlive            Duration `toml:"max_keep_alive" word:"unlimited" range:"1s..65535s"`
	Protocols               []string `toml:"protocols" oneof:"3.1|3.1.1|5"`
}

// Rates bound what one client sends.
type Rates struct {
	PublishRate  Rate `toml:"publish_rate" word:"unlimited" range:"0.001..1000000000"`
	PublishBytes Rate `toml:"publish_bytes" word:"unlimited" range:"1..1000000000000"`
}

// MQTT is the section of what the protocol leaves to the server.
type MQTT struct {
	Offer
	SessionExpiryV3  Duration `toml:"session_expiry_v3" word:"unlimited" range:"1s..49710d"`
	MaxSessionExpiry Duration `toml:"max_session_expiry" word:"unlimited" range:"1s..49710d"`
	QueueQoS0Offline bool     `toml:"queue_qos0_offline"`
	QueueDrops       string   `toml:"queue_drops" oneof:"newest|oldest"`
	DenyPublishV3    string   `toml:"deny_publish_v3" oneof:"ack|disconnect"`
}

// Limits is the section of the bounds.
type Limits struct {
	HandshakeTimeout    Duration `toml:"handshake_timeout" range:"100ms..1h"`
	HandshakePacketSize Size     `toml:"handshake_packet_size" range:"64..268435460"`
	WriteTimeout        Duration `toml:"write_timeout" range:"100ms..1d"`
	ShutdownTimeout     Duration `toml:"shutdown_timeout" range:"1ms..1h"`

	MaxConnections         Count `toml:"max_connections" word:"unlimited" range:"1..2000000000"`
	ConnectionsPerListener Count `toml:"connections_per_listener" word:"unlimited" range:"1..2000000000"`
	MaxPending             Count `toml:"max_pending" word:"unlimited" range:"1..2000000000"`
	MaxSessions            Count `toml:"max_sessions" word:"unlimited" range:"1..2000000000"`

	Inflight      Count `toml:"inflight" range:"1..65535"`
	Queued        Count `toml:"queued" word:"unlimited" range:"0..2000000000"`
	QueuedBytes   Size  `toml:"queued_bytes" word:"unlimited" range:"0..1TiB"`
	OutboxBytes   Size  `toml:"outbox_bytes" word:"unlimited" range:"4KiB..1TiB"`
	Subscriptions Count `toml:"subscriptions" word:"unlimited" range:"0..2000000000"`
	Rates

	TotalQueued        Size  `toml:"total_queued_bytes" word:"unlimited" range:"0..1PiB"`
	TotalSubscriptions Count `toml:"total_subscriptions" word:"unlimited" range:"0..2000000000"`
	Retained           Count `toml:"retained" word:"unlimited" range:"0..2000000000"`
	RetainedBytes      Size  `toml:"retained_bytes" word:"unlimited" range:"0..1PiB"`
	TopicLevels        Count `toml:"topic_levels" range:"1..65535"`
	MessagesPerEvent   Count `toml:"messages_per_event" word:"unlimited" range:"0..2000000000"`
}

// Auth is the section of who may what nobody judged.
type Auth struct {
	Default string `toml:"default" oneof:"allow|deny"`
	Open    bool   `toml:"open"`
	Recheck bool   `toml:"recheck"`
}

// Scripting is the section of the rules.
type Scripting struct {
	TestBeforeReload bool `toml:"test_before_reload"`

	Dir       string   `toml:"dir"`
	Workers   Count    `toml:"workers" word:"auto" range:"1..1024"`
	Budget    Count    `toml:"budget" range:"1000..1000000000"`
	Deadline  Duration `toml:"deadline" range:"1ms..1m"`
	WaitLimit Duration `toml:"wait_limit" range:"1ms..1h"`
	Queue     Count    `toml:"queue" range:"1..1000000"`
	QueueTime Duration `toml:"queue_time" range:"1ms..1h"`
	Memory    Size     `toml:"memory" word:"unlimited" range:"4MiB..1PiB"`
	OnError   string   `toml:"on_error" oneof:"deny|pass"`
	KVBytes   Size     `toml:"kv_bytes" word:"unlimited" range:"1KiB..1PiB"`
	Poll      Duration `toml:"poll" range:"100ms..1d"`
	Handover  Duration `toml:"handover" range:"1ms..10s"`
	Env       []string `toml:"env"`
	Packets   bool     `toml:"packets"`

	Keep           Count    `toml:"keep" range:"1..100"`
	RollbackErrors Rate     `toml:"rollback_errors" word:"off" range:"0.001..1"`
	RollbackWindow Duration `toml:"rollback_window" range:"1s..1d"`
}

// Storage is the section of what outlives a restart.
type Storage struct {
	Kind     string   `toml:"kind" oneof:"disk|memory"`
	Path     string   `toml:"path"`
	Sync     Duration `toml:"sync" word:"always|never" range:"1ms..1m"`
	OnDamage string   `toml:"on_damage" oneof:"start|refuse"`
	Reserve  Size     `toml:"reserve" range:"0..1PiB"`
}

// Sys is the section of $SYS/broker.
type Sys struct {
	Interval Duration `toml:"interval" word:"off" range:"1s..1d"`
}

// Process is the section of how the program uses the machine.
type Process struct {
	Driver      string `toml:"driver" oneof:"poller|goroutine"`
	GCPercent   Count  `toml:"gc_percent" range:"10..10000"`
	HeapMinimum Size   `toml:"gc_heap_minimum" range:"4MiB..1TiB"`
	MemoryLimit Size   `toml:"memory_limit" word:"unlimited" range:"16MiB..1PiB"`
	Pprof       string `toml:"pprof"`
}

// Log is the section of the log.
type Log struct {
	Level  string `toml:"level" oneof:"debug|info|warn|error"`
	Format string `toml:"format" oneof:"text|json"`
}

// SlogLevel returns the level as slog knows it.
func (l Log) SlogLevel() slog.Level {
	var level slog.Level
	_ = level.UnmarshalText([]byte(l.Level)) // one of the four that are checked
	return level
}
