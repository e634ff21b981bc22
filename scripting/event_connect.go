package scripting

import (
	"errors"
	"fmt"
	"math"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/core/packet"
)

// connectEvent: a CONNECT was decoded; nothing is registered yet.
var connectEvent = &event[core.ConnectEvent]{
	eventInfo: eventInfo{name: "connect", deny: packet.CONNACK, disconnect: packet.CONNACK},
	kind:      newKind(kind[core.ConnectEvent]{name: "connect event", fields: connectFields}),
	hook:      func(p *plan[core.ConnectEvent]) any { return connectHook{p} },
	client: func(ev *core.ConnectEvent) *core.Client {
		return &core.Client{ID: ev.ClientID, Username: ev.Username, HasUsername: ev.HasUsername, Remote: ev.Remote,
			Listener: ev.Listener, Protocol: ev.Protocol, Mount: ev.Mount}
	},
	save: func(c *call, ev *core.ConnectEvent) {
		saved := *ev
		if ev.Will != nil { // changed in place through its own object
			was := *ev.Will
			saved.Will = &was
		}
		at := ev.Will
		c.undo = func() {
			turn := ev.Turn
			*ev = saved
			ev.Turn = turn
			if at != nil {
				*at = *saved.Will
				ev.Will = at
			}
		}
	},
}

type connectHook struct{ *plan[core.ConnectEvent] }

func (h connectHook) OnConnect(ev *core.ConnectEvent) core.Decision { return h.ask(&ev.Turn, ev) }

var connectFields = fields[core.ConnectEvent]{
	"client_id": {
		doc: "string: the client identifier; \"\" if none was sent",
		get: func(c *call, ev *core.ConnectEvent) lua.LValue { return c.name(ev.ClientID) },
		set: func(_ *call, ev *core.ConnectEvent, x lua.LValue) error {
			s, err := toText(x) // [MQTT-3.1.3-4]
			if err == nil {
				ev.ClientID = s
			}
			return err
		},
	},
	"username": {
		doc: "string?: the user name; nil if none was sent",
		get: func(c *call, ev *core.ConnectEvent) lua.LValue {
			if !ev.HasUsername {
				return lua.LNil
			}
			return c.text(ev.Username)
		},
		set: func(_ *call, ev *core.ConnectEvent, x lua.LValue) (err error) {
			s := ""
			if x != lua.LNil {
				if s, err = toText(x); err != nil { // [MQTT-3.1.3-11]
					return err
				}
			}
			ev.HasUsername, ev.Username = x != lua.LNil, s
			return nil
		},
	},
	"password": {doc: "string?: the password, as bytes; nil if none was sent", get: func(c *call, ev *core.ConnectEvent) lua.LValue {
		if ev.Password == nil {
			return lua.LNil
		}
		c.chargeBytes(len(ev.Password))
		return lua.LString(ev.Password)
	}},
	"protocol":    {doc: "'3.1'|'3.1.1'|'5': the version the client speaks", get: func(_ *call, ev *core.ConnectEvent) lua.LValue { return protocol(ev.Protocol) }},
	"clean_start": {doc: "boolean: whether an old session is thrown away (clean session in 3.x)", get: func(_ *call, ev *core.ConnectEvent) lua.LValue { return boolean(ev.CleanStart) }},
	"keep_alive": {
		doc: "integer: seconds, 0 for none; lowered only for MQTT 5, which is told",
		get: func(_ *call, ev *core.ConnectEvent) lua.LValue { return number(ev.KeepAlive) },
		set: setKeepAlive,
	},
	"session_expiry": {
		doc: "integer?: seconds that the session outlives the connection",
		get: func(_ *call, ev *core.ConnectEvent) lua.LValue {
			if ev.Protocol != packet.V5 && ev.SessionExpiry == 0 {
				return lua.LNil // of a clean 3.x session; of others it is the broker's own
			}
			return number(ev.SessionExpiry)
		},
		set: func(_ *call, ev *core.ConnectEvent, x lua.LValue) error {
			n, err := toInteger(x, 0, math.MaxUint32) // 3.1.2.11.2: four byte integer, seconds
			if err == nil {
				ev.SessionExpiry = uint32(n)
			}
			return err
		},
	},
	"receive_maximum": {doc: "integer?: messages of QoS 1 and 2 that the client takes at once; nil for 3.x", get: func(_ *call, ev *core.ConnectEvent) lua.LValue {
		if ev.Protocol != packet.V5 {
			return lua.LNil
		}
		return number(ev.ReceiveMaximum)
	}},
	"maximum_packet_size": {doc: "integer?: bytes of a packet that the client takes; nil for no bound", get: func(_ *call, ev *core.ConnectEvent) lua.LValue {
		if ev.Protocol != packet.V5 || ev.MaximumPacketSize == 0 {
			return lua.LNil
		}
		return number(ev.MaximumPacketSize)
	}},
	"user_properties": {doc: "lunamq.UserProperties: those of the CONNECT; read-only", get: func(c *call, ev *core.ConnectEvent) lua.LValue {
		return part(c, lentPropertiesKind, (*lentProperties)(&ev.UserProperties))
	}},
	"will": {
		doc: "lunamq.Message?: the will; nil strips it, a table {topic=, payload=, …} makes one",
		get: func(c *call, ev *core.ConnectEvent) lua.LValue { return part(c, messageKind, ev.Will) },
		set: setWill,
	},
	"remote":   {doc: "string: the client's address, \"ip:port\"", get: func(c *call, ev *core.ConnectEvent) lua.LValue { return c.text(ev.Remote) }},
	"listener": {doc: "string: the name of the listener it came by", get: func(c *call, ev *core.ConnectEvent) lua.LValue { return c.text(ev.Listener) }},
	"tls":      {doc: "lunamq.TLS?: the facts of the TLS connection; nil without TLS", get: func(c *call, ev *core.ConnectEvent) lua.LValue { return part(c, tlsKind, ev.TLS) }},
	"vars": {
		doc: "table<string, string|number|boolean>: variables of the session; they outlive a reload",
		get: func(c *call, ev *core.ConnectEvent) lua.LValue {
			if ev.Vars == nil {
				ev.Vars = new(core.Vars)
			}
			return part(c, varsKind, ev.Vars)
		},
		set: func(_ *call, ev *core.ConnectEvent, x lua.LValue) error {
			vars, err := toVars(x)
			if err == nil {
				ev.Vars = vars
			}
			return err
		},
	},
	"mount": {
		doc: "string: a prefix of all topics and filters of this client, ending in /; \"\" for none",
		get: func(c *call, ev *core.ConnectEvent) lua.LValue { return c.text(ev.Mount) },
		set: func(_ *call, ev *core.ConnectEvent, x lua.LValue) (err error) {
			s := ""
			if x != lua.LNil {
				if s, err = toMount(x); err != nil {
					return err
				}
			}
			ev.Mount = s
			return nil
		},
	},
	"limits": {
		doc: "lunamq.Limits: the bounds of this client",
		get: func(c *call, ev *core.ConnectEvent) lua.LValue { return part(c, limitsKind, &ev.Limits) },
		set: func(c *call, ev *core.ConnectEvent, x lua.LValue) error {
			return assignAll(c, limitsKind, &ev.Limits, x)
		},
	},
	"reply": {
		doc: "lunamq.Reply: what the CONNACK of MQTT 5 says besides",
		get: func(c *call, ev *core.ConnectEvent) lua.LValue { return part(c, replyKind, &ev.Reply) },
		set: func(c *call, ev *core.ConnectEvent, x lua.LValue) error { return assignAll(c, replyKind, &ev.Reply, x) },
	},
}

