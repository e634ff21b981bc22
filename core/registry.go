package core

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// MetricKind says how a metric moves.
type MetricKind uint8

// The kinds of metrics, those of Prometheus.
const (
	CounterMetric   MetricKind = iota // only grows
	GaugeMetric                       // goes up and down
	HistogramMetric                   // counts observations in buckets
)

// String returns the kind's name as rules and Prometheus write it.
func (k MetricKind) String() string { return [...]string{"counter", "gauge", "histogram"}[k] }

// Bounds of a Registry.
const (
	MaxMetrics       = 1000
	MaxMetricName    = 128  // bytes
	MaxMetricHelp    = 1024 // bytes
	MaxMetricBuckets = 64
)

// MetricSpec describes a metric.
type MetricSpec struct {
	Name    string // [a-zA-Z_][a-zA-Z0-9_]*
	Help    string
	Kind    MetricKind
	Buckets []float64 // of a histogram: the upper bounds, ascending, without +Inf
}

func (s *MetricSpec) same(o *MetricSpec) bool {
	return s.Kind == o.Kind && slices.Equal(s.Buckets, o.Buckets)
}

// Check says what is wrong with a description.
func (s *MetricSpec) Check() error {
	switch {
	case !isMetricName(s.Name):
		return fmt.Errorf("the name %.64q is not made of letters, digits and _, or begins with a digit, or is longer than %d bytes", s.Name, MaxMetricName)
	case len(s.Help) > MaxMetricHelp:
		return fmt.Errorf("the help text has %d bytes, at most %d are kept", len(s.Help), MaxMetricHelp)
	case s.Kind != HistogramMetric && len(s.Buckets) > 0:
		return errors.New("only a histogram has buckets")
	case len(s.Buckets) > MaxMetricBuckets:
		return fmt.Errorf("there are %d buckets, at most %d are kept", len(s.Buckets), MaxMetricBuckets)
	}
	for i, x := range s.Buckets {
		if math.IsNaN(x) || math.IsInf(x, 0) || i > 0 && x <= s.Buckets[i-1] {
			return errors.New("the buckets must be finite bounds, ascending")
		}
	}
	return nil
}

func isMetricName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !(c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || i > 0 && '0' <= c && c <= '9') {
			return false
		}
	}
	return name != "" && len(name) <= MaxMetricName
}

// Registry holds the metrics of rules and plugins; whoever exports metrics
// reads it. Safe for concurrent use; the zero value is ready.
type Registry struct {
	mu sync.Mutex
	m  map[string]*Metric
}

// Registry returns the metrics that rules and plugins have made.
func (b *Broker) Registry() *Registry { return &b.registry }

// ErrTooManyMetrics: there are MaxMetrics.
var ErrTooManyMetrics = fmt.Errorf("there are %d metrics, the most that are kept", MaxMetrics)

// Metric returns the metric of that name, and makes it if there is none. One
// that is there with another kind or other buckets is replaced: it begins anew.
func (g *Registry) Metric(s MetricSpec) (*Metric, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.m[s.Name]
	if old != nil && old.spec.same(&s) {
		return old, nil
	}
	if old == nil && len(g.m) >= MaxMetrics {
		return nil, ErrTooManyMetrics
	}
	if g.m == nil {
		g.m = make(map[string]*Metric)
	}
	s.Buckets = slices.Clone(s.Buckets)
	m := &Metric{spec: s, counts: make([]atomic.Uint64, len(s.Buckets)+1)}
	g.m[s.Name] = m
	return m, nil
}

// Sample is a metric at one moment. Counts are those of each bucket, not
// cumulative, the last one of what is above all bounds.
type Sample struct {
	MetricSpec
	Value  float64 // of a counter or gauge; of a histogram the sum of all observations
	Counts []uint64
}

// Samples returns all metrics as they are now, in the order of their names.
func (g *Registry) Samples() []Sample {
	g.mu.Lock()
	list := make([]*Metric, 0, len(g.m))
	for _, m := range g.m {
		list = append(list, m)
	}
	g.mu.Unlock()
	slices.SortFunc(list, func(a, b *Metric) int {
		if a.spec.Name < b.spec.Name {
			return -1
		}
		return 1
	})
	out := make([]Sample, len(list))
	for i, m := range list {
		out[i] = m.sample()
	}
	return out
}

// Metric is one counter, gauge or histogram. Its methods do not wait, and may
// be called from any goroutine.
type Metric struct {
	spec   MetricSpec
	value  atomic.Uint64 // the bits of a float64
	counts []atomic.Uint64
}

// Add adds n to a counter or gauge.
func (m *Metric) Add(n float64) {
	for {
		old := m.value.Load()
		if m.value.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+n)) {
			return
		}
	}
}

// Set sets a gauge.
func (m *Metric) Set(x float64) { m.value.Store(math.Float64bits(x)) }

// Observe counts x in a histogram.
func (m *Metric) Observe(x float64) {
	i, _ := slices.BinarySearch(m.spec.Buckets, x) // the first bound that is not below x
	m.counts[i].Add(1)
	m.Add(x)
}

func (m *Metric) sample() Sample {
	s := Sample{MetricSpec: m.spec, Value: math.Float64frombits(m.value.Load())}
	if m.spec.Kind == HistogramMetric {
		for i := range m.counts {
			s.Counts = append(s.Counts, m.counts[i].Load())
		}
	}
	return s
}
