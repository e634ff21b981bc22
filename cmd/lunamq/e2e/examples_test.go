package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"lunamq/core/packet"
)

const examples = repository + "/examples/scripts"

// exampleTests has a test for every rule of examples/scripts; each runs in the
// whole shipped set, which does not get in its way.
var exampleTests = map[string]func(t *testing.T, p *program){
	"10-users.lua":     exampleUsers,
	"15-tenants.lua":   exampleTenants,
	"20-topics.lua":    exampleTopics,
	"25-celsius.lua":   exampleCelsius,
	"30-plausible.lua": examplePlausible,
	"35-thin.lua":      exampleThin,
	"40-stamp.lua":     exampleStamp,
	"45-status.lua":    exampleStatus,
	"50-private.lua":   examplePrivate,
	"55-copy.lua":      exampleCopy,
	"60-limits.lua":    exampleLimits,
	"65-presence.lua":  examplePresence,
	"70-lost.lua":      exampleLost,
}

// startExamples runs the shipped set, from the folder where it is.
func startExamples(t *testing.T) *program {
	t.Helper()
	dir, err := filepath.Abs(examples)
	if err != nil {
		t.Fatal(err)
	}
	return start(t, setup{scripts: dir})
}

func TestExamples(t *testing.T) {
	files := exampleFiles(t)
	if len(files) < 10 {
		t.Fatalf("%d examples", len(files))
	}
	p := startExamples(t)
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			test := exampleTests[name]
			if test == nil {
				t.Fatalf("%s has no test: write one", name)
			}
			test(t, p.on(t))
		})
	}
	for name := range exampleTests {
		if _, err := os.Stat(filepath.Join(examples, name)); err != nil {
			t.Errorf("a test without its example: %v", err)
		}
	}
	if strings.Contains(p.said.text(), "level=ERROR") {
		t.Error("an example failed: see the log")
	}
}

// TestExamplesAlone: each rule can be used without the others.
func TestExamplesAlone(t *testing.T) {
	for name := range exampleTests {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(examples, name))
			if err != nil {
				t.Fatal(err)
			}
			p := start(t, setup{rules: map[string]string{name: string(text)}})
			c := p.connect(login{user: "demo-ann@acme", password: "acme"})
			granted(t, c, "demo/plain", 1)
			published(t, c, message{topic: "demo/plain", payload: "untouched", qos: 1})
			expect(t, c, "demo/plain untouched q1")
		})
	}
}

func exampleUsers(t *testing.T, p *program) {
	for _, v := range versions {
		wrong := packet.ReasonCode(4) // 3.1.1, table 3.1
		if v == packet.V5 {
			wrong = packet.BadUserNameOrPassword
		}
		p.connect(login{version: v, user: "demo-alice", password: "wonderland"})
		p.connect(login{version: v, user: "demo-admin", password: "looking-glass"})
		p.connect(login{version: v, user: "other", password: "whatever"})
		for user, password := range map[string]string{"demo-alice": "looking-glass", "demo-nobody": "wonderland", "demo-admin": ""} {
			if a := p.refused(login{version: v, user: user, password: password}); a.code != wrong {
				t.Errorf("%s: 0x%02x, want 0x%02x", user, byte(a.code), byte(wrong))
			}
		}
	}
	if line := p.waitFor("wrong user name or password"); !contains(line, "user=demo-", "remote=127.0.0.1:", "10-users.lua:") {
		t.Errorf("the log says %s", line)
	}
}

// tenant connects a user of a tenant with its password of the examples.
func tenant(p *program, user string) peer {
	password := map[string]string{"demo-ann@acme": "acme", "demo-bob@globex": "globex"}[user]
	return p.connect(login{user: user, password: password})
}

func exampleTenants(t *testing.T, p *program) {
	ann, bob, all := tenant(p, "demo-ann@acme"), tenant(p, "demo-bob@globex"), p.connect(login{})
	granted(t, ann, "#", 1)
	granted(t, bob, "#", 1)
	granted(t, all, "demo/tenants/#", 1)
	published(t, ann, message{topic: "sensors/1", payload: "ann's", qos: 1})
	published(t, bob, message{topic: "sensors/1", payload: "bob's", qos: 1})
	expect(t, ann, "sensors/1 ann's q1")
	expect(t, bob, "sensors/1 bob's q1")
	expect(t, all, "demo/tenants/acme/sensors/1 ann's q1", "demo/tenants/globex/sensors/1 bob's q1")
}