// setKeepAlive: MQTT 5 clients are told a lower one (3.2.2.3.14), those of 3.x
// cannot be, so there it is only raised. 0 is none, the highest.
func setKeepAlive(_ *call, ev *core.ConnectEvent, x lua.LValue) error {
	n, err := toInteger(x, 0, math.MaxUint16)
	if err != nil {
		return err
	}
	lower := n != 0 && (ev.KeepAlive == 0 || n < float64(ev.KeepAlive))
	if lower && ev.Protocol != packet.V5 {
		return fmt.Errorf("cannot be lowered from %d to %.0f for a client of %s, which cannot be told", ev.KeepAlive, n, ev.Protocol)
	}
	ev.KeepAlive = uint16(n)
	return nil
}

// setWill strips the will (nil), keeps it, or makes one of a table.
func setWill(c *call, ev *core.ConnectEvent, x lua.LValue) error {
	if x == lua.LNil {
		ev.Will, ev.WillDelay = nil, 0
		return nil
	}
	if ud, ok := x.(*lua.LUserData); ok {
		if r, ok := ud.Value.(*ref[core.Message]); ok && r.alive() {
			ev.Will = r.v
			return nil
		}
	}
	m, err := toMessage(c, x)
	if err != nil {
		return err
	}
	m.Origin = core.OriginWill
	ev.Will = m
	return nil
}

// toMount wants a prefix of topics (see SCRIPT-API.md, "mount").
func toMount(x lua.LValue) (string, error) {
	s, err := toText(x)
	switch {
	case err != nil || s == "":
		return s, err
	case !strings.HasSuffix(s, "/"):
		return "", fmt.Errorf("must end in /, %q does not", clip(s))
	case strings.ContainsAny(s, "+#$"):
		return "", fmt.Errorf("must not contain + # or $, %q does", clip(s))
	}
	return s, nil
}

