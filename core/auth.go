package core

import (
	"fmt"

	"lunamq/core/packet"
)

// authState is a connection's enhanced authentication (4.12): under way before
// CONNACK, kept after it for re-authentication.
type authState struct {
	method  string
	step    int
	again   bool     // re-authentication
	waiting bool     // for the client's AUTH
	pending *pending // before CONNACK
	client  *Client  // what hooks are shown before CONNACK
	reply   ConnectReply
}

// startAuth begins the authentication that a CONNECT asked for.
func (c *conn) startAuth(r *round, p *pending) error {
	in := &p.in.Props
	p.authMethod = in.AuthMethod
	c.auth = &authState{method: in.AuthMethod, pending: p, reply: p.ev.Reply, client: &Client{
		ID: p.ev.ClientID, Username: p.ev.Username, HasUsername: p.ev.HasUsername,
		Remote: c.remote, Listener: c.listener.Name, Protocol: c.version, TLS: c.tls, Mount: p.ev.Mount, Vars: p.ev.Vars,
	}}
	c.state = stateAuth
	return c.stepAuth(r, in.AuthData)
}

// handleAuth takes an AUTH (3.15): the next step, or the start of a
// re-authentication.
func (c *conn) handleAuth(r *round, h packet.Header, body []byte) error {
	if c.version != packet.V5 {
		return refuse(packet.MalformedPacket, "AUTH before MQTT 5")
	}
	var in packet.Auth
	if err := in.Decode(c.version, h, body); err != nil {
		return err
	}
	if err := in.CheckFrom(packet.FromClient); err != nil {
		return err
	}
	a := c.auth
	if a == nil || a.method == "" {
		return refuse(packet.ProtocolError, "AUTH on a connection without an authentication method") // [MQTT-4.12.1-1]
	}
	if in.Props.AuthMethod != a.method {
		return refuse(packet.ProtocolError, fmt.Sprintf("AUTH with method %q after %q", in.Props.AuthMethod, a.method)) // [MQTT-4.12.0-5]
	}
	switch {
	case in.Code == packet.ReAuthenticate && c.state == stateAccepted && !a.waiting:
		a.again, a.step = true, 0
	case in.Code == packet.ContinueAuthentication && a.waiting:
	default:
		return refuse(packet.ProtocolError, "AUTH with "+in.Code.String()+" is out of turn") // [MQTT-4.12.0-3]
	}
	return c.stepAuth(r, append([]byte(nil), in.Props.AuthData...))
}

// stepAuth asks the hooks about one step and answers it.
func (c *conn) stepAuth(r *round, data []byte) error {
	a := c.auth
	a.step++
	a.waiting = false
	ev := &AuthEvent{Turn: Turn{round: r}, Client: a.client, Method: a.method, Data: data, Step: a.step, Again: a.again}
	if c.client != nil {
		ev.Client = c.client
	}
	answer := c.b.askAuth(ev)
	switch {
	case answer.refuses():
		ev.settle(true)
		c.b.metrics.ConnectsDenied.Add(1)
		return &stop{reason: answer.code(), text: answer.Text, by: ByScript, who: answer.By}
	case answer.Continue:
		ev.settle(false)
		a.waiting = true
		return c.sendAuth(r, packet.ContinueAuthentication, answer.Data)
	case a.again:
		ev.settle(false)
		return c.sendAuth(r, packet.Success, answer.Data)
	}
	ev.settle(false)
	p := a.pending
	a.pending = nil
	p.authData = answer.Data
	return c.accept(r, p)
}

// askAuth puts a step to the hooks until one knows the method.
func (b *Broker) askAuth(ev *AuthEvent) (answer AuthAnswer) {
	ev.round.beforeHooks()
	for _, h := range b.hooks.Load().auth {
		d := guard(b, h, func(h AuthHook) Decision {
			answer = h.OnAuth(ev)
			return answer.Decision
		})
		answer.Decision = d
		if answer.Continue || d.Verdict != Pass {
			return answer
		}
	}
	return AuthAnswer{Decision: Decision{Verdict: Deny, Reason: packet.BadAuthenticationMethod, Text: "nobody knows the authentication method", By: "broker"}}
}

func (c *conn) sendAuth(r *round, code packet.ReasonCode, data []byte) error {
	p := packet.Auth{Code: code}
	p.Props.Set(packet.AuthMethod)
	p.Props.AuthMethod = c.auth.method
	if data != nil {
		p.Props.Set(packet.AuthData)
		p.Props.AuthData = data
	}
	return c.answer(r, p.Append(r.scratch[:0], c.version))
}