func exampleTopics(t *testing.T, p *program) {
	c := p.connect(login{version: packet.V311})
	granted(t, c, "demo/devices/7/temperature", 1)
	published(t, c, message{topic: "demo/legacy/7/temp", payload: "21", qos: 1})
	expect(t, c, "demo/devices/7/temperature 21 q1")
	old := p.connect(login{version: packet.V31})
	granted(t, old, "demo/legacy/8/temp", 1)
	published(t, c, message{topic: "demo/devices/8/temperature", payload: "22", qos: 1})
	expect(t, old, "demo/devices/8/temperature 22 q1")
	old.unsubscribe("demo/legacy/8/temp")
	granted(t, old, "demo/end", 1)
	published(t, c, message{topic: "demo/devices/8/temperature", payload: "23", qos: 1})
	published(t, c, message{topic: "demo/end", qos: 1})
	expect(t, old, "demo/end  q1")
}

func exampleCelsius(t *testing.T, p *program) {
	c := p.connect5(login{id: "gateway"})
	granted(t, c, "demo/fahrenheit/+", 1)
	published(t, c, message{topic: "demo/fahrenheit/9", payload: "212", qos: 1})
	m := c.next()
	if m.String() != `demo/fahrenheit/9 {"celsius":100,"by":"gateway"} q1` || m.props.ContentType != "application/json" {
		t.Errorf("got %q of type %q", m, m.props.ContentType)
	}
	if code, text := c.publish(message{topic: "demo/fahrenheit/9", payload: "warm", qos: 1}); code != packet.PayloadFormatInvalid || text != "not a number" {
		t.Errorf("warm: %s %q", code, text)
	}
}

func examplePlausible(t *testing.T, p *program) {
	c := p.connect(login{})
	granted(t, c, "demo/readings/#", 1)
	for _, bad := range []string{"101", "-1", "wet", "", "nan", "1e999"} {
		if code, _ := c.publish(message{topic: "demo/readings/1/humidity", payload: bad, qos: 1}); code != packet.Success {
			t.Errorf("%s: %s, want a normal acknowledgement", bad, code)
		}
	}
	published(t, c, message{topic: "demo/readings/1/humidity", payload: "55.5", qos: 1})
	expect(t, c, "demo/readings/1/humidity 55.5 q1")
}

func exampleThin(t *testing.T, p *program) {
	c := p.connect(login{})
	granted(t, c, "demo/fast/#", 1)
	const n = 50
	begin := time.Now()
	for i := range n {
		published(t, c, message{topic: "demo/fast/a", payload: fmt.Sprint(i), qos: 1})
	}
	seconds := int(time.Since(begin)/time.Second) + 1
	published(t, c, message{topic: "demo/fast/b", payload: "another topic", qos: 1})
	got := 0
	for m := c.next(); m.topic == "demo/fast/a"; m = c.next() {
		if got == 0 && m.payload != "0" {
			t.Errorf("the first was %q", m)
		}
		got++
	}
	if got < 1 || got > seconds {
		t.Errorf("%d of %d messages went on in less than %d s", got, n, seconds)
	}
}

func exampleStamp(t *testing.T, p *program) {
	c := p.connect5(login{id: "sender"})
	granted(t, c, "demo/stamped/#", 1)
	published(t, c, message{topic: "demo/stamped/x", payload: `{"v":1}`, qos: 1})
	m := c.next()
	var body struct {
		V                int
		Received, Sender string
	}
	if err := json.Unmarshal([]byte(m.payload), &body); err != nil || body.V != 1 || body.Sender != "sender" || m.user("sender") != "sender" {
		t.Errorf("got %q with %v, err %v", m, m.props.User, err)
	}
	at, err := time.Parse(time.RFC3339Nano, body.Received)
	if err != nil || m.user("received") != body.Received || time.Since(at).Abs() > time.Hour {
		t.Errorf("received %q and %q, err %v", body.Received, m.user("received"), err)
	}
	for _, plain := range []string{"21.5", "{not json", ""} {
		published(t, c, message{topic: "demo/stamped/x", payload: plain, qos: 1})
		if m := c.next(); m.payload != plain || m.user("sender") != "sender" {
			t.Errorf("%q became %q with %v", plain, m, m.props.User)
		}
	}
	old := p.connect(login{version: packet.V311, id: "old"})
	published(t, old, message{topic: "demo/stamped/y", payload: `{}`, qos: 1})
	if m := c.next(); m.user("sender") != "old" || !strings.Contains(m.payload, `"sender":"old"`) {
		t.Errorf("of 3.1.1: %q with %v", m, m.props.User)
	}
}

