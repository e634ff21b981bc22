package bench

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"
)

// Contest is one scenario, run against several brokers in turn.
type Contest struct {
	Options
	Brokers  []Broker // the last is what the others are compared with
	Rounds   int
	Secure   bool                                // over TLS
	OnStart  func(round int, broker string)      // called before each run; may be nil
	OnResult func(broker string, result *Result) // called after each run; may be nil
}

// Comparison is what a contest has found: the medians of its rounds.
type Comparison struct {
	Scenario  string         `json:"scenario"`
	Rounds    int            `json:"rounds"`
	Reference string         `json:"reference"` // the broker that ratios are to
	Brokers   []BrokerResult `json:"brokers"`
}

// BrokerResult is that of one broker.
type BrokerResult struct {
	Name   string    `json:"name"`
	Phases []Medians `json:"phases"`
	Runs   []*Result `json:"runs"`
}

// Medians are those of one phase, over all rounds, and their ratios.
type Medians struct {
	Phase  string `json:"phase"`
	Unit   string `json:"unit"`
	Values Values `json:"values"`
	Ratios Values `json:"ratios"` // to the reference; 0 where one of the two is 0
}

// Values are what brokers are compared by.
type Values struct {
	Rate      float64 `json:"rate"`       // a second
	CPU       float64 `json:"cpu_us"`     // microseconds of the broker for each
	P50       float64 `json:"p50_us"`     // microseconds
	P99       float64 `json:"p99_us"`     // microseconds
	RSS       float64 `json:"rss"`        // bytes
	PerClient float64 `json:"per_client"` // bytes
	OwnCPU    float64 `json:"own_cpu_us"` // microseconds of this tool for each
	Rested    float64 `json:"rested"`     // memory after the rest, as a multiple of that before the load
}

// Compare runs the contest: A B A B …, each broker started anew for each run.
func Compare(ctx context.Context, c Contest) (*Comparison, error) {
	if err := allowFiles(c.connections()); err != nil { // of the brokers, which inherit it
		return nil, err
	}
	dir, err := os.MkdirTemp("", "lunamq-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	certs, err := newCertificates(dir)
	if err != nil {
		return nil, err
	}
	out := &Comparison{Scenario: c.Scenario, Rounds: c.Rounds}
	for _, b := range c.Brokers {
		out.Brokers = append(out.Brokers, BrokerResult{Name: b.Name})
		out.Reference = b.Name
	}
	for round := range c.Rounds {
		for i, b := range c.Brokers {
			if c.OnStart != nil {
				c.OnStart(round, b.Name)
			}
			result, err := c.once(ctx, b, certs)
			if err != nil {
				return nil, err
			}
			if c.OnResult != nil {
				c.OnResult(b.Name, result)
			}
			out.Brokers[i].Runs = append(out.Brokers[i].Runs, result)
		}
	}
	out.summarise()
	return out, nil
}

// once is one run against one broker.
func (c *Contest) once(ctx context.Context, b Broker, certs *certificates) (*Result, error) {
	s, err := b.start(ctx, certs)
	if err != nil {
		return nil, err
	}
	o := c.Options
	if b.Options != nil {
		o = *b.Options
	}
	o.URL, o.PID = fmt.Sprintf("tcp://127.0.0.1:%d", s.port), s.cmd.Process.Pid
	if c.Secure {
		o.URL, o.TLS = fmt.Sprintf("tls://127.0.0.1:%d", s.port), certs.trust
	}
	if b.Subscribe != "" {
		o.Subscribe = b.Subscribe
	}
	result, err := Run(ctx, o)
	s.stop()
	if err != nil && ctx.Err() == nil {
		return nil, s.failed(err)
	}
	s.forget()
	return result, err
}

// summarise works out medians and ratios.
func (c *Comparison) summarise() {
	for i := range c.Brokers {
		b := &c.Brokers[i]
		for k, p := range b.Runs[0].Phases {
			b.Phases = append(b.Phases, Medians{Phase: p.Name, Unit: p.Unit, Values: b.medians(k)})
		}
	}
	reference := c.Brokers[len(c.Brokers)-1].Phases
	for i := range c.Brokers {
		for k := range c.Brokers[i].Phases {
			m := &c.Brokers[i].Phases[k]
			m.Ratios = m.Values.over(&reference[k].Values)
		}
	}
}

// medians are those of phase k.
func (b *BrokerResult) medians(k int) Values {
	of := func(value func(*Phase) float64) float64 {
		var all []float64
		for _, r := range b.Runs {
			all = append(all, value(&r.Phases[k]))
		}
		return median(all)
	}
	v := Values{
		Rate:   of(func(p *Phase) float64 { return p.Rate }),
		OwnCPU: of(func(p *Phase) float64 { return p.OwnCPU }),
		CPU:    of(func(p *Phase) float64 { return p.cost().CPU }),
		RSS:    of(func(p *Phase) float64 { return float64(p.cost().RSS) }),

		PerClient: of(func(p *Phase) float64 { return float64(p.cost().PerClient) }),
	}
	v.Rested = of(func(p *Phase) float64 { return p.cost().rested() })
	v.P50 = of(func(p *Phase) float64 { return p.times().P50 })
	v.P99 = of(func(p *Phase) float64 { return p.times().P99 })
	return v
}

// cost is never nil.
func (p *Phase) cost() *Cost {
	if p.Broker == nil {
		return new(Cost)
	}
	return p.Broker
}

// rested is how memory after the rest compares with that before the load.
func (c *Cost) rested() float64 {
	if c.RSSBefore == 0 {
		return 0
	}
	return float64(c.RSSRest) / float64(c.RSSBefore)
}

// times is never nil.
func (p *Phase) times() *Latency {
	if p.Latency == nil {
		return new(Latency)
	}
	return p.Latency
}

func median(all []float64) float64 {
	slices.Sort(all)
	half := len(all) / 2
	if len(all)%2 == 1 {
		return all[half]
	}
	return (all[half-1] + all[half]) / 2
}

// over is each value divided by the other's.
func (v *Values) over(w *Values) Values {
	ratio := func(a, b float64) float64 {
		if a == 0 || b == 0 {
			return 0
		}
		return a / b
	}
	return Values{ratio(v.Rate, w.Rate), ratio(v.CPU, w.CPU), ratio(v.P50, w.P50), ratio(v.P99, w.P99),
		ratio(v.RSS, w.RSS), ratio(v.PerClient, w.PerClient), ratio(v.OwnCPU, w.OwnCPU), ratio(v.Rested, w.Rested)}
}

// Quick makes it short: enough to see that everything works, not to measure.
func (c *Contest) Quick() {
	c.Rounds = 1
	c.Warmup, c.Duration, c.Settle = 0, time.Second, steady*time.Second
	c.Rest = min(c.Rest, time.Second)
	c.Clients, c.Count = min(c.Clients, 500), min(c.Count, 2000)
}
