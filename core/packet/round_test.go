package packet

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// Generators of what the specification allows to be sent.

func drawVersion(t *rapid.T) Version {
	return rapid.SampledFrom([]Version{V31, V311, V5}).Draw(t, "version")
}

var noTopicRunes = strings.NewReplacer("\x00", "0", "+", "p", "#", "h")

func drawText(t *rapid.T, label string) string {
	return strings.ReplaceAll(rapid.StringN(0, 12, -1).Draw(t, label), "\x00", "0")
}

func drawTopic(t *rapid.T, label string) string {
	return noTopicRunes.Replace(rapid.StringN(1, 12, -1).Draw(t, label))
}

func drawFilter(t *rapid.T) string {
	return strings.ReplaceAll(rapid.StringN(1, 12, -1).Draw(t, "filter"), "\x00", "#")
}

func drawBytes(t *rapid.T, label string) []byte {
	return rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, label)
}

func drawPacketID(t *rapid.T) uint16 { return rapid.Uint16Range(1, 65535).Draw(t, "packet identifier") }

func drawQoS(t *rapid.T) byte { return rapid.ByteRange(0, 2).Draw(t, "qos") }

func drawBool(t *rapid.T, label string) bool { return rapid.Bool().Draw(t, label) }

// drawCodes draws reason codes that server and client alike may put into a
// packet of type at.
func drawCode(t *rapid.T, at Type, s Sender) ReasonCode {
	var allowed []ReasonCode
	for c := range table26 {
		if ReasonCode(c).AllowedFrom(s, at) {
			allowed = append(allowed, ReasonCode(c))
		}
	}
	return rapid.SampledFrom(allowed).Draw(t, "reason code")
}

// drawProps draws any set of the properties that belong in at.
func drawProps(t *rapid.T, v Version, at Type) (p Properties) {
	if v < V5 {
		return p
	}
	for i, row := range table24 {
		id := PropertyID(i)
		if belongs[at]&(1<<id) == 0 || !drawBool(t, id.String()) {
			continue
		}
		p.Set(id)
		switch row.kind {
		case kindFlag:
			*p.flag(id) = rapid.ByteRange(0, 1).Draw(t, "flag")
		case kindUint16:
			*p.uint16(id) = rapid.Uint16Range(1, 65535).Draw(t, "uint16")
		case kindUint32:
			*p.uint32(id) = rapid.Uint32Range(1, 1<<32-1).Draw(t, "uint32")
		case kindString:
			*p.string(id) = drawTopic(t, "string")
		case kindBinary:
			*p.binary(id) = drawBytes(t, "binary")
		case kindVarint:
			most := 5
			if at == SUBSCRIBE {
				most = 1
			}
			p.SubscriptionIDs = rapid.SliceOfN(rapid.Uint32Range(1, MaxLength), 1, most).Draw(t, "ids")
		case kindPair:
			for range rapid.IntRange(1, 4).Draw(t, "user properties") {
				p.User = append(p.User, UserProperty{drawText(t, "key"), drawText(t, "value")})
			}
		}
	}
	if p.Has(AuthData) && !p.Has(AuthMethod) {
		p.Clear(AuthData)
		p.AuthData = nil
	}
	return p
}

func drawConnect(t *rapid.T, v Version) anyPacket {
	p := Connect{
		Version:    v,
		CleanStart: drawBool(t, "clean"),
		KeepAlive:  rapid.Uint16().Draw(t, "keep alive"),
		ClientID:   drawText(t, "client identifier"),
		HasWill:    drawBool(t, "will"),
		Props:      drawProps(t, v, CONNECT),
	}
	if p.HasWill {
		p.Will = Will{
			Topic:   drawTopic(t, "will topic"),
			Payload: drawBytes(t, "will payload"),
			QoS:     drawQoS(t),
			Retain:  drawBool(t, "will retain"),
			Props:   drawProps(t, v, inWill),
		}
	}
	if p.HasUsername = drawBool(t, "has user name"); p.HasUsername {
		p.Username = drawText(t, "user name")
	}
	if p.HasPassword = (p.HasUsername || v >= V5) && drawBool(t, "has password"); p.HasPassword {
		p.Password = drawBytes(t, "password")
	}
	return &connectPacket{p}
}

