package packet

import (
	"fmt"
	"math/bits"
	"strings"
)

// anyPacket is what all packets can do. CONNECT, which carries its own version,
// does it through connectPacket.
type anyPacket interface {
	Decode(v Version, h Header, body []byte) error
	Size(v Version) int
	Append(dst []byte, v Version) []byte
}

type connectPacket struct{ Connect }

func (p *connectPacket) Decode(_ Version, _ Header, body []byte) error {
	return p.Connect.Decode(body)
}
func (p *connectPacket) Size(Version) int                    { return p.Connect.Size() }
func (p *connectPacket) Append(dst []byte, _ Version) []byte { return p.Connect.Append(dst) }

func newPacket(t Type) anyPacket {
	switch t {
	case CONNECT:
		return new(connectPacket)
	case CONNACK:
		return new(Connack)
	case PUBLISH:
		return new(Publish)
	case PUBACK, PUBREC, PUBREL, PUBCOMP:
		return &Ack{Type: t}
	case SUBSCRIBE:
		return new(Subscribe)
	case SUBACK:
		return new(Suback)
	case UNSUBSCRIBE:
		return new(Unsubscribe)
	case UNSUBACK:
		return new(Unsuback)
	case PINGREQ:
		return new(Pingreq)
	case PINGRESP:
		return new(Pingresp)
	case DISCONNECT:
		return new(Disconnect)
	}
	return new(Auth)
}

// senderChecked are the packets with rules that hold for one side alone.
type senderChecked interface{ CheckFrom(Sender) error }

// decodeOne reads the packet at the start of buf as a broker (or client) of
// version v would. p is nil when more bytes are needed.
func decodeOne(v Version, s Sender, buf []byte) (p anyPacket, size int, err error) {
	parse := ParseHeader
	if v == V31 {
		parse = ParseHeaderV31
	}
	h, ok, err := parse(buf)
	if err != nil || !ok || len(buf) < h.Size {
		return nil, 0, err
	}
	p = newPacket(h.Type)
	if err := p.Decode(v, h, buf[h.HeaderLen:h.Size]); err != nil {
		return nil, 0, err
	}
	if c, ok := p.(senderChecked); ok {
		if err := c.CheckFrom(s); err != nil {
			return nil, 0, err
		}
	}
	return p, h.Size, nil
}

// render writes a packet on one line, with all it holds.
func render(p anyPacket) string {
	var b strings.Builder
	switch p := p.(type) {
	case *connectPacket:
		renderConnect(&b, &p.Connect)
	case *Connack:
		fmt.Fprintf(&b, "CONNACK %#02x", byte(p.Code))
		flag(&b, p.SessionPresent, "session_present")
		renderProps(&b, &p.Props)
	case *Publish:
		fmt.Fprintf(&b, "PUBLISH %q qos=%d", p.Topic, p.QoS)
		if p.QoS > 0 {
			fmt.Fprintf(&b, " id=%d", p.PacketID)
		}
		flag(&b, p.Dup, "dup")
		flag(&b, p.Retain, "retain")
		fmt.Fprintf(&b, " payload=%q", p.Payload)
		renderProps(&b, &p.Props)
	case *Ack:
		fmt.Fprintf(&b, "%v id=%d %v", p.Type, p.PacketID, p.Code)
		renderProps(&b, &p.Props)
	case *Subscribe:
		fmt.Fprintf(&b, "SUBSCRIBE id=%d", p.PacketID)
		for _, f := range p.Filters {
			fmt.Fprintf(&b, " (%q qos=%d", f.Filter, f.QoS)
			flag(&b, f.NoLocal, "no_local")
			flag(&b, f.RetainAsPublished, "retain_as_published")
			fmt.Fprintf(&b, " retain_handling=%d)", f.RetainHandling)
		}
		renderProps(&b, &p.Props)
	case *Suback:
		fmt.Fprintf(&b, "SUBACK id=%d %v", p.PacketID, p.Codes)
		renderProps(&b, &p.Props)
	case *Unsubscribe:
		fmt.Fprintf(&b, "UNSUBSCRIBE id=%d %q", p.PacketID, p.Filters)
		renderProps(&b, &p.Props)
	case *Unsuback:
		fmt.Fprintf(&b, "UNSUBACK id=%d %v", p.PacketID, p.Codes)
		renderProps(&b, &p.Props)
	case *Pingreq:
		b.WriteString("PINGREQ")
	case *Pingresp:
		b.WriteString("PINGRESP")
	case *Disconnect:
		fmt.Fprintf(&b, "DISCONNECT %v", p.Code)
		renderProps(&b, &p.Props)
	case *Auth:
		fmt.Fprintf(&b, "AUTH %v", p.Code)
		renderProps(&b, &p.Props)
	}
	return b.String()
}

func renderConnect(b *strings.Builder, p *Connect) {
	fmt.Fprintf(b, "CONNECT %v id=%q keep_alive=%d", p.Version, p.ClientID, p.KeepAlive)
	flag(b, p.CleanStart, "clean")
	if p.HasUsername {
		fmt.Fprintf(b, " username=%q", p.Username)
	}
	if p.HasPassword {
		fmt.Fprintf(b, " password=%q", p.Password)
	}
	renderProps(b, &p.Props)
	if p.HasWill {
		fmt.Fprintf(b, " will=(%q qos=%d", p.Will.Topic, p.Will.QoS)
		flag(b, p.Will.Retain, "retain")
		fmt.Fprintf(b, " payload=%q", p.Will.Payload)
		renderProps(b, &p.Will.Props)
		b.WriteByte(')')
	}
}

func flag(b *strings.Builder, set bool, name string) {
	if set {
		b.WriteString(" " + name)
	}
}

func renderProps(b *strings.Builder, p *Properties) {
	for set := p.set; set != 0; set &= set - 1 {
		id := PropertyID(bits.TrailingZeros64(set))
		fmt.Fprintf(b, " [%v ", id)
		switch table24[id].kind {
		case kindFlag:
			fmt.Fprint(b, *p.flag(id))
		case kindUint16:
			fmt.Fprint(b, *p.uint16(id))
		case kindUint32:
			fmt.Fprint(b, *p.uint32(id))
		case kindString:
			fmt.Fprintf(b, "%q", *p.string(id))
		case kindBinary:
			fmt.Fprintf(b, "%q", *p.binary(id))
		}
		b.WriteByte(']')
	}
	for _, id := range p.SubscriptionIDs {
		fmt.Fprintf(b, " [%v %d]", SubscriptionID, id)
	}
	for _, u := range p.User {
		fmt.Fprintf(b, " [%v %q=%q]", User, u.Key, u.Value)
	}
}
