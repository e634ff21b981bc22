package bench

import "time"

// Result is what one run has found.
type Result struct {
	Scenario    string  `json:"scenario"`
	URL         string  `json:"url"`
	Protocol    string  `json:"protocol"`
	QoS         byte    `json:"qos"`
	Size        int     `json:"size"` // these three are 0 where they mean nothing
	Burst       int     `json:"burst"`
	Window      int     `json:"window"` // of one publisher
	Publishers  int     `json:"publishers"`
	Subscribers int     `json:"subscribers"`
	Phases      []Phase `json:"phases"`
}

// Phase is one part of a run that was measured.
type Phase struct {
	Name    string   `json:"name"`
	Unit    string   `json:"unit"` // what is counted: messages, clients, connections, filters
	Done    int64    `json:"done"` // messages that arrived, clients that connected
	Seconds float64  `json:"seconds"`
	Rate    float64  `json:"rate"`       // Done a second
	Latency *Latency `json:"latency"`    // null where there is none
	OwnCPU  float64  `json:"own_cpu_us"` // of this tool, microseconds for each that is done
	Broker  *Cost    `json:"broker"`     // null without a process id

	Deliveries
}

// Deliveries are the books: what was due to arrive, warm-up included, and what did.
type Deliveries struct {
	Due        int64 `json:"due"`
	Lost       int64 `json:"lost"`
	Duplicated int64 `json:"duplicated"`
	Reordered  int64 `json:"reordered"`
	Foreign    int64 `json:"foreign"` // messages that are not of this run
	Failed     int64 `json:"failed"`  // connections that were refused or lost, and tried again
}

// Cost is what the broker took.
type Cost struct {
	CPU       float64 `json:"cpu_us"`     // microseconds for each that is done
	Cores     float64 `json:"cores"`      // busy, on the average
	RSSBefore int64   `json:"rss_before"` // bytes, before the first client
	RSS       int64   `json:"rss"`        // bytes, at the end of the phase
	RSSRest   int64   `json:"rss_rest"`   // bytes, after the rest; 0 without one
	PerClient int64   `json:"per_client"` // bytes of each connection, where memory has settled
	Threads   int     `json:"threads"`
}

// probe is where everything stands at one moment.
type probe struct {
	at     int64
	own    time.Duration
	broker usage
	done   int64
}

// probe looks; done is what is counted, in the unit of the phase.
func (r *run) probe(done int64) (probe, error) {
	p := probe{done: done}
	if r.o.PID != 0 {
		var err error
		if p.broker, err = readUsage(r.o.PID); err != nil {
			return p, err
		}
	}
	p.own, p.at = ownCPU(), now()
	return p, nil
}

// phase reports what happened between two moments.
func (r *run) phase(name, unit string, from, to probe) *Phase {
	p := Phase{Name: name, Unit: unit, Done: to.done - from.done, Seconds: float64(to.at-from.at) / 1e9}
	if p.Seconds > 0 {
		p.Rate = float64(p.Done) / p.Seconds
	}
	each := 0.0
	if p.Done > 0 {
		each = 1e-3 / float64(p.Done)
	}
	p.OwnCPU = float64(to.own-from.own) * each
	if r.o.PID != 0 {
		cpu := float64(to.broker.cpu - from.broker.cpu)
		p.Broker = &Cost{CPU: cpu * each, RSSBefore: r.before.broker.rss, RSS: to.broker.rss, Threads: to.broker.threads}
		if to.at > from.at {
			p.Broker.Cores = cpu / float64(to.at-from.at)
		}
	}
	r.result.Phases = append(r.result.Phases, p)
	return &r.result.Phases[len(r.result.Phases)-1]
}
