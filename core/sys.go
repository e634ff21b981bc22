package core

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"
)

// sys publishes the broker's state on $SYS/broker, under the names that
// mosquitto made customary (mosquitto(8), "Broker status"). A value is
// published when it has changed, retained.
type sys struct {
	b     *Broker
	start time.Time
	last  map[string]string
	loads []*load
	stop  chan struct{}
	done  sync.WaitGroup
	once  sync.Once
}

func newSys(b *Broker) *sys {
	s := &sys{b: b, start: time.Now(), last: make(map[string]string), stop: make(chan struct{})}
	m := &b.metrics
	for _, l := range []struct {
		name  string
		total func() int64
	}{
		{"messages/received", m.PacketsReceived.Load},
		{"messages/sent", m.PacketsSent.Load},
		{"publish/received", m.PublishReceived.Load},
		{"publish/sent", m.PublishSent.Load},
		{"publish/dropped", m.Dropped.Total},
		{"bytes/received", m.BytesReceived.Load},
		{"bytes/sent", m.BytesSent.Load},
		{"sockets", m.Accepted.Load},
		{"connections", m.Connects.Load},
	} {
		s.loads = append(s.loads, &load{name: l.name, total: l.total})
	}
	return s
}

func (s *sys) run(every time.Duration) {
	s.done.Add(1)
	go func() {
		defer s.done.Done()
		t := time.NewTicker(every)
		defer t.Stop()
		s.publish(0)
		for {
			select {
			case <-t.C:
				s.publish(every)
			case <-s.stop:
				return
			}
		}
	}()
}

func (s *sys) close() {
	s.once.Do(func() { close(s.stop) })
	s.done.Wait()
}

// publish sends what has changed since the last time, elapsed ago.
func (s *sys) publish(elapsed time.Duration) {
	b, m := s.b, &s.b.metrics
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	total := b.sessions.count.Load()
	connected := m.Connected.Load()
	s.set("version", b.o.Version)
	s.set("uptime", fmt.Sprintf("%d seconds", int64(time.Since(s.start).Seconds())))
	n := func(name string, v int64) { s.set(name, strconv.FormatInt(v, 10)) }
	n("clients/connected", connected)
	n("clients/active", connected)
	n("clients/disconnected", max(0, total-connected))
	n("clients/inactive", max(0, total-connected))
	n("clients/total", total)
	n("clients/maximum", m.MaxConnected.Load())
	n("clients/expired", m.SessionsExpired.Load())
	n("messages/received", m.PacketsReceived.Load())
	n("messages/sent", m.PacketsSent.Load())
	n("messages/stored", b.queuedCount.Load()+int64(b.retained.tree.Len()))
	n("store/messages/count", b.queuedCount.Load()+int64(b.retained.tree.Len()))
	n("store/messages/bytes", b.queuedBytes.Load()+b.spilledBytes.Load()+b.retainedBytes())
	n("publish/messages/received", m.PublishReceived.Load())
	n("publish/messages/sent", m.PublishSent.Load())
	n("publish/messages/dropped", m.Dropped.Total())
	n("publish/bytes/received", m.PublishReceivedBytes.Load())
	n("publish/bytes/sent", m.PublishSentBytes.Load())
	n("bytes/received", m.BytesReceived.Load())
	n("bytes/sent", m.BytesSent.Load())
	n("retained messages/count", int64(b.retained.tree.Len()))
	n("subscriptions/count", m.Subscriptions.Load())
	n("shared_subscriptions/count", int64(b.shared.Len()))
	n("heap/current", int64(mem.HeapAlloc))
	n("heap/maximum", int64(mem.HeapSys))
	n("gc/count", int64(mem.NumGC))
	n("gc/pause/longest", longestPause(&mem).Microseconds())
	n("storage/errors", m.StoreErrors.Load())
	s.set("storage/state", b.storageState())
	for _, c := range m.Dropped.Causes() {
		n("dropped/"+string(c), m.Dropped.Get(c))
	}
	for _, l := range s.loads {
		l.update(elapsed)
		for i, minutes := range loadMinutes {
			s.set(fmt.Sprintf("load/%s/%dmin", l.name, minutes), strconv.FormatFloat(l.mean[i], 'f', 2, 64))
		}
	}
}

// longestPause is that of the last 256 garbage collections, as many as the
// runtime remembers.
func longestPause(mem *runtime.MemStats) time.Duration {
	return time.Duration(slices.Max(mem.PauseNs[:]))
}

func (s *sys) set(name, value string) {
	if s.last[name] == value {
		return
	}
	s.last[name] = value
	m := Message{Topic: "$SYS/broker/" + name, Payload: []byte(value), Retain: true, Origin: OriginBroker}
	if err := s.b.Publish(nil, m, false); err != nil {
		s.b.log.Debug("$SYS", "topic", m.Topic, "err", err)
	}
}

// storageState is "ok", or why the store takes nothing, and since when: an alarm.
func (b *Broker) storageState() string {
	if a, may := b.store.(Ailing); may {
		if ok, why, since := a.State(); !ok {
			return "failed since " + since.UTC().Format(time.RFC3339) + ": " + why
		}
	}
	return "ok"
}

func (b *Broker) retainedBytes() int64 {
	b.retained.mu.Lock()
	defer b.retained.mu.Unlock()
	return b.retained.bytes
}
