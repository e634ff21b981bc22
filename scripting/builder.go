package scripting

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/core/packet"
	"lunamq/core/topic"
)

// builder makes Go values of what a test wrote in a table. The first error
// stays; what is built after it is of no account.
type builder struct {
	t    *trial
	c    *call
	at   string // "client.", for error texts
	from map[string]lua.LValue
	err  error
}

// newBuilder takes a table whose keys are all among names.
func newBuilder(t *trial, c *call, table *lua.LTable, names []string) (*builder, error) {
	from, err := stringKeys(table, names)
	if err != nil {
		return nil, fmt.Errorf("the table %w", err)
	}
	return &builder{t: t, c: c, from: from}, nil
}

func (b *builder) fail(key string, err error) {
	if b.err == nil && err != nil {
		b.err = fmt.Errorf("%s%s %w", b.at, key, err)
	}
}

// given says whether the table has the key.
func (b *builder) given(key string) bool { return b.from[key] != nil }

// convert is the value of a key by one of the to… functions.
func convert[T any](b *builder, key string, otherwise T, to func(lua.LValue) (T, error)) T {
	x := b.from[key]
	if x == nil {
		return otherwise
	}
	v, err := to(x)
	b.fail(key, err)
	return v
}

func (b *builder) text(key, otherwise string) string { return convert(b, key, otherwise, toText) }

func (b *builder) bool(key string, otherwise bool) bool { return convert(b, key, otherwise, toBool) }

// integer is a whole number from 0 to high.
func (b *builder) integer(key string, otherwise, high float64) float64 {
	return convert(b, key, otherwise, func(x lua.LValue) (float64, error) { return toInteger(x, 0, high) })
}

func (b *builder) qos(otherwise byte) byte { return byte(b.integer("qos", float64(otherwise), 2)) }

func (b *builder) properties(key string) []packet.UserProperty {
	return convert(b, key, nil, toProperties)
}

func (b *builder) reason(otherwise packet.ReasonCode) packet.ReasonCode {
	return convert(b, "reason", otherwise, func(x lua.LValue) (packet.ReasonCode, error) {
		if x == lua.LString("normal_disconnection") { // 0x00 in DISCONNECT (MQTT 5, table 3-10)
			return packet.Success, nil
		}
		return toReason(x, otherwise)
	})
}

// oneOf is one of some words.
func (b *builder) oneOf(key, otherwise string, words []string) string {
	return convert(b, key, otherwise, func(x lua.LValue) (string, error) {
		s, err := toText(x)
		if err == nil && !slices.Contains(words, s) {
			err = fmt.Errorf("is %q: there are %q", clip(s), words)
		}
		return s, err
	})
}

var protocolNames = []string{"3.1", "3.1.1", "5"}

func (b *builder) protocol() packet.Version {
	name := b.oneOf("protocol", "5", protocolNames)
	for _, v := range []packet.Version{packet.V31, packet.V311} {
		if protocol(v) == lua.LString(name) {
			return v
		}
	}
	return packet.V5
}

// table is a table within the table; false if it is not given.
func (b *builder) table(key string, names []string) (*builder, bool) {
	x := b.from[key]
	if x == nil {
		return nil, false
	}
	t, ok := x.(*lua.LTable)
	if !ok {
		b.fail(key, fmt.Errorf("must be a table, not %s", describe(x)))
		return nil, false
	}
	from, err := stringKeys(t, names)
	b.fail(key, err)
	return &builder{t: b.t, c: b.c, at: b.at + key + ".", from: from}, err == nil
}

// done takes over what went wrong in a table within the table.
func (b *builder) done(sub *builder) {
	if b.err == nil {
		b.err = sub.err
	}
}

// trialRemote is the address of clients that have none of their own (RFC 5737).
const trialRemote = "192.0.2.1:50000"

// client is the client of a key: what is not said of it is as sensible as can be.
func (b *builder) client(key string) *core.Client {
	v := &core.Client{ID: "client-1", Remote: trialRemote, Listener: "local", Protocol: packet.V5, ConnectedAt: b.t.now, Vars: new(core.Vars)}
	sub, ok := b.table(key, clientKind.names)
	if !ok {
		return v
	}
	defer b.done(sub)
	v.ID = sub.text("id", v.ID)
	v.HasUsername, v.Username = sub.given("username"), sub.text("username", "")
	v.Remote, v.Listener, v.Protocol = sub.text("remote", v.Remote), sub.text("listener", v.Listener), sub.protocol()
	v.TLS = sub.tls()
	v.ConnectedAt = convert(sub, "connected_at", v.ConnectedAt, toMoment)
	v.Mount = convert(sub, "mount", "", toMount)
	v.Vars = convert(sub, "vars", v.Vars, toVars)
	return v
}

func (b *builder) tls() *core.TLSInfo {
	sub, ok := b.table("tls", tlsKind.names)
	if !ok {
		return nil
	}
	defer b.done(sub)
	return &core.TLSInfo{
		Version: sub.text("version", "1.3"), Cipher: sub.text("cipher", ""), ServerName: sub.text("server_name", ""),
		CommonName: sub.text("common_name", ""), Subject: sub.text("subject", ""),
		Serial: sub.text("serial", ""), Fingerprint: sub.text("fingerprint", ""),
	}
}

// message is the message that the table itself describes.
func (b *builder) message(origin core.Origin, publisher *core.Client) *core.Message {
	m := &core.Message{Origin: origin, Publisher: publisher}
	if err := fillMessage(b.c, m, b.from); err != nil && b.err == nil {
		b.err = err
	}
	m.Dup = b.bool("dup", false)
	return m
}

// filter is a topic filter, with the group of a shared one.
func (b *builder) filter() (filter, share string) {
	filter = convert(b, "filter", "", toText)
	if !b.given("filter") {
		b.fail("filter", errors.New("is missing"))
		return filter, ""
	}
	if err := topic.CheckFilter(filter); err != nil {
		b.fail("filter", fmt.Errorf("cannot be %s: %w", strconv.Quote(clip(filter)), err))
		return filter, ""
	}
	group, rest, _ := topic.SplitShare(filter)
	return rest, group
}
