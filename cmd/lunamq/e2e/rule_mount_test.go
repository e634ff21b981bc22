package e2e

import (
	"testing"

	"github.com/eclipse/paho.golang/paho"

	"lunamq/core/packet"
)

// mountRules give each user a part of the topics.
const mountRules = `
mqtt.on("connect", function(c)
  if c.username and c.username ~= "bad" then c.mount = "t/" .. c.username .. "/" end
  if c.username == "bad" then c.mount = "t/+/" end -- line 4
end)
mqtt.on("publish",   "see/#", function(msg) if msg.payload ~= "" then msg.payload = msg.payload .. " " .. msg.topic .. " in " .. msg.client.mount end end)
mqtt.on("subscribe", "#",     function(sub) if sub.filter:sub(1, 2) == "t/" then return mqtt.deny() end end)
mqtt.on("deliver",   "see/#", function(msg) msg.payload = msg.payload .. " to " .. msg.topic .. " by " .. msg.subscription.filter end)
mqtt.on("publish",   "tell",  function(msg)
  mqtt.publish{ topic = "t/ann/told", payload = "full topic", qos = 1 }
  mqtt.publish{ topic = "told", payload = "full topic", qos = 1 }
end)
`

// TestMount: tenants do not meet, and rules see topics as clients write them.
func TestMount(t *testing.T) {
	p := start(t, setup{rules: map[string]string{"m.lua": mountRules}})
	over := p.connect5(login{}) // sees everything, with its full topic
	granted(t, over, "#", 2)
	eachVersion(t, p, func(t *testing.T, p *program, v packet.Version) {
		ann := p.connect(login{version: v, id: "same", user: "ann"})
		bob := p.connect(login{version: v, id: "same", user: "bob"}) // another session: of another mount
		granted(t, ann, "#", 1)
		granted(t, bob, "+/x", 1)
		granted(t, bob, "$share/g/jobs/#", 1)

		published(t, ann, message{topic: "see/x", payload: "a", qos: 1})
		expect(t, ann, "see/x a see/x in t/ann/ to see/x by # q1")
		expect(t, over, "t/ann/see/x a see/x in t/ann/ q1")
		published(t, bob, message{topic: "see/x", payload: "b", qos: 1, retain: true})
		expect(t, bob, "see/x b see/x in t/bob/ to see/x by +/x q1")
		expect(t, over, "t/bob/see/x b see/x in t/bob/ q1")

		published(t, ann, message{topic: "jobs/1", payload: "ann's", qos: 1})
		published(t, bob, message{topic: "jobs/1", payload: "bob's", qos: 1})
		expect(t, ann, "jobs/1 ann's q1")
		expect(t, bob, "jobs/1 bob's q1")
		expect(t, over, "t/ann/jobs/1 ann's q1", "t/bob/jobs/1 bob's q1")

		published(t, ann, message{topic: "tell", qos: 1})
		expect(t, ann, "tell  q1", "told full topic q1")
		expect(t, over, "t/ann/tell  q1", "t/ann/told full topic q1", "told full topic q1")

		late := p.connect(login{version: v, user: "ann"}) // bob's retained message is not hers
		granted(t, late, "see/#", 1)
		published(t, late, message{topic: "see/y", payload: "c", qos: 1})
		expect(t, late, "see/y c see/y in t/ann/ to see/y by see/# q1")
		expect(t, ann, "see/y c see/y in t/ann/ to see/y by # q1")
		expect(t, over, "t/ann/see/y c see/y in t/ann/ q1")

		p.connect(login{version: v, user: "ann", will: &message{topic: "will", payload: "bye", qos: 1}}).kill()
		expect(t, ann, "will bye q1")
		expect(t, over, "t/ann/will bye q1")

		published(t, bob, message{topic: "see/x", qos: 1, retain: true})
		bob.next()
		over.next()
		ann.close()
		bob.close()
	})
	t.Run("response topic", func(t *testing.T) { checkMountedRequest(t, p.on(t), over) })
	if a := p.refused(login{user: "bad"}); a.code != packet.UnspecifiedError {
		t.Errorf("a mount with a wildcard: %s", a.code)
	}
	checkErrors(t, p, map[string]string{"m.lua:4": "mount"})
}

// checkMountedRequest: the response topic is inside the mount, like any other.
func checkMountedRequest(t *testing.T, p *program, over peer) {
	ask, answer := p.connect5(login{user: "ann"}), p.connect5(login{user: "ann"})
	granted(t, ask, "answers", 1)
	granted(t, answer, "questions", 1)
	published(t, ask, message{topic: "questions", payload: "?", qos: 1, props: &paho.PublishProperties{ResponseTopic: "answers"}})
	m := answer.next()
	if m.props.ResponseTopic != "answers" {
		t.Errorf("response topic %q", m.props.ResponseTopic)
	}
	if full := over.next(); full.props.ResponseTopic != "t/ann/answers" {
		t.Errorf("outside the mount, response topic %q", full.props.ResponseTopic)
	}
	published(t, answer, message{topic: m.props.ResponseTopic, payload: "!", qos: 1})
	expect(t, ask, "answers ! q1")
	expect(t, over, "t/ann/answers ! q1")
}

// TestIdentity: a session belongs to a user name; another one is refused, and
// the session goes on.
func TestIdentity(t *testing.T) {
	p := start(t, setup{})
	eachVersion(t, p, func(t *testing.T, p *program, v packet.Version) {
		id := "door" + v.String()
		ann := p.connect(login{version: v, id: id, user: "ann", keep: true})
		granted(t, ann, id, 1)
		want := packet.NotAuthorized
		if v != packet.V5 {
			want = 5
		}
		for _, user := range []string{"bob", ""} {
			if a := p.refused(login{version: v, id: id, user: user, keep: true}); a.code != want {
				t.Errorf("%q: 0x%02x, want 0x%02x", user, byte(a.code), byte(want))
			}
		}
		published(t, ann, message{topic: id, payload: "still here", qos: 1})
		expect(t, ann, id+" still here q1")
	})
}
