package core

import (
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lunamq/core/packet"
)

// sysNames are the names below $SYS/broker that mosquitto publishes
// (mosquitto(8), "Broker status", and sys_tree.c of 2.0).
var sysNames = strings.Fields(`
	version uptime
	clients/total clients/maximum clients/disconnected clients/inactive clients/connected clients/active clients/expired
	messages/stored store/messages/count store/messages/bytes subscriptions/count shared_subscriptions/count
	heap/current heap/maximum messages/received messages/sent
	publish/messages/dropped publish/messages/received publish/messages/sent publish/bytes/received publish/bytes/sent
	bytes/received bytes/sent
	load/messages/received/1min load/messages/received/5min load/messages/received/15min
	load/messages/sent/1min load/publish/received/1min load/publish/sent/1min load/publish/dropped/1min
	load/bytes/received/1min load/bytes/sent/1min load/sockets/1min load/connections/15min`)

func TestLongestPause(t *testing.T) {
	mem := new(runtime.MemStats)
	if d := longestPause(mem); d != 0 {
		t.Errorf("%v before the first", d)
	}
	mem.PauseNs[3], mem.PauseNs[255] = 2_000, 1_000
	if d := longestPause(mem); d != 2*time.Microsecond {
		t.Errorf("%v, want 2µs", d)
	}
}

// TestSys: the customary names are there, retained, and hold what is so.
func TestSys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wireOptions()
		o.SysInterval, o.Version = 10*time.Second, "lunamq 1"
		s := newStage(t, o)
		defer s.end()
		s.connect("id=kept expiry=100").send("DISCONNECT")
		synctest.Wait() // until it has gone: there is one client at most
		p := s.connect("clean id=a")
		p.send("SUBSCRIBE id=1 f=x")
		p.send("PUBLISH topic=x payload=12345 q=1 id=1 retain")
		p.packets()
		p.send("PUBACK id=1")
		time.Sleep(10*time.Second + time.Millisecond)
		p.send("SUBSCRIBE id=2 f=$SYS/#")
		values := make(map[string]string)
		for _, got := range p.packets() {
			if x, _ := decodePacket(got, packet.V5); x != nil {
				if m, ok := x.(*packet.Publish); ok && m.Retain {
					values[strings.TrimPrefix(m.Topic, "$SYS/broker/")] = string(m.Payload)
				}
			}
		}
		for _, name := range append(sysNames, "retained messages/count", "gc/count", "gc/pause/longest") {
			if _, ok := values[name]; !ok {
				t.Errorf("$SYS/broker/%s is not there", name)
			}
		}
		for name, want := range map[string]string{
			"version": "lunamq 1", "uptime": "10 seconds", "clients/connected": "1", "clients/disconnected": "1", "clients/total": "2",
			"clients/maximum": "1", "subscriptions/count": "1", "publish/messages/received": "1", "publish/messages/sent": "1",
			// CONNECT, DISCONNECT; CONNECT, SUBSCRIBE, PUBLISH, PUBACK
			"messages/received": "6",
			// CONNACK; CONNACK, SUBACK, PUBLISH, PUBACK
			"messages/sent": "5", "publish/messages/dropped": "0",
		} {
			if values[name] != want {
				t.Errorf("$SYS/broker/%s is %q, want %q", name, values[name], want)
			}
		}
	})
}

// TestSysIsTheBrokers: clients may not publish there (4.7.2), and it is not
// matched by a filter that begins with a wildcard [MQTT-4.7.2-1].
func TestSysIsTheBrokers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wireOptions()
		o.SysInterval = 10 * time.Second
		s := newStage(t, o)
		defer s.end()
		p := s.connect("clean id=a")
		p.send("SUBSCRIBE id=1 f=#")
		p.expect("SUBACK id=1 codes=0")
		p.send("PUBLISH topic=$SYS/broker/version payload=mine q=1 id=1 retain")
		p.expect("PUBACK id=1 code=0x87 reason=*")
		time.Sleep(time.Minute)
		p.expect()
	})
}

// TestLoad: the averages approach the rate, the shorter the faster.
func TestLoad(t *testing.T) {
	total := int64(0)
	l := &load{total: func() int64 { return total }}
	for range 6 * 60 { // an hour of 10 a second
		total += 100
		l.update(10 * time.Second)
	}
	for i, mean := range l.mean {
		if mean < 580 || mean > 600 {
			t.Errorf("after an hour the average of %d minutes is %.1f a minute", loadMinutes[i], mean)
		}
	}
	l.update(10 * time.Second)
	falling := l.mean[:]
	if !slices.IsSorted(falling) || falling[0] > 520 {
		t.Errorf("after silence: %v", l.mean)
	}
}

// ailingStore is a store that fails for a while.
type ailingStore struct {
	*MemoryStore
	since time.Time
	why   atomic.Value // string
}

func (s *ailingStore) State() (bool, string, time.Time) {
	why, _ := s.why.Load().(string)
	return why == "", why, s.since
}

// TestSysStorage: a store that takes nothing any more is an alarm.
func TestSysStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wireOptions()
		store := &ailingStore{MemoryStore: NewMemoryStore(), since: time.Unix(0, 0)}
		o.SysInterval, o.Store = 10*time.Second, store
		s := newStage(t, o)
		defer s.end()
		p := s.connect("clean id=a")
		p.send("SUBSCRIBE id=1 f=$SYS/broker/storage/state:rap")
		p.expect("SUBACK id=1 codes=0", "PUBLISH topic=$SYS/broker/storage/state payload=ok retain")
		for _, c := range []struct{ why, want string }{{"full", "failed since 1970-01-01T00:00:00Z: full"}, {"", "ok"}} {
			store.why.Store(c.why)
			time.Sleep(10*time.Second + time.Millisecond)
			got := p.packets()
			if len(got) != 1 {
				t.Fatalf("%d packets came", len(got))
			}
			x, _ := decodePacket(got[0], packet.V5)
			if m, ok := x.(*packet.Publish); !ok || string(m.Payload) != c.want {
				t.Errorf("%+v came, want %q", x, c.want)
			}
		}
	})
}
