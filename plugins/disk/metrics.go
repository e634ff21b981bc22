package disk

import (
	"sync/atomic"
	"time"

	"lunamq/core"
)

// metrics are the store's counters. They are counted from the start, and in a
// registry from when there is one.
type metrics struct {
	batches, groups, refused, failures, salvages counter
	seconds                                      atomic.Pointer[core.Metric]
}

// counter counts here, and in a registry.
type counter struct {
	n     atomic.Int64
	shown atomic.Pointer[core.Metric]
}

func (c *counter) add(n int64) {
	c.n.Add(n)
	if m := c.shown.Load(); m != nil {
		m.Add(float64(n))
	}
}

// commitBuckets span a sync of a fast disk and of one that hangs, in seconds.
var commitBuckets = []float64{0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10}

// Show puts the store's metrics into a registry, before the store is used.
func (s *Store) Show(g *core.Registry) error {
	m := &s.metrics
	for _, x := range []struct {
		counter    *counter
		name, help string
	}{
		{&m.batches, "storage_batches_total", "Batches that were stored."},
		{&m.groups, "storage_groups_total", "Groups of batches, each stored with one write and one sync."},
		{&m.refused, "storage_refused_total", "Batches that were refused: the disk had failed, too little was free, or it was too slow."},
		{&m.failures, "storage_failures_total", "Failures of the disk, after each of which the store was opened anew."},
		{&m.salvages, "storage_salvages_total", "Times that a damaged store was salvaged."},
	} {
		metric, err := g.Metric(core.MetricSpec{Name: x.name, Help: x.help})
		if err != nil {
			return err
		}
		metric.Add(float64(x.counter.n.Load()))
		x.counter.shown.Store(metric)
	}
	seconds, err := g.Metric(core.MetricSpec{Name: "storage_commit_seconds", Help: "Time to store one group.", Kind: core.HistogramMetric, Buckets: commitBuckets})
	m.seconds.Store(seconds)
	return err
}

func (m *metrics) committed(batches int, took time.Duration) {
	m.groups.add(1)
	m.batches.add(int64(batches))
	if seconds := m.seconds.Load(); seconds != nil {
		seconds.Observe(took.Seconds())
	}
}