func exampleStatus(t *testing.T, p *program) {
	watch := p.connect5(login{})
	granted(t, watch, "demo/status/+", 1)
	for _, v := range versions {
		id := "pump" + v.String()
		topic := "demo/status/" + id
		c := p.connect(login{version: v, id: id, will: &message{topic: topic, payload: "gone", qos: 1}})
		published(t, c, message{topic: topic, payload: `{"status":"online"}`, qos: 1, retain: true})
		expect(t, watch, topic+` {"status":"online"} q1`)
		c.kill()
		var said struct{ Status, Reason, Client, At string }
		m := watch.next()
		if err := json.Unmarshal([]byte(m.payload), &said); err != nil || said.Status != "offline" || said.Reason == "" || said.Client != id || said.At == "" || m.props.ContentType != "application/json" {
			t.Errorf("got %q, err %v", m, err)
		}
		late := p.connect(login{version: v})
		granted(t, late, topic, 1)
		if kept := late.next(); !kept.retain || kept.payload != m.payload {
			t.Errorf("kept %q", kept)
		}
		published(t, late, message{topic: topic, qos: 1, retain: true})
		watch.next()
	}
}

func examplePrivate(t *testing.T, p *program) {
	alice := p.connect5(login{user: "demo-alice", password: "wonderland"})
	nobody := p.connect5(login{})
	for filter, want := range map[string]packet.ReasonCode{
		"demo/private/demo-alice/#": packet.NotAuthorized, "demo/private/demo-alice/diary": packet.NotAuthorized,
		"demo/private/+/diary": packet.NotAuthorized, "demo/#": packet.GrantedQoS1, "#": packet.GrantedQoS1,
	} {
		if code := nobody.subscribe(filter, 1); code != want {
			t.Errorf("somebody else subscribes %s: %s, want %s", filter, code, want)
		}
	}
	if code, _ := nobody.publish(message{topic: "demo/private/demo-alice/diary", payload: "forged", qos: 1}); code != packet.NotAuthorized {
		t.Errorf("somebody else publishes: %s", code)
	}
	granted(t, alice, "demo/private/demo-alice/#", 1)
	published(t, alice, message{topic: "demo/private/demo-alice/diary", payload: "dear", qos: 1, retain: true})
	expect(t, alice, "demo/private/demo-alice/diary dear q1")
	published(t, alice, message{topic: "demo/open", payload: "to all", qos: 1})
	for m := nobody.next(); m.topic != "demo/open"; m = nobody.next() { // other examples retain things
		if strings.HasPrefix(m.topic, "demo/private/") {
			t.Errorf("somebody else got %q", m)
		}
	}
	will := message{topic: "demo/private/demo-alice/diary", payload: "forged", qos: 1}
	p.connect(login{id: "forger", will: &will}).kill()
	p.waitFor("msg=\"client disconnected\" client=forger ")
	published(t, alice, message{topic: "demo/private/demo-alice/diary", qos: 1, retain: true})
	expect(t, alice, "demo/private/demo-alice/diary  q1") // and no will before it
}

func exampleCopy(t *testing.T, p *program) {
	c := p.connect(login{})
	granted(t, c, "demo/orders/+", 1)
	granted(t, c, "demo/archive/#", 1)
	for i, order := range []string{"tea", "cake"} {
		published(t, c, message{topic: "demo/orders/north", payload: order, qos: 1})
		expect(t, c, "demo/orders/north "+order+" q1", fmt.Sprintf(`demo/archive/north/last {"number":%d,"order":"%s"} q1`, i+1, order))
	}
	late := p.connect(login{version: packet.V311})
	granted(t, late, "demo/archive/north/last", 1)
	expect(t, late, `demo/archive/north/last {"number":2,"order":"cake"} q1 retained`)
}

