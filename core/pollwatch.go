//go:build linux

package core

import "time"

// The watchdog looks at the loops every few milliseconds while they do what may
// take long, and rests after a while in which they did nothing.
const (
	watchEvery = 4 * time.Millisecond
	restAfter  = 25  // ticks
	slowFor    = 250 // ticks after a loop was held up

	// A loop is held up that two ticks find where the one before found it. With one, a
	// loop whose connection brought hundreds of messages with a quick rule, and whose
	// thread another program put off for a moment, was taken for held up, and a pair with
	// a rule took up to 80 percent more for as long as rules were taken for slow.
	heldUpAfter = 2 * watchEvery
)

// watch starts the watchdog: rules are to be asked, or very many receivers served.
func (l *loop) watch() {
	p := l.p
	p.wanted.Store(true)
	if !p.watching.Load() && p.watching.CompareAndSwap(false, true) {
		p.ended.Add(1)
		go p.watchLoop()
	}
}

func (p *poller) watchLoop() {
	defer p.ended.Done()
	for idle := 0; idle < restAfter || !p.rest(); idle++ {
		if p.closed.Load() {
			return
		}
		time.Sleep(watchEvery)
		if p.relieveHeldUp() || p.wanted.Swap(false) {
			idle = 0
		}
	}
}

// rest lets the watchdog end, unless it has been wanted since it last looked: who
// wanted it saw it running.
func (p *poller) rest() bool {
	p.watching.Store(false)
	return !p.wanted.Load() || !p.watching.CompareAndSwap(false, true)
}

// relieveHeldUp relieves the loops that have not got on since the last time.
// While rules are taken for slow, it is true.
func (p *poller) relieveHeldUp() bool {
	n := p.cautious.Load()
	if n > 0 {
		p.cautious.Store(n - 1)
	}
	p.mu.Lock()
	loops := append(p.looked[:0], p.loops...)
	p.looked = loops
	p.mu.Unlock()
	for _, l := range loops {
		beats := l.beats.Load()
		switch {
		case beats != l.lastBeats || l.waiting.Load():
			l.still = false
		case !l.still:
			l.still = true
		default:
			l.still = false
			p.cautious.Store(slowFor)
			p.relieve(l)
		}
		l.lastBeats = beats
	}
	return n > 0
}
