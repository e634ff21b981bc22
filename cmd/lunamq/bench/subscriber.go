package bench

import (
	"sync/atomic"

	"lunamq/core/packet"
)

// subscriber is one client that receives.
type subscriber struct {
	// Immutable:
	run     *run
	c       *client
	first   int       // the publisher of streams[0]
	streams []*stream // by publisher; nil for one whose messages are not for it
	line    int       // of its messages among those of a publisher
	pongs   chan struct{}

	// Owned by the reader:
	touched []*stream
	answers []byte // acknowledgements of this read
	times   *histogram
	last    int64 // the latency of the last message, which repeated messages share
	repeats uint32

	foreign atomic.Uint64 // messages that are not of this run, or not for it
}

// stream returns that of a publisher, nil when none is expected.
func (s *subscriber) stream(publisher int) *stream {
	if i := publisher - s.first; i >= 0 && i < len(s.streams) {
		return s.streams[i]
	}
	return nil
}

func (s *subscriber) publish(qos byte, id uint16, payload []byte, at int64) {
	s.answers = acknowledge(s.answers, qos, id)
	if len(payload) < MinSize {
		s.foreign.Add(1)
		return
	}
	m := readStamp(payload)
	from := s.stream(int(m.publisher))
	if m.run != s.run.id || from == nil {
		s.foreign.Add(1)
		return
	}
	if !from.take(m.number) {
		return
	}
	if from.fresh++; from.fresh == 1 {
		s.touched = append(s.touched, from)
	}
	if m.sent >= s.run.from.Load() {
		s.record(at - m.sent)
	}
}

// record counts a latency. Messages of one burst that come in one read have the
// same, and are counted together.
func (s *subscriber) record(latency int64) {
	if latency == s.last {
		s.repeats++
		return
	}
	s.settleTimes()
	s.last, s.repeats = latency, 1
}

func (s *subscriber) settleTimes() {
	if s.repeats == 0 {
		return
	}
	if s.times == nil {
		s.times = new(histogram)
	}
	s.times.add(s.last, s.repeats)
	s.repeats = 0
}

func (s *subscriber) ack(t packet.Type, id uint16, _ packet.ReasonCode) error {
	if t != packet.PUBREL {
		return unexpected(t, id)
	}
	s.answers = complete(s.answers, id)
	return nil
}

func (s *subscriber) answer(h packet.Header, _ []byte) error {
	if h.Type != packet.PINGRESP {
		return notAsked(h.Type)
	}
	select {
	case s.pongs <- struct{}{}:
	default: // one is enough
	}
	return nil
}

// flush acknowledges what came, and then lets the publishers go on.
func (s *subscriber) flush(int64) error {
	s.settleTimes()
	if len(s.answers) > 0 {
		if _, err := s.c.conn.Write(s.answers); err != nil {
			return err
		}
		s.answers = s.answers[:0]
	}
	for _, from := range s.touched {
		from.meter.add(from.fresh)
		from.fresh = 0
	}
	s.touched = s.touched[:0]
	return nil
}
