package bench

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSummary(t *testing.T) {
	run := func(rate, cpu float64, perClient int64) *Result {
		return &Result{Phases: []Phase{{Name: "messages", Unit: "messages", Rate: rate, Broker: &Cost{CPU: cpu, PerClient: perClient, RSSBefore: 10, RSSRest: 13}, Latency: &Latency{P50: 3, P99: 30}}}}
	}
	c := Comparison{Brokers: []BrokerResult{
		{Name: "a", Runs: []*Result{run(10, 3, 0), run(30, 1, 0), run(20, 2, 0)}},
		{Name: "b", Runs: []*Result{run(100, 4, 5), run(300, 8, 5), run(200, 4, 5)}},
	}}
	c.summarise()
	a, b := c.Brokers[0].Phases[0], c.Brokers[1].Phases[0]
	if want := (Values{Rate: 20, CPU: 2, P50: 3, P99: 30, Rested: 1.3}); a.Values != want {
		t.Errorf("medians %+v, want %+v", a.Values, want)
	}
	if want := (Values{Rate: 0.1, CPU: 0.5, P50: 1, P99: 1, Rested: 1}); a.Ratios != want {
		t.Errorf("ratios %+v, want %+v", a.Ratios, want)
	}
	if want := (Values{Rate: 1, CPU: 1, P50: 1, P99: 1, PerClient: 1, Rested: 1}); b.Ratios != want {
		t.Errorf("ratios of the reference %+v, want %+v", b.Ratios, want)
	}
	if m := median([]float64{4, 1, 3, 2}); m != 2.5 {
		t.Errorf("median of four: %g", m)
	}
}

func TestBrokerErrors(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	defer func(before []string) { places = before }(places)
	places = nil
	if _, err := Mosquitto(false); err == nil || !strings.Contains(err.Error(), "apt-get install mosquitto") {
		t.Errorf("error %v, want what to install", err)
	}
	for _, s := range []string{"emqx", "=broker {port}", "a=broker"} {
		if _, err := Command(s); err == nil || !strings.Contains(err.Error(), "{port}") {
			t.Errorf("%q: error %v", s, err)
		}
	}
}

// A broker that does not start is told with its log, which stays.
func TestBrokerDoesNotStart(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	b, err := Command("broken={port}")
	if err != nil {
		t.Fatal(err)
	}
	b.Args = []string{"sh", "-c", "echo no licence; exit 3"}
	_, err = Compare(t.Context(), Contest{Options: defaults(t, "pair", ""), Brokers: []Broker{b}, Rounds: 1})
	if err == nil || !strings.Contains(err.Error(), "broken: it ended at once") {
		t.Fatalf("error %v", err)
	}
	_, file, _ := strings.Cut(err.Error(), "its log is ")
	text, err := os.ReadFile(strings.TrimSuffix(file, ")"))
	if err != nil || string(text) != "no licence\n" {
		t.Errorf("the log says %q, %v", text, err)
	}
	b.Args = []string{filepath.Join(t.TempDir(), "nothing")}
	if _, err := Compare(t.Context(), Contest{Options: defaults(t, "pair", ""), Brokers: []Broker{b}, Rounds: 1}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v of a program that is not there", err)
	}
}
