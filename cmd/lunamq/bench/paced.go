package bench

import (
	"fmt"
	"time"
)

// paced sends at a fixed rate, over all pairs in turn, whatever comes back.
func (r *run) paced() error {
	if err := r.gather(); err != nil {
		return err
	}
	r.result.Window = 0
	return r.load("messages", sendPaced)
}

// sendPaced sends the messages of all publishers, one a write, as the sender of
// the first; those of the others have nothing to do.
func sendPaced(p *publisher, _ int, stop <-chan struct{}) error {
	if p.number != 0 {
		return nil
	}
	every := time.Duration(float64(time.Second) / p.run.o.Rate)
	t, err := newTicker(every)
	if err != nil {
		return err
	}
	stopped := make(chan struct{})
	defer close(stopped)
	go func() {
		select {
		case <-stop:
		case <-stopped:
		}
		t.stop()
	}()
	return p.run.pacedLoop(t, every, stop)
}

// pacedLoop sends message k at began + k × every. When it is late, because it was not
// woken or a write took long, it sends what is due at once, and latency still
// counts from when it was due.
func (r *run) pacedLoop(t *ticker, every time.Duration, stop <-chan struct{}) error {
	began, k, ticks := now(), 0, uint64(0)
	for r.o.Messages == 0 || k < r.o.Messages {
		n, err := t.wait()
		select {
		case <-stop:
			return nil
		default:
		}
		if err != nil {
			return err
		}
		for ticks += n; uint64(k) < ticks && (r.o.Messages == 0 || k < r.o.Messages); k++ {
			p := r.publishers[k%len(r.publishers)]
			if err := p.open(); err != nil {
				return err
			}
			if err := p.send(1, began+int64(k+1)*int64(every)); err != nil {
				return p.c.failed(err)
			}
		}
	}
	return nil
}

// open refuses to send when so many messages are not acknowledged that packet
// identifiers run out.
func (p *publisher) open() error {
	if p.acks != nil && p.sent-p.acks.got.Load() > maxWindow {
		return fmt.Errorf("the broker does not keep up: %d messages are not acknowledged", maxWindow)
	}
	return nil
}
