package core

// Stats is how much the broker holds at one moment, beside its Metrics.
type Stats struct {
	Sessions      int64 // connected or not
	Shared        int64 // shared subscriptions, by group and filter
	Retained      int64 // messages
	RetainedBytes int64
	Queued        int64 // messages that wait for a client
	QueuedBytes   int64 // of these and of what is in flight and in outboxes, in memory
	StoredBytes   int64 // of these, in the store alone
}

// Stats counts.
func (b *Broker) Stats() Stats {
	return Stats{
		Sessions:      b.sessions.count.Load(),
		Shared:        int64(b.shared.Len()),
		Retained:      int64(b.retained.tree.Len()),
		RetainedBytes: b.retainedBytes(),
		Queued:        b.queuedCount.Load(),
		QueuedBytes:   b.queuedBytes.Load(),
		StoredBytes:   b.spilledBytes.Load(),
	}
}
