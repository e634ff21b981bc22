package core

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
)

func TestRegistry(t *testing.T) {
	var g Registry
	metric := func(s MetricSpec) *Metric {
		t.Helper()
		m, err := g.Metric(s)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				metric(MetricSpec{Name: "b", Help: "h"}).Add(0.5)
			}
		})
	}
	all.Wait()
	h := metric(MetricSpec{Name: "c", Kind: HistogramMetric, Buckets: []float64{1, 2}})
	for _, x := range []float64{0.5, 1, 1.5, 2, 100} {
		h.Observe(x)
	}
	a := metric(MetricSpec{Name: "a", Kind: GaugeMetric})
	a.Set(5)
	a.Add(-7)
	want := []Sample{
		{MetricSpec{Name: "a", Kind: GaugeMetric}, -2, nil},
		{MetricSpec{Name: "b", Help: "h"}, 4000, nil},
		{MetricSpec{Name: "c", Kind: HistogramMetric, Buckets: []float64{1, 2}}, 105, []uint64{2, 2, 1}},
	}
	if got := g.Samples(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	metric(MetricSpec{Name: "a"}).Add(1) // another kind begins anew
	if s := g.Samples()[0]; s.Kind != CounterMetric || s.Value != 1 {
		t.Errorf("%+v", s)
	}
}

func TestRegistryRefuses(t *testing.T) {
	var g Registry
	for _, s := range []MetricSpec{
		{}, {Name: "1a"}, {Name: "a b"}, {Name: "é"}, {Name: strings.Repeat("a", MaxMetricName+1)},
		{Name: "a", Help: strings.Repeat("a", MaxMetricHelp+1)},
		{Name: "a", Buckets: []float64{1}},
		{Name: "a", Kind: HistogramMetric, Buckets: []float64{1, 1}},
		{Name: "a", Kind: HistogramMetric, Buckets: []float64{math.Inf(1)}},
		{Name: "a", Kind: HistogramMetric, Buckets: make([]float64, MaxMetricBuckets+1)},
	} {
		if _, err := g.Metric(s); err == nil {
			t.Errorf("%+v was taken", s)
		}
	}
	for i := range MaxMetrics {
		if _, err := g.Metric(MetricSpec{Name: fmt.Sprint("m", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := g.Metric(MetricSpec{Name: "more"}); err != ErrTooManyMetrics {
		t.Errorf("one too many: %v", err)
	}
	if _, err := g.Metric(MetricSpec{Name: "m1"}); err != nil {
		t.Errorf("one that is there: %v", err)
	}
}
