package e2e

import (
	"fmt"
	"strings"
	"testing"

	"lunamq/core/packet"
)

// clients are the real clients of the ordinary walk.
var clients = []login{
	{client: "mosquitto", version: packet.V31},
	{client: "mosquitto", version: packet.V311},
	{client: "mosquitto", version: packet.V5},
	{version: packet.V31},
	{version: packet.V311},
	{version: packet.V5},
}

func (d login) name() string {
	if d.client == "" {
		return "paho " + d.version.String()
	}
	return d.client + " " + d.version.String()
}

// walk is one client's ordinary walk, below a topic of its own.
type walk struct {
	t    *testing.T
	p    *program
	as   login
	root string
}

// connect connects as the walk's client, with what more it is to have.
func (w *walk) connect(more ...func(*login)) peer {
	w.t.Helper()
	d := w.as
	for _, f := range more {
		f(&d)
	}
	return w.p.connect(d)
}

// TestWalk is what people do with a broker, with each of the clients they have.
func TestWalk(t *testing.T) {
	p := start(t, setup{})
	steps := []struct {
		name string
		walk func(*walk)
	}{
		{"qos", walkQoS}, {"wildcards", walkWildcards}, {"retained", walkRetained}, {"sys", walkSys},
		{"will", walkWill}, {"no will", walkNoWill}, {"session", walkSession}, {"shared", walkShared},
	}
	for i, as := range clients {
		t.Run(as.name(), func(t *testing.T) {
			t.Parallel()
			for _, step := range steps {
				t.Run(step.name, func(t *testing.T) {
					root := strings.ReplaceAll(fmt.Sprintf("w%d/%s", i, step.name), " ", "-")
					step.walk(&walk{t, p.on(t), as, root})
				})
			}
		})
	}
}

// walkQoS: each message comes with the lower of the two QoS (5.0, 3.8.4).
func walkQoS(w *walk) {
	for granted := range byte(3) {
		topic := fmt.Sprintf("%s/%d", w.root, granted)
		sub, pub := w.connect(), w.connect()
		if code := sub.subscribe(topic, granted); code != packet.ReasonCode(granted) {
			w.t.Fatalf("granted 0x%02x, want %d", byte(code), granted)
		}
		for qos := range byte(3) {
			sent := message{topic: topic, payload: fmt.Sprint("sent with ", qos), qos: qos}
			published(w.t, pub, sent)
			sent.qos = min(qos, granted)
			expect(w.t, sub, sent.String())
		}
		sub.close()
	}
}

// walkWildcards: + is one level, # the rest with its parent (4.7.1).
func walkWildcards(w *walk) {
	topics := []string{"a", "a/b", "a/b/c", "a/x/c", "b", "/a"}
	tests := []struct {
		filter string
		want   []string
	}{
		{"#", topics},
		{"a/#", []string{"a", "a/b", "a/b/c", "a/x/c"}},
		{"+", []string{"a", "b"}},
		{"a/+/c", []string{"a/b/c", "a/x/c"}},
		{"+/a", []string{"/a"}},
	}
	pub := w.connect()
	for i, tt := range tests {
		sub := w.connect()
		root := fmt.Sprintf("%s/%d/", w.root, i)
		granted(w.t, sub, root+tt.filter, 1)
		if !strings.HasSuffix(tt.filter, "#") { // the last message shows that no other came before
			topics = append(topics[:6:6], strings.NewReplacer("+", "end").Replace(tt.filter))
			tt.want = append(tt.want[:len(tt.want):len(tt.want)], topics[6])
		}
		for _, topic := range topics {
			published(w.t, pub, message{topic: root + topic, payload: "-", qos: 1})
		}
		for _, topic := range tt.want {
			expect(w.t, sub, root+topic+" - q1")
		}
		sub.close()
	}
}

// walkRetained: set, seen by a late subscriber, cleared [MQTT-3.3.1-6].
func walkRetained(w *walk) {
	topic := w.root + "/lamp"
	live, pub := w.connect(), w.connect()
	granted(w.t, live, w.root+"/#", 1)
	published(w.t, pub, message{topic: topic, payload: "off", qos: 1, retain: true})
	published(w.t, pub, message{topic: topic, payload: "on", qos: 1, retain: true})
	expect(w.t, live, topic+" off q1", topic+" on q1") // [MQTT-3.3.1-12]: not as retained

	late := w.connect()
	granted(w.t, late, topic, 1)
	expect(w.t, late, topic+" on q1 retained")
	late.close()

	published(w.t, pub, message{topic: topic, qos: 1, retain: true})
	expect(w.t, live, topic+"  q1")
	after := w.connect()
	granted(w.t, after, w.root+"/#", 1)
	published(w.t, pub, message{topic: topic, payload: "barrier", qos: 1})
	expect(w.t, after, topic+" barrier q1")
	after.close()
	live.close()
}

