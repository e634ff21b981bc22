package scripting

import (
	"slices"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/scripting/sandbox"
)

// metricPrefix is before the names of rules' metrics in the broker's registry.
const metricPrefix = "lunamq_script_"

// defaultBuckets are those of a histogram that names none, from 5 ms to 10 s:
// the default ones of the Prometheus clients.
var defaultBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// metric is a metric in a rule's hands. What is behind it is taken when the set
// takes over, or at its first use: a set that is refused leaves nothing behind.
// Guarded by its world's lock.
type metric struct {
	world *world
	spec  core.MetricSpec
	taken *core.Metric
}

// metricCalls are metrics.counter, gauge and histogram: (name, help), of a
// histogram also a list of upper bounds.
func (w *world) metricCalls() map[string]lua.LGFunction {
	return map[string]lua.LGFunction{
		"counter":   w.newMetric(core.CounterMetric),
		"gauge":     w.newMetric(core.GaugeMetric),
		"histogram": w.newMetric(core.HistogramMetric),
	}
}

func (w *world) newMetric(kind core.MetricKind) lua.LGFunction {
	call := "metrics." + kind.String()
	return func(L *lua.LState) int {
		sandbox.Charge(L, kvCost)
		s := core.MetricSpec{Kind: kind}
		most := 2
		if kind == core.HistogramMetric {
			most, s.Buckets = 3, metricBuckets(L, call)
		}
		argNone(L, most, call)
		s.Name = metricPrefix + argBytes(L, 1, call, "the name")
		s.Help = argBytes(L, 2, call, "the help text")
		err := s.Check()
		if err == nil {
			err = checkText(s.Help)
		}
		if err != nil {
			L.RaiseError("%s: %v", call, err)
		}
		m := &metric{world: w, spec: s}
		if w.loading != nil && w.nr == 0 {
			for _, other := range w.metrics {
				if other.spec.Name == s.Name && (other.spec.Kind != s.Kind || !slices.Equal(other.spec.Buckets, s.Buckets)) {
					L.RaiseError("%s: there is a %s of that name already, or one with other buckets", call, other.spec.Kind)
				}
			}
			w.metrics = append(w.metrics, m)
		}
		L.Push(&lua.LUserData{Value: m, Metatable: w.metricMetas[kind]})
		return 1
	}
}

// metricBuckets is argument 3 of a histogram.
func metricBuckets(L *lua.LState, call string) []float64 {
	if L.Get(3) == lua.LNil {
		return defaultBuckets
	}
	t, ok := L.Get(3).(*lua.LTable)
	if !ok {
		L.RaiseError("%s: the buckets must be a list of numbers, not %s", call, describe(L.Get(3)))
	}
	if t.Len() > core.MaxMetricBuckets {
		L.RaiseError("%s: there are %d buckets, at most %d are kept", call, t.Len(), core.MaxMetricBuckets)
	}
	var out []float64
	for i := 1; i <= t.Len(); i++ {
		x, ok := t.RawGetInt(i).(lua.LNumber)
		if !ok {
			L.RaiseError("%s: bucket %d must be a number, not %s", call, i, describe(t.RawGetInt(i)))
		}
		out = append(out, float64(x))
	}
	return out
}

// take finds or makes what is behind a metric.
func (m *metric) take() (err error) {
	if m.taken == nil {
		m.taken, err = m.world.generation.engine.host.Registry().Metric(m.spec)
	}
	return err
}

// takeMetrics makes the metrics of the files' scope, so that they are there
// before they are counted.
func (w *world) takeMetrics() {
	g := w.generation
	w.Lock()
	defer w.Unlock()
	for _, m := range w.metrics {
		if err := m.take(); err != nil {
			g.engine.options.Log.Warn("a metric of the scripts is not kept", "metric", m.spec.Name, "err", err)
		}
	}
	w.metrics = nil
}

// metricMethods are c:inc([n]), g:set(x), g:add(n) and h:observe(x), by kind.
var metricMethods = [...]map[string]lua.LGFunction{
	core.CounterMetric:   {"inc": metricInc},
	core.GaugeMetric:     {"set": metricCall("gauge:set", core.GaugeMetric, (*core.Metric).Set), "add": metricCall("gauge:add", core.GaugeMetric, (*core.Metric).Add)},
	core.HistogramMetric: {"observe": metricCall("histogram:observe", core.HistogramMetric, (*core.Metric).Observe)},
}

// metricInc is c:inc([n]).
func metricInc(L *lua.LState) int {
	const call = "counter:inc"
	m := metricArg(L, call, core.CounterMetric)
	n := 1.0
	if L.Get(2) != lua.LNil {
		if n = argNumber(L, 2, call, "n"); n < 0 {
			L.RaiseError("%s: a counter only grows, n is %v", call, n)
		}
	}
	m.Add(n)
	return 0
}

func metricCall(call string, kind core.MetricKind, do func(*core.Metric, float64)) lua.LGFunction {
	return func(L *lua.LState) int {
		m := metricArg(L, call, kind)
		do(m, argNumber(L, 2, call, "the value"))
		return 0
	}
}

// metricArg is the metric of a method that acts.
func metricArg(L *lua.LState, call string, kind core.MetricKind) *core.Metric {
	inHandler(L, call)
	sandbox.Charge(L, kvCost)
	argNone(L, 2, call)
	ud, _ := L.Get(1).(*lua.LUserData)
	if ud == nil {
		L.RaiseError("%s: call it with a colon", call)
	}
	m, ok := ud.Value.(*metric)
	if !ok || m.spec.Kind != kind {
		L.RaiseError("%s: call it with a colon", call)
	}
	if err := m.take(); err != nil {
		L.RaiseError("%s: %v", call, err)
	}
	return m.taken
}