func exampleLimits(t *testing.T, p *program) {
	c, watch := p.connect5(login{}), p.connect(login{})
	granted(t, watch, "demo/limited/#", 1)
	codes := make(map[packet.ReasonCode]int)
	begin := time.Now()
	for range 100 {
		code, _ := c.publish(message{topic: "demo/limited/x", payload: "y", qos: 1})
		codes[code]++
	}
	most := 10 + 5*(int(time.Since(begin)/time.Second)+1)
	if taken := codes[packet.Success]; taken < 10 || taken > most || codes[packet.QuotaExceeded] != 100-taken {
		t.Errorf("of 100 messages at once %d were taken, want 10 to %d: %v", taken, most, codes)
	}
	for range codes[packet.Success] {
		expect(t, watch, "demo/limited/x y q1")
	}
	slow := p.connect5(login{id: "demo-slow-1"})
	refused := 0
	for range 20 {
		if code, _ := slow.publish(message{topic: "anything", qos: 1}); code == packet.QuotaExceeded {
			refused++
		}
	}
	if refused == 0 {
		t.Error("a slow client published 20 messages at once")
	}
}

func examplePresence(t *testing.T, p *program) {
	watch := p.connect(login{id: "watch"})
	granted(t, watch, "demo/presence/+", 0)
	old := p.connect(login{version: packet.V311, id: "demo-lamp"})
	awaitTopic(t, watch, "demo/presence/demo-lamp", "online")
	c := p.connect5(login{id: "demo-lamp"}) // taken over: still online
	old.gone()
	awaitTopic(t, watch, "demo/presence/demo-lamp", "online")
	c.client.Disconnect(&paho.Disconnect{})
	awaitTopic(t, watch, "demo/presence/demo-lamp", "offline: normal_disconnection")
	late := p.connect(login{})
	granted(t, late, "demo/presence/demo-lamp", 0)
	expect(t, late, "demo/presence/demo-lamp offline: normal_disconnection retained")
}

// awaitTopic wants the next message on a topic, past those of other examples.
func awaitTopic(t *testing.T, c peer, topic, payload string) {
	t.Helper()
	for m := c.next(); ; m = c.next() {
		if m.topic != topic {
			continue
		}
		if m.payload != payload {
			t.Fatalf("got %q, want %q", m, payload)
		}
		return
	}
}

func exampleLost(t *testing.T, p *program) {
	watch := p.connect(login{})
	granted(t, watch, "demo/lost", 0)
	keep := login{id: "demo-slow-reader", keep: true} // 60-limits.lua: a queue of 50
	c := p.connect(keep)
	granted(t, c, "demo/many", 1)
	c.close()
	p.waitFor("msg=\"client disconnected\" client=demo-slow-reader ")
	for i := range 51 {
		published(t, watch, message{topic: "demo/many", payload: fmt.Sprint(i), qos: 1})
	}
	expect(t, watch, `demo/lost {"topic":"demo/many","cause":"queue_full","client":"demo-slow-reader"}`)
}

// TestNewcomer: the shipped set does not touch what a newcomer does: topics
// outside demo/, a subscription to everything, no user name, wills, retained
// messages, sessions.
func TestNewcomer(t *testing.T) {
	p := startExamples(t)
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			p := p.on(t)
			all, c := p.connect(login{version: v}), p.connect(login{version: v, will: &message{topic: "home/will", payload: "gone", qos: 2}})
			granted(t, all, "#", 2)
			for _, topic := range []string{"home/lamp", "demo", "demo/x", "legacy/1/temp", "private/x", "a/demo/fast/x"} {
				for qos := range byte(3) {
					for range 20 { // nothing is thinned or limited
						published(t, c, message{topic: topic, payload: `{"a": 1.0}`, qos: qos})
						expect(t, all, message{topic: topic, payload: `{"a": 1.0}`, qos: qos}.String())
					}
				}
			}
			published(t, c, message{topic: "home/kept", payload: "old", qos: 1, retain: true})
			expect(t, all, "home/kept old q1")
			granted(t, c, "home/+", 1)
			expect(t, c, "home/kept old q1 retained")
			c.kill()
			expect(t, all, "home/will gone q2")
			published(t, all, message{topic: "home/kept", qos: 1, retain: true})
			expect(t, all, "home/kept  q1")
		})
	}
	if strings.Contains(p.said.text(), "level=ERROR") {
		t.Error("an example failed: see the log")
	}
}