func drawConnack(t *rapid.T, v Version) anyPacket {
	p := &Connack{Code: drawCode(t, CONNACK, FromServer), Props: drawProps(t, v, CONNACK)}
	if v < V5 {
		p.Code = ReasonCode(rapid.ByteRange(0, 5).Draw(t, "return code"))
	}
	p.SessionPresent = v != V31 && p.Code == Success && drawBool(t, "session present")
	return p
}

func drawPublish(t *rapid.T, v Version) anyPacket {
	p := &Publish{
		QoS:     drawQoS(t),
		Retain:  drawBool(t, "retain"),
		Topic:   drawTopic(t, "topic"),
		Payload: drawBytes(t, "payload"),
		Props:   drawProps(t, v, PUBLISH),
	}
	if p.QoS > 0 {
		p.PacketID, p.Dup = drawPacketID(t), drawBool(t, "dup")
	}
	if p.Props.Has(TopicAlias) && drawBool(t, "alias alone") {
		p.Topic = ""
	}
	return p
}

func drawAck(at Type) func(*rapid.T, Version) anyPacket {
	return func(t *rapid.T, v Version) anyPacket {
		p := &Ack{Type: at, PacketID: drawPacketID(t), Props: drawProps(t, v, at)}
		if v >= V5 {
			p.Code = drawCode(t, at, FromServer)
		}
		return p
	}
}

func drawSubscribe(t *rapid.T, v Version) anyPacket {
	p := &Subscribe{PacketID: drawPacketID(t), Props: drawProps(t, v, SUBSCRIBE)}
	for range rapid.IntRange(1, 5).Draw(t, "filters") {
		f := FilterOptions{Filter: drawFilter(t), QoS: drawQoS(t)}
		if v >= V5 {
			f.NoLocal = !strings.HasPrefix(f.Filter, "$share/") && drawBool(t, "no local")
			f.RetainAsPublished = drawBool(t, "retain as published")
			f.RetainHandling = rapid.ByteRange(0, 2).Draw(t, "retain handling")
		}
		p.Filters = append(p.Filters, f)
	}
	return p
}

func drawSuback(t *rapid.T, v Version) anyPacket {
	p := &Suback{PacketID: drawPacketID(t), Props: drawProps(t, v, SUBACK)}
	for range rapid.IntRange(1, 5).Draw(t, "codes") {
		c := ReasonCode(drawQoS(t))
		if v >= V5 {
			c = drawCode(t, SUBACK, FromServer)
		} else if v == V311 && drawBool(t, "refused") {
			c = UnspecifiedError
		}
		p.Codes = append(p.Codes, c)
	}
	return p
}

func drawUnsubscribe(t *rapid.T, v Version) anyPacket {
	p := &Unsubscribe{PacketID: drawPacketID(t), Props: drawProps(t, v, UNSUBSCRIBE)}
	for range rapid.IntRange(1, 5).Draw(t, "filters") {
		p.Filters = append(p.Filters, drawFilter(t))
	}
	return p
}

func drawUnsuback(t *rapid.T, v Version) anyPacket {
	p := &Unsuback{PacketID: drawPacketID(t), Props: drawProps(t, v, UNSUBACK)}
	if v >= V5 {
		for range rapid.IntRange(1, 5).Draw(t, "codes") {
			p.Codes = append(p.Codes, drawCode(t, UNSUBACK, FromServer))
		}
	}
	return p
}

func drawDisconnect(t *rapid.T, v Version) anyPacket {
	p := &Disconnect{Props: drawProps(t, v, DISCONNECT)}
	p.Props.Clear(SessionExpiry) // the client's
	p.Props.SessionExpiry = 0
	if v >= V5 {
		p.Code = drawCode(t, DISCONNECT, FromServer)
	}
	return p
}

func drawAuth(t *rapid.T, _ Version) anyPacket {
	p := &Auth{Code: drawCode(t, AUTH, FromServer), Props: drawProps(t, V5, AUTH)}
	p.Props.Set(AuthMethod)
	if p.Props.AuthMethod == "" {
		p.Props.AuthMethod = "m"
	}
	return p
}