// assignAll assigns the fields of a table to an object: ev.limits = {queued = 10}.
// Fields that the table does not have stay.
func assignAll[T any](c *call, k *kind[T], v *T, x lua.LValue) error {
	if ud, ok := x.(*lua.LUserData); ok {
		if r, ok := ud.Value.(*ref[T]); ok && r.alive() {
			*v = *r.v
			return nil
		}
	}
	t, ok := x.(*lua.LTable)
	if !ok {
		return fmt.Errorf("must be a table, not %s", describe(x))
	}
	from, err := stringKeys(t, k.names)
	if err != nil {
		return err
	}
	for _, name := range k.names {
		if x := from[name]; x != nil {
			if err := k.fields[name].set(c, v, x); err != nil {
				return fmt.Errorf("%s %w", name, err)
			}
		}
	}
	return nil
}

// limitsKind are the bounds of one client. What does not bind reads as
// math.huge and is written as that or as "unlimited", never as 0.
var limitsKind = newKind(kind[core.Limits]{name: "limits", fields: fields[core.Limits]{
	"publish_rate":  rate(func(l *core.Limits) *float64 { return &l.PublishRate }).as("number: messages that it may publish per second"),
	"publish_bytes": rate(func(l *core.Limits) *float64 { return &l.PublishBytes }).as("number: bytes of payload that it may publish per second"),
	"inflight":      bound(1, func(l *core.Limits) *int { return &l.Inflight }).as("number: messages of QoS 1 and 2 sent to it and not acknowledged; with MQTT 5 as many from it"),
	"queued":        bound(1, func(l *core.Limits) *int { return &l.Queued }).as("number: messages that wait for it"),
	"packet_size":   bound(2, func(l *core.Limits) *int { return &l.PacketSize }).as("number: bytes of a packet from it"), // 2.1: a fixed header
	"subscriptions": bound(0, func(l *core.Limits) *int { return &l.Subscriptions }).as("number: subscriptions"),
}})

var errNoRate = errors.New(`must be above 0, or "unlimited": 0 would be no limit; refuse publishing with a publish handler`)

func isUnlimited(x lua.LValue) bool {
	return x == lua.LString("unlimited") || x == lua.LNumber(math.Inf(1))
}

// rate is a bound per second, of which the core writes "no limit" as 0.
func rate(of func(*core.Limits) *float64) field[core.Limits] {
	return field[core.Limits]{
		get: func(_ *call, l *core.Limits) lua.LValue {
			if *of(l) == 0 {
				return lua.LNumber(math.Inf(1))
			}
			return lua.LNumber(*of(l))
		},
		set: func(_ *call, l *core.Limits, x lua.LValue) error {
			if isUnlimited(x) {
				*of(l) = 0
				return nil
			}
			n, ok := x.(lua.LNumber)
			if !ok {
				return fmt.Errorf(`must be a number or "unlimited", not %s`, describe(x))
			}
			if !(n > 0) { // also not a number
				return errNoRate
			}
			*of(l) = float64(n)
			return nil
		},
	}
}

// bound is a whole number from low.
func bound(low float64, of func(*core.Limits) *int) field[core.Limits] {
	return field[core.Limits]{
		get: func(_ *call, l *core.Limits) lua.LValue {
			if *of(l) >= core.Unlimited {
				return lua.LNumber(math.Inf(1))
			}
			return lua.LNumber(*of(l))
		},
		set: func(_ *call, l *core.Limits, x lua.LValue) error {
			if isUnlimited(x) {
				*of(l) = core.Unlimited
				return nil
			}
			n, err := toInteger(x, low, core.Unlimited)
			if err == nil {
				*of(l) = int(n)
			}
			return err
		},
	}
}

// replyKind is what a handler adds to the CONNACK of MQTT 5.
var replyKind = newKind(kind[core.ConnectReply]{name: "reply", fields: fields[core.ConnectReply]{
	"user_properties": {
		doc: "lunamq.UserProperties: user properties of the CONNACK",
		get: func(c *call, r *core.ConnectReply) lua.LValue {
			return part(c, propertiesKind, (*properties)(&r.UserProperties))
		},
		set: func(_ *call, r *core.ConnectReply, x lua.LValue) error {
			list, err := toProperties(x)
			if err == nil {
				r.UserProperties = list
			}
			return err
		},
	},
	"response_information": replyText(func(r *core.ConnectReply) *string { return &r.ResponseInformation }).as("string?: sent if the client asked for it"),
	"server_reference":     replyText(func(r *core.ConnectReply) *string { return &r.ServerReference }).as("string?: another server, with the reasons use_another_server and server_moved"),
}})

func replyText(of func(*core.ConnectReply) *string) field[core.ConnectReply] {
	return field[core.ConnectReply]{
		get: func(c *call, r *core.ConnectReply) lua.LValue { return c.optional(*of(r)) },
		set: func(_ *call, r *core.ConnectReply, x lua.LValue) (err error) {
			s := ""
			if x != lua.LNil {
				if s, err = toText(x); err != nil {
					return err
				}
			}
			*of(r) = s
			return nil
		},
	}
}
