package bench

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"time"

	"lunamq/core/packet"
)

// Options say what to do. Start from Defaults(scenario).
type Options struct {
	Scenario string

	URL      string      // tcp://, tls://, ws:// or wss://HOST:PORT
	TLS      *tls.Config // for tls and wss; nil: the system's authorities
	Username string
	Password string
	PID      int // of the broker, when it runs on this machine; 0: its cost is not known

	Version packet.Version
	Clean   bool // clean start (clean session in 3.x)
	QoS     byte // of publications and subscriptions
	Size    int  // bytes of a payload, at least MinSize
	Burst   int  // messages a write
	Window  int  // messages of one publisher that are not arrived, or not acknowledged; 0: a fitting one

	Pairs       int
	Publishers  int
	Subscribers int
	Clients     int
	Count       int     // retained messages, or filters
	Rate        float64 // messages per second in all (paced)

	Warmup   time.Duration // of load that does not count
	Duration time.Duration // of load that counts
	Messages int           // that count, in all, in place of Duration; 0: Duration decides

	Topic  string // pattern of the publishers
	Filter string // pattern of the subscribers

	// Subscribe is what subscribers really subscribe to, of a broker that changes
	// topics; Filter then says only who is to hear whom. Empty: Filter.
	Subscribe string

	Settle   time.Duration // the longest wait for memory that does not change any more
	Rest     time.Duration // after the load, before memory is measured once more; 0: it is not
	Patience time.Duration // nothing arrives for so long: what is missing is lost
	Timeout  time.Duration // of one answer to CONNECT, SUBSCRIBE or PINGREQ

	Progress func(Progress) // called every second; may be nil
}

// Progress is what has happened so far in a phase.
type Progress struct {
	Phase   string
	Elapsed time.Duration
	Done    int64   // messages arrived, or clients connected
	Rate    float64 // of the last second
	Unit    string  // what is counted
}

// Scenario is one kind of load.
type Scenario struct {
	Name  string
	Short string
	Long  string
	Flags []string // of the command line that mean something to it; "load": how long

	Example string

	defaults func(*Options)
	run      func(*run) error
}

// FindScenario returns the scenario of that name.
func FindScenario(name string) (*Scenario, error) {
	var names []string
	for _, s := range Scenarios {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return nil, optionError("no scenario is called %q: there are %s", name, strings.Join(names, ", "))
}

// Has says whether a flag means something to the scenario.
func (s *Scenario) Has(flag string) bool { return slices.Contains(s.Flags, flag) }

// Defaults are the options of a scenario when nothing is said.
func (s *Scenario) Defaults() Options {
	o := Options{
		Scenario: s.Name, URL: "tcp://127.0.0.1:1883", Version: packet.V311, Clean: true,
		Size: 64, Burst: 1, Pairs: 10, Rate: 5000, Topic: "bench/%i", Filter: "bench/%i",
		Warmup: 2 * time.Second, Duration: 10 * time.Second,
		Settle: time.Minute, Patience: 5 * time.Second, Timeout: 30 * time.Second,
	}
	if s.defaults != nil {
		s.defaults(&o)
	}
	return o
}

// OptionError is what makes no sense in the options.
type OptionError struct{ text string }

// Error is the sentence.
func (e *OptionError) Error() string { return e.text }

func optionError(format string, args ...any) error { return &OptionError{fmt.Sprintf(format, args...)} }

const (
	maxBurst  = 1 << 16
	maxWindow = 30_000 // packet identifiers are 16 bits, and half of them may be under way
	maxSize   = 256<<20 - 1<<10
	// maxBurstBytes bounds what one publisher keeps encoded.
	maxBurstBytes = 64 << 20
	// maxPattern keeps the head of every packet far smaller than a read buffer.
	maxPattern = 1 << 10
)

// check says what in the options makes no sense.
func (o *Options) check() error {
	switch {
	case o.QoS > 2:
		return optionError("QoS %d: must be 0, 1 or 2", o.QoS)
	case o.Size < MinSize || o.Size > maxSize:
		return optionError("size %d: must be %d to %d bytes, for each message carries when and by whom it was sent", o.Size, MinSize, maxSize)
	case o.Burst < 1 || o.Burst > maxBurst:
		return optionError("burst %d: must be 1 to %d", o.Burst, maxBurst)
	case o.Burst*o.Size > maxBurstBytes:
		return optionError("burst %d of %d bytes: must be at most %d bytes together", o.Burst, o.Size, maxBurstBytes)
	case o.Window < 0 || o.QoS > 0 && o.Window > maxWindow:
		return optionError("window %d: must be 1 to %d", o.Window, maxWindow)
	case o.Pairs < 1 || o.Publishers < 0 || o.Subscribers < 0 || o.Clients < 0 || o.Count < 0 || o.Messages < 0:
		return optionError("how many there are must not be below 1")
	case o.Rate <= 0 || o.Rate > 1e7:
		return optionError("rate %g: must be above 0, at most 10 million", o.Rate)
	case o.Messages == 0 && o.Duration <= 0:
		return optionError("duration must be above 0")
	case len(o.Topic) > maxPattern || len(o.Filter) > maxPattern || len(o.Subscribe) > maxPattern:
		return optionError("topic and filter must be at most %d bytes", maxPattern)
	case strings.HasPrefix(o.Filter, "$share/") || strings.HasPrefix(o.Subscribe, "$share/"):
		return optionError("a shared subscription cannot be measured: which client a message is for is the broker's choice, so what is lost is not known")
	}
	return nil
}

// connections is how many there are at once, on either side.
func (o *Options) connections() int {
	n := max(2*o.Pairs, o.Publishers+o.Subscribers+o.Count/filtersEach)
	if o.Scenario == "reconnect-storm" {
		return max(n, 2*o.Clients) // a broker may see late that the old ones are gone
	}
	return max(n, o.Clients)
}

const (
	// windowQoS0 and windowQoS1 are the windows without --window, of all
	// publishers of a subscriber together. Queues of brokers begin at 1000
	// messages (LunaMQ, mosquitto and EMQX: 1000); 50 is below every receive
	// maximum in use, so that QoS 1 and 2 are not queued either.
	windowQoS0 = 1000
	windowQoS1 = 50
	// windowBytes bounds them for large payloads: outboxes begin at 1 MiB.
	windowBytes = 1 << 20
)

// window is the window of each publisher when each subscriber hears so many.
func (o *Options) window(heard int) int {
	if o.Window > 0 {
		return o.Window
	}
	w := windowQoS0
	if o.QoS > 0 {
		w = windowQoS1
	}
	return max(1, min(w, windowBytes/o.Size)/max(1, heard))
}
