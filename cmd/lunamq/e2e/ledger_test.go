package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// ledger knows which versions of which rules there have been, in order, and
// holds what receivers got against it: from each publisher every message, once,
// in order, stamped by versions that only move forward.
type ledger struct {
	mu      sync.Mutex
	changed *sync.Cond

	// Set before the first message comes:
	together []string // rules whose versions change at one moment

	// Guarded by mu:
	versions map[string][]string // by rule; "" where it stamps nothing
	views    []*view
	err      error // the first thing wrong
}

// view is what one receiver has had. Guarded by ledger.mu.
type view struct {
	*ledger
	name       string
	publishers map[string]*progress
	barrier    bool // what was sent before it has come
}

// progress is how far the messages of one publisher have come.
type progress struct {
	next int            // sequence number
	at   map[string]int // by rule: place in ledger.versions
}

func newLedger(rules ...string) *ledger {
	l := &ledger{versions: make(map[string][]string)}
	l.changed = sync.NewCond(&l.mu)
	for _, r := range rules {
		l.versions[r] = []string{""}
	}
	return l
}

// view makes the view of one receiver of those publishers.
func (l *ledger) view(name string, publishers ...string) *view {
	v := &view{ledger: l, name: name, publishers: make(map[string]*progress)}
	for _, p := range publishers {
		v.publishers[p] = &progress{at: make(map[string]int)}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.views = append(l.views, v)
	return v
}

// write notes that a version is about to be on disk.
func (l *ledger) write(rule, version string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.versions[rule] = append(l.versions[rule], version)
}

// fail notes that something is wrong, for whoever waits.
func (l *ledger) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failLocked(err)
}

func (l *ledger) failLocked(err error) {
	if l.err == nil {
		l.err = err
	}
	l.changed.Broadcast()
}

// barrierTopic is where a message is published that comes after all others.
const barrierTopic = "barrier"

// take notes a message: "rule=version;rule=version;publisher number", or the
// barrier.
func (v *view) take(payload []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.takeLocked(string(payload)); err != nil {
		v.failLocked(fmt.Errorf("%s got %q: %w", v.name, payload, err))
	}
	v.changed.Broadcast()
}

// has says whether a message, without stamps, has come before.
func (v *view) has(payload []byte) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	var publisher string
	var number int
	_, err := fmt.Sscanf(string(payload), "%s %d", &publisher, &number)
	p := v.publishers[publisher]
	return err == nil && p != nil && number < p.next
}

func (v *view) takeLocked(payload string) error {
	if payload == barrierTopic {
		v.barrier = true
		return nil
	}
	parts := strings.Split(payload, ";")
	var publisher string
	var number int
	if _, err := fmt.Sscanf(parts[len(parts)-1], "%s %d", &publisher, &number); err != nil {
		return err
	}
	p := v.publishers[publisher]
	switch {
	case p == nil:
		return fmt.Errorf("nobody is called %q", publisher)
	case number != p.next:
		return fmt.Errorf("number %d was due", p.next)
	}
	p.next++
	stamps := make(map[string]string, len(parts)-1)
	for _, part := range parts[:len(parts)-1] {
		rule, version, _ := strings.Cut(part, "=")
		if _, twice := stamps[rule]; twice || v.versions[rule] == nil {
			return fmt.Errorf("rule %q stamped it twice, or is none", rule)
		}
		stamps[rule] = version
	}
	for _, rule := range v.together {
		if first := v.together[0]; stamps[rule] != stamps[first] {
			return fmt.Errorf("version %q of %s with version %q of %s", stamps[first], first, stamps[rule], rule)
		}
	}
	for rule := range v.versions {
		if err := v.forwardLocked(p, rule, stamps[rule]); err != nil {
			return err
		}
	}
	return nil
}

// forwardLocked moves on to the version that stamped a message.
func (v *view) forwardLocked(p *progress, rule, version string) error {
	versions := v.versions[rule]
	for i := p.at[rule]; i < len(versions); i++ {
		if versions[i] == version {
			p.at[rule] = i
			return nil
		}
	}
	return fmt.Errorf("version %q of %s does not come after %q", version, rule, versions[p.at[rule]])
}

// await returns when done holds; it fails the test if something is wrong.
func (l *ledger) await(t testing.TB, what string, done func() bool) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	timer := time.AfterFunc(patience, func() { l.fail(fmt.Errorf("not seen in %s: %s", patience, what)) })
	defer timer.Stop()
	for l.err == nil && !done() {
		l.changed.Wait()
	}
	if l.err != nil {
		t.Fatalf("%v\n%s", l.err, l.stateLocked())
	}
}

// awaitForce returns when every receiver has had, from every publisher, a
// message stamped by the newest versions of the rules.
func (l *ledger) awaitForce(t testing.TB, rules ...string) {
	t.Helper()
	l.await(t, fmt.Sprintf("the newest versions of %v", rules), func() bool {
		return l.allLocked(func(p *progress) bool {
			for _, r := range rules {
				if p.at[r] != len(l.versions[r])-1 {
					return false
				}
			}
			return true
		})
	})
}

// awaitMore returns when every receiver has had n more messages from every
// publisher.
func (l *ledger) awaitMore(t testing.TB, n int) {
	t.Helper()
	due := make(map[*progress]int)
	l.mu.Lock()
	l.allLocked(func(p *progress) bool {
		due[p] = p.next + n
		return true
	})
	l.mu.Unlock()
	l.await(t, fmt.Sprintf("%d more messages", n), func() bool {
		return l.allLocked(func(p *progress) bool { return p.next >= due[p] })
	})
}

// awaitAll returns when every receiver has had the barrier, and holds that
// before it came as many messages of each publisher as sent says.
func (l *ledger) awaitAll(t testing.TB, sent map[string]int) {
	t.Helper()
	l.await(t, "the barrier", func() bool {
		return !slices.ContainsFunc(l.views, func(v *view) bool { return !v.barrier })
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, v := range l.views {
		for name, p := range v.publishers {
			if p.next != sent[name] {
				t.Errorf("%s had %d messages of %s, %d were sent", v.name, p.next, name, sent[name])
			}
		}
	}
}

func (l *ledger) allLocked(holds func(*progress) bool) bool {
	for _, v := range l.views {
		for _, p := range v.publishers {
			if !holds(p) {
				return false
			}
		}
	}
	return true
}

// stateLocked says where everybody is.
func (l *ledger) stateLocked() string {
	var b strings.Builder
	for rule, versions := range l.versions {
		fmt.Fprintf(&b, "%s: %q\n", rule, versions)
	}
	for _, v := range l.views {
		for name, p := range v.publishers {
			fmt.Fprintf(&b, "%s has %d of %s, rules at %v\n", v.name, p.next, name, p.at)
		}
	}
	return b.String()
}
