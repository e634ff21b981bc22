package scripting

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"lunamq/core"
)

// Status is what runs, and whether it is what the folder holds.
type Status struct {
	Files      []string       // the running rules, in order, without lib/
	Hash       string         // of the running set, SHA-256 in hexadecimal
	DiskHash   string         // of the set in the folder as last read; "" if it could not be
	Handlers   map[string]int // event → number of handlers
	Generation int            // 1 for the first, 0 without scripts
	OK         bool           // the folder is what runs
	Err        string         // why not: all findings
	Since      time.Time      // when the generation took over, the last time
	By         string         // who brought it then
}

// Status returns a copy.
func (e *Engine) Status() Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.status
	s.Files, s.Handlers = slices.Clone(s.Files), maps.Clone(s.Handlers)
	return s
}

// setStatus keeps the status and publishes what changed of it. Guarded by loadMu,
// or before anything else runs.
func (e *Engine) setStatus(s Status) {
	e.mu.Lock()
	e.status = s
	e.mu.Unlock()
	e.showMetrics(s)
	for _, v := range []struct{ name, value string }{
		{"generation", strconv.Itoa(s.Generation)},
		{"hash", s.Hash},
		{"disk_hash", s.DiskHash},
		{"ok", strconv.FormatBool(s.OK)},
		{"error", clipTo(s.Err, maxStatus)},
		{"files", strings.Join(s.Files, "\n")},
	} {
		e.publish("$SYS/broker/scripts/"+v.name, v.value)
	}
}

// showMetrics sets the metrics of the status, which SCRIPT-API.md, "Reload" 4, names.
func (e *Engine) showMetrics(s Status) {
	ok := 0.0
	if s.OK {
		ok = 1
	}
	for _, m := range []struct {
		name, help string
		value      float64
	}{
		{"reload_ok", "Whether the rules that run are those of the scripts folder.", ok},
		{"generation", "The number of the generation of rules that runs.", float64(s.Generation)},
		{"hash", "The hash of the rules that run, as a number.", hashNumber(s.Hash)},
		{"disk_hash", "The hash of the rules in the scripts folder, as a number; 0 if they cannot be read.", hashNumber(s.DiskHash)},
	} {
		gauge, err := e.host.Registry().Metric(core.MetricSpec{Name: "lunamq_scripts_" + m.name, Help: m.help, Kind: core.GaugeMetric})
		if err != nil {
			e.options.Log.Warn("the status of the scripts is not measured", "metric", m.name, "err", err)
			continue
		}
		gauge.Set(m.value)
	}
}

// hashNumber is the first 48 bits of a hash, which a float64 holds exactly: the
// way of alertmanager_config_hash.
func hashNumber(hash string) float64 {
	n, _ := strconv.ParseUint(hash[:min(len(hash), 12)], 16, 48) // "": 0
	return float64(n)
}

// maxStatus bounds the published findings, in bytes.
const maxStatus = 64 << 10

// brokerClient is who publishes the status.
var brokerClient = &core.Client{ID: "$broker"}

// publish sends a retained status message if its value is new. An empty one
// takes the retained message away [MQTT-3.3.1-6].
func (e *Engine) publish(name, value string) {
	if old, known := e.published[name]; known && old == value || !known && value == "" {
		return
	}
	e.published[name] = value
	m := core.Message{Topic: name, Payload: []byte(value), Retain: true, Origin: core.OriginBroker, Publisher: brokerClient}
	if err := e.host.Publish(nil, m, false); err != nil {
		e.options.Log.Warn("the status of the scripts was not published", "topic", name, "err", err)
	}
}