// walkSys: the broker says who it is, and # does not include it [MQTT-4.7.2-1].
func walkSys(w *walk) {
	sub := w.connect()
	granted(w.t, sub, "$SYS/broker/version", 0)
	if m := sub.next(); !m.retain || !strings.HasPrefix(m.payload, "LunaMQ ") {
		w.t.Errorf("got %q", m)
	}
	sub.close()
	all := w.connect()
	granted(w.t, all, "#", 0)
	published(w.t, all, message{topic: w.root + "/barrier", payload: "-"})
	for m := all.next(); m.topic != w.root+"/barrier"; m = all.next() { // what other walks publish comes too
		if strings.HasPrefix(m.topic, "$") {
			w.t.Fatalf("# got %q", m)
		}
	}
	all.close()
}

// walkWill: the will of a client that is killed [MQTT-3.1.2-8].
func walkWill(w *walk) {
	watch := w.connect()
	granted(w.t, watch, w.root+"/#", 2)
	c := w.connect(func(d *login) { d.will = &message{topic: w.root + "/will", payload: "gone", qos: 1, retain: true} })
	granted(w.t, c, w.root+"/none", 0)
	c.kill()
	expect(w.t, watch, w.root+"/will gone q1")
	late := w.connect()
	granted(w.t, late, w.root+"/will", 1)
	expect(w.t, late, w.root+"/will gone q1 retained")
	late.close()
	watch.close()
}

// walkNoWill: DISCONNECT takes the will back [MQTT-3.1.2-10], unless it asks for
// it, as mosquitto_sub of 5 does when it is told to end (0x04, 3.14.2.1).
func walkNoWill(w *walk) {
	watch := w.connect()
	granted(w.t, watch, w.root+"/#", 2)
	c := w.connect(func(d *login) { d.will = &message{topic: w.root + "/will", payload: "gone", qos: 1} })
	granted(w.t, c, w.root+"/none", 0)
	c.close()
	if w.as.client == "mosquitto" && w.as.version == packet.V5 {
		expect(w.t, watch, w.root+"/will gone q1")
	}
	published(w.t, watch, message{topic: w.root + "/barrier", payload: "-", qos: 1})
	expect(w.t, watch, w.root+"/barrier - q1")
	watch.close()
}

// walkSession: who comes back gets what it missed, in order [MQTT-3.1.2-5].
func walkSession(w *walk) {
	id := fmt.Sprintf("%s%d", w.as.client, w.p.serial.Add(1))
	persistent := func(d *login) { d.keep, d.id = true, id }
	first := w.connect(persistent)
	granted(w.t, first, w.root+"/#", 2)
	first.close()
	w.p.waitFor("msg=\"client disconnected\" client=" + id + " ")

	pub := w.connect()
	published(w.t, pub, message{topic: w.root + "/x", payload: "not queued"}) // [mqtt] queue_qos0_offline = false
	for i := range 3 {
		published(w.t, pub, message{topic: w.root + "/x", payload: fmt.Sprint("missed ", i), qos: byte(1 + i/2)})
	}
	again := w.connect(persistent)
	if w.as.client == "mosquitto" { // which subscribes anew each time
		granted(w.t, again, w.root+"/#", 2)
	}
	expect(w.t, again, w.root+"/x missed 0 q1", w.root+"/x missed 1 q1", w.root+"/x missed 2 q2")
	published(w.t, pub, message{topic: w.root + "/x", payload: "live", qos: 1})
	expect(w.t, again, w.root+"/x live q1")
	again.close()

	clean := w.connect(func(d *login) { d.id = id }) // a clean start ends the session
	granted(w.t, clean, w.root+"/other", 1)
	published(w.t, pub, message{topic: w.root + "/x", payload: "nobody", qos: 1})
	published(w.t, pub, message{topic: w.root + "/other", payload: "barrier", qos: 1})
	expect(w.t, clean, w.root+"/other barrier q1")
	clean.close()
}

// walkShared: of the members of a share each message goes to one; what one
// leaves, the other gets (4.8.2).
func walkShared(w *walk) {
	const n = 20
	a, b, pub := w.connect(), w.connect(), w.p.connect(login{version: w.as.version})
	share := "$share/g/" + w.root + "/+"
	a.subscribe(share, 1, w.root+"-end")
	b.subscribe(share, 1, w.root+"-end")
	for i := range n {
		published(w.t, pub, message{topic: w.root + "/job", payload: fmt.Sprint(i), qos: 1})
	}
	published(w.t, pub, message{topic: w.root + "-end", qos: 1})
	seen := make(map[string]int)
	for _, c := range []peer{a, b} {
		got := 0
		for m := c.next(); m.topic != w.root+"-end"; m = c.next() {
			seen[m.payload]++
			got++
		}
		if got == 0 {
			w.t.Error("a member got none of the jobs")
		}
	}
	for i := range n {
		if k := seen[fmt.Sprint(i)]; k != 1 {
			w.t.Errorf("job %d was done %d times", i, k)
		}
	}
	a.kill()
	for i := range n {
		published(w.t, pub, message{topic: w.root + "/job", payload: fmt.Sprint("alone ", i), qos: 1})
	}
	left := make(map[string]bool) // in whatever order: what went to a before it was missed comes last
	for range n {
		left[b.next().payload] = true
	}
	if len(left) != n {
		w.t.Errorf("of %d jobs the member that stayed got %d", n, len(left))
	}
	b.close()
}
