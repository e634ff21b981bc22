package scripting

import (
	"fmt"
	"testing"

	"lunamq/core"
	"lunamq/core/packet"
)

func TestAuthenticateAnswers(t *testing.T) {
	for _, c := range []struct{ handlers, want string }{
		{`return`, "pass"},
		{`return mqtt.continue("more")`, `pass continue "more"`},
		{`return mqtt.continue()`, `pass continue nil`},
		{`return mqtt.allow("done")`, `allow "done"`},
		{`return mqtt.allow()`, `allow nil`},
		{`return true`, `allow nil`},
		{`return mqtt.deny("bad_user_name_or_password")`, "deny bad_user_name_or_password"},
		{`return false`, "deny not_authorized"},
		{`return mqtt.allow("one") end) mqtt.on("authenticate", function(a) return mqtt.allow("two")`, `allow "one"`},
		{`return mqtt.continue("one") end) mqtt.on("authenticate", function(a) return mqtt.allow("two")`, `allow continue "one"`},
		{`return mqtt.allow("one") end) mqtt.on("authenticate", function(a) return false`, "deny not_authorized"},
		{`a.data = "x"`, "deny unspecified_error"},
		{`return mqtt.drop()`, "deny unspecified_error"},
		{`return mqtt.disconnect()`, "deny unspecified_error"},
		{`return mqtt.deny("no_matching_subscribers")`, "deny unspecified_error"},
		{`return mqtt.continue(5)`, "deny unspecified_error"},
		{`return mqtt.continue("x", "y")`, "deny unspecified_error"},
		{`return mqtt.continue(("x"):rep(65536))`, "deny unspecified_error"},
	} {
		r := rules(t, `mqtt.on("authenticate", function(a) `+c.handlers+` end)`)
		h, _ := hookOf[core.AuthHook](r.host)
		a := h.OnAuth(&core.AuthEvent{Client: testClient(packet.V5), Method: "m", Step: 1})
		got := a.Verdict.String()
		switch {
		case a.Verdict == core.Deny:
			got += " " + a.Reason.String()
		case a.Continue:
			got += " continue"
		}
		if a.Verdict == core.Allow || a.Continue {
			if got += " "; a.Data == nil {
				got += "nil"
			} else {
				got += fmt.Sprintf("%q", a.Data)
			}
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s; logged %q", c.handlers, got, c.want, r.log.errors())
		}
	}
}

func TestContinueIsForAuthenticate(t *testing.T) {
	for statement, want := range map[string]string{
		`return mqtt.continue("x")`: "mqtt.continue() is no verdict for publish",
		`return mqtt.allow("x")`:    "mqtt.allow(data) is no verdict for publish",
	} {
		refusal(t, "publish", statement, want)
	}
}

// TestAuthenticateOnTheWire is an exchange of two steps and a re-authentication
// that is refused, by a real client.
func TestAuthenticateOnTheWire(t *testing.T) {
	x := onSocket(t, `
mqtt.on("authenticate", function(a)
	if a.method ~= "sum" then return end
	if a.step == 1 and a.data == nil then a.client.vars.asked = (a.client.vars.asked or 0) + 1 return mqtt.continue("2+2") end
	if a.data == "4" and a.client.vars.asked == 1 then return mqtt.allow("right") end
	return mqtt.deny("not_authorized", "that is not the sum")
end)`)
	auth := func(code packet.ReasonCode, data string) []byte {
		p := packet.Auth{Code: code}
		p.Props.Set(packet.AuthMethod)
		p.Props.AuthMethod = "sum"
		if data != "" {
			p.Props.Set(packet.AuthData)
			p.Props.AuthData = []byte(data)
		}
		return p.Append(nil, packet.V5)
	}
	dial := func() *wireClient {
		c := x.dial()
		p := packet.Connect{Version: packet.V5, CleanStart: true, ClientID: "a"}
		p.Props.Set(packet.AuthMethod)
		p.Props.AuthMethod = "sum"
		c.write(p.Append(nil))
		h, body := c.read()
		var asked packet.Auth
		must(t, asked.Decode(packet.V5, h, body))
		if h.Type != packet.AUTH || asked.Code != packet.ContinueAuthentication || string(asked.Props.AuthData) != "2+2" {
			t.Fatalf("asked %+v", asked)
		}
		return c
	}
	wrong := dial()
	wrong.write(auth(packet.ContinueAuthentication, "5"))
	if body := wrong.expect(packet.CONNACK); packet.ReasonCode(body[1]) != packet.NotAuthorized || wrong.next() != nil {
		t.Errorf("a wrong answer: % x", body)
	}
	c := dial()
	c.write(auth(packet.ContinueAuthentication, "4"))
	var ack packet.Connack
	h, body := c.read()
	must(t, ack.Decode(packet.V5, h, body))
	if ack.Code != packet.Success || string(ack.Props.AuthData) != "right" {
		t.Errorf("accepted with %+v", ack)
	}
	c.write(auth(packet.ReAuthenticate, "5"))
	if body := c.expect(packet.DISCONNECT); packet.ReasonCode(body[0]) != packet.NotAuthorized || c.next() != nil {
		t.Errorf("re-authentication: % x", body)
	}
	x.clean()
}