func drawOnly(p anyPacket) func(*rapid.T, Version) anyPacket {
	return func(*rapid.T, Version) anyPacket { return p }
}

var draws = map[Type]func(*rapid.T, Version) anyPacket{
	CONNECT: drawConnect, CONNACK: drawConnack, PUBLISH: drawPublish,
	PUBACK: drawAck(PUBACK), PUBREC: drawAck(PUBREC), PUBREL: drawAck(PUBREL), PUBCOMP: drawAck(PUBCOMP),
	SUBSCRIBE: drawSubscribe, SUBACK: drawSuback, UNSUBSCRIBE: drawUnsubscribe, UNSUBACK: drawUnsuback,
	PINGREQ: drawOnly(new(Pingreq)), PINGRESP: drawOnly(new(Pingresp)), DISCONNECT: drawDisconnect, AUTH: drawAuth,
}

var samePacket = cmp.Options{
	cmp.AllowUnexported(Properties{}),
	cmp.Transformer("connect", func(p *connectPacket) Connect { return p.Connect }),
	cmpopts.EquateEmpty(),
}

// TestRoundTrip: whatever may be sent arrives as it was, field by field, and
// Size is its size.
func TestRoundTrip(t *testing.T) {
	for at := CONNECT; at <= AUTH; at++ {
		t.Run(at.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				v := drawVersion(t)
				if at == AUTH {
					v = V5
				}
				p := draws[at](t, v)
				out := p.Append(nil, v)
				if p.Size(v) != len(out) {
					t.Fatalf("Size %d, %d bytes", p.Size(v), len(out))
				}
				got, size, err := decodeOne(v, FromServer, out)
				if err != nil || size != len(out) {
					t.Fatalf("% x: %d bytes read, %v", out, size, err)
				}
				if diff := cmp.Diff(p, got, samePacket); diff != "" {
					t.Fatalf("% x: sent -, came +\n%s", out, diff)
				}
			})
		})
	}
}

// TestPublishTemplate: an encoding with another packet identifier written at
// idOffset is the encoding of the PUBLISH with that identifier.
func TestPublishTemplate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := drawVersion(t)
		p := drawPublish(t, v).(*Publish)
		before := drawBytes(t, "before")
		out, at := AppendPublish(slices.Clone(before), v, p)
		if p.QoS == 0 {
			if at != -1 {
				t.Fatalf("QoS 0 has its packet identifier at %d", at)
			}
			return
		}
		p.PacketID = drawPacketID(t)
		binary.BigEndian.PutUint16(out[len(before)+at:], p.PacketID)
		if want := p.Append(before, v); !slices.Equal(out, want) {
			t.Fatalf("patched % x, want % x", out, want)
		}
	})
}

// TestHeaderRoundTrip: every length comes back, from as few bytes as table 1-1
// says, and each shorter piece asks for more.
func TestHeaderRoundTrip(t *testing.T) {
	check := func(t testing.TB, length, headerLen int) {
		buf := AppendFixedHeader(nil, PUBREL, flagsAtLeastOnce, length)
		want := Header{Type: PUBREL, Flags: flagsAtLeastOnce, Length: length, HeaderLen: headerLen, Size: headerLen + length}
		if h, ok, err := ParseHeader(buf); h != want || !ok || err != nil {
			t.Errorf("length %d: %+v, %v, %v", length, h, ok, err)
		}
		if packetSize(length) != want.Size {
			t.Errorf("length %d: size %d, want %d", length, packetSize(length), want.Size)
		}
		for n := range buf {
			if _, ok, err := ParseHeader(buf[:n]); ok || err != nil {
				t.Errorf("length %d, first %d bytes: %v, %v", length, n, ok, err)
			}
		}
	}
	for _, row := range []struct{ length, headerLen int }{ // table 1-1
		{0, 2}, {127, 2}, {128, 3}, {16_383, 3}, {16_384, 4}, {2_097_151, 4}, {2_097_152, 5}, {MaxLength, 5},
	} {
		check(t, row.length, row.headerLen)
	}
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(0, MaxLength).Draw(r, "length")
		check(t, n, 1+varintSize(n))
	})
}
