package disk

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"time"

	"lunamq/core"
	"lunamq/core/packet"
)

// appendClient writes the facts of a client; Vars apart.
func appendClient(dst []byte, c *core.Client) []byte {
	dst = binary.AppendUvarint(dst, bits(c.HasUsername, c.TLS != nil, !c.ConnectedAt.IsZero()))
	dst = appendText(dst, c.ID)
	dst = appendText(dst, c.Username)
	dst = appendText(dst, c.Remote)
	dst = appendText(dst, c.Listener)
	dst = append(dst, byte(c.Protocol))
	dst = appendText(dst, c.Mount)
	if !c.ConnectedAt.IsZero() {
		dst = binary.AppendVarint(dst, c.ConnectedAt.UnixNano())
	}
	if t := c.TLS; t != nil {
		for _, s := range []string{t.Version, t.Cipher, t.ServerName, t.CommonName, t.Subject, t.Serial, t.Fingerprint} {
			dst = appendText(dst, s)
		}
	}
	return dst
}

func readClient(r *reader) *core.Client {
	c := &core.Client{}
	var secure, connected bool
	r.flags(&c.HasUsername, &secure, &connected)
	c.ID, c.Username, c.Remote, c.Listener = r.text(), r.text(), r.text(), r.text()
	c.Protocol = packet.Version(r.byte())
	c.Mount = r.text()
	if connected {
		c.ConnectedAt = time.Unix(0, r.int())
	}
	if secure {
		t := &core.TLSInfo{}
		for _, s := range []*string{&t.Version, &t.Cipher, &t.ServerName, &t.CommonName, &t.Subject, &t.Serial, &t.Fingerprint} {
			*s = r.text()
		}
		c.TLS = t
	}
	return c
}

// appendSession writes a session and its name.
func appendSession(dst []byte, name string, c *core.StoredClient) []byte {
	dst = appendText(dst, name)
	dst = appendClient(dst, &c.Client)
	dst = appendVars(dst, c.Vars)
	dst = appendLimits(dst, &c.Limits)
	dst = binary.AppendUvarint(dst, uint64(c.Expiry))
	dst = binary.AppendVarint(dst, c.DisconnectedAt)
	dst = binary.AppendUvarint(dst, bits(c.Will != nil))
	if w := c.Will; w != nil {
		dst = binary.AppendUvarint(dst, uint64(w.Delay))
		dst = binary.AppendVarint(dst, w.Due)
		dst = binary.AppendUvarint(dst, uint64(w.Reason))
		dst = appendText(dst, w.Text)
		dst = appendMessage(dst, &core.StoredMessage{Message: w.Message}, w.Message.Payload)
	}
	return dst
}

func readSession(r *reader) (name string, c *core.StoredClient) {
	name = r.text()
	c = &core.StoredClient{Client: *readClient(r)}
	c.Vars = readVars(r)
	readLimits(r, &c.Limits)
	c.Expiry = uint32(r.upTo(math.MaxUint32))
	c.DisconnectedAt = r.int()
	var hasWill bool
	if r.flags(&hasWill); !hasWill {
		return name, c
	}
	w := &core.StoredWill{Delay: uint32(r.upTo(math.MaxUint32)), Due: r.int(), Reason: packet.ReasonCode(r.byte()), Text: r.text()}
	m, apart := readMessage(r)
	if apart {
		r.fail()
	}
	w.Message = m.Message
	c.Will = w
	return name, c
}

// The kinds of a variable's value.
const (
	varText byte = iota
	varNumber
	varFalse
	varTrue
)

func appendVars(dst []byte, vars map[string]any) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(vars)))
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		dst = appendText(dst, name)
		switch x := vars[name].(type) {
		case string:
			dst = appendText(append(dst, varText), x)
		case float64:
			dst = binary.AppendUvarint(append(dst, varNumber), math.Float64bits(x))
		case bool:
			dst = append(dst, varFalse+byte(bits(x)))
		default: // core.Vars holds no other
			dst = appendText(append(dst, varText), "")
		}
	}
	return dst
}

func readVars(r *reader) map[string]any {
	n := r.count(2)
	if n == 0 {
		return nil
	}
	vars := make(map[string]any, n)
	for range n {
		name := r.text()
		switch r.upTo(uint64(varTrue)) {
		case uint64(varText):
			vars[name] = r.text()
		case uint64(varNumber):
			vars[name] = r.float()
		case uint64(varFalse):
			vars[name] = false
		case uint64(varTrue):
			vars[name] = true
		}
	}
	return vars
}

func appendLimits(dst []byte, l *core.Limits) []byte {
	dst = binary.AppendUvarint(dst, math.Float64bits(l.PublishRate))
	dst = binary.AppendUvarint(dst, math.Float64bits(l.PublishBytes))
	for _, n := range []int{l.Inflight, l.Queued, l.PacketSize, l.Subscriptions} {
		dst = binary.AppendVarint(dst, int64(n))
	}
	return dst
}

func readLimits(r *reader, l *core.Limits) {
	l.PublishRate, l.PublishBytes = r.float(), r.float()
	for _, n := range []*int{&l.Inflight, &l.Queued, &l.PacketSize, &l.Subscriptions} {
		*n = int(r.int())
	}
}

// appendSubscription writes a subscription but for its name, which is its key.
func appendSubscription(dst []byte, s *core.StoredSubscription) []byte {
	dst = appendText(dst, s.Filter)
	dst = append(dst, s.QoS, s.RetainHandling)
	dst = binary.AppendUvarint(dst, bits(s.NoLocal, s.RetainAsPublished))
	return binary.AppendUvarint(dst, uint64(s.Identifier))
}

func readSubscription(r *reader, requested string) *core.StoredSubscription {
	s := &core.StoredSubscription{Requested: requested, Filter: r.text(), QoS: byte(r.upTo(2)), RetainHandling: byte(r.upTo(2))}
	r.flags(&s.NoLocal, &s.RetainAsPublished)
	s.Identifier = uint32(r.upTo(math.MaxUint32))
	return s
}
