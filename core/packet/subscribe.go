package packet

import (
	"encoding/binary"
	"strings"
)

// The bits of the subscription options (3.8.3.1).
const (
	optionQoS       = 0x03
	optionNoLocal   = 0x04
	optionPublished = 0x08
	optionReserved  = 0xC0

	optionReservedV3 = 0xFC // 3.1.1, 3.8.3: all but the QoS
)

// Decode reads the body of a SUBSCRIBE. Filters are strings of at least one
// character; whether they are valid is judged elsewhere, filter by filter.
func (p *Subscribe) Decode(v Version, _ Header, body []byte) error {
	r := reader{buf: body}
	p.Filters = reuse(p.Filters)
	p.PacketID = r.packetID()
	r.readProperties(v, SUBSCRIBE, &p.Props)
	if len(r.buf) == 0 {
		r.fail(protocolError("SUBSCRIBE without a topic filter")) // [MQTT-3.8.3-2]
	}
	for len(r.buf) > 0 {
		f := FilterOptions{Filter: r.filter()}
		f.setOptions(&r, v, r.byte("subscription options"))
		p.Filters = append(p.Filters, f)
	}
	return r.verdict()
}

// setOptions takes the options apart. QoS 3 is malformed in 3.1.1 [MQTT-3.8.3-4]
// and a protocol error in MQTT 5 (3.8.3.1).
func (f *FilterOptions) setOptions(r *reader, v Version, options byte) {
	f.QoS = options & optionQoS
	if v < V5 {
		if options&optionReservedV3 != 0 || f.QoS == 3 {
			r.fail(malformed("requested QoS is none"))
		}
		return
	}
	f.NoLocal = options&optionNoLocal != 0
	f.RetainAsPublished = options&optionPublished != 0
	f.RetainHandling = options >> 4 & 3
	switch {
	case options&optionReserved != 0:
		r.fail(malformed("reserved subscription options are set")) // [MQTT-3.8.3-5]
	case f.QoS == 3:
		r.fail(protocolError("maximum QoS of a subscription is 3"))
	case f.RetainHandling == 3:
		r.fail(protocolError("retain handling is 3"))
	case f.NoLocal && strings.HasPrefix(f.Filter, "$share/"):
		r.fail(protocolError("no local on a shared subscription")) // [MQTT-3.8.3-4]
	}
}

func (f *FilterOptions) options(v Version) byte {
	options := f.QoS
	if v < V5 {
		return options
	}
	if f.NoLocal {
		options |= optionNoLocal
	}
	if f.RetainAsPublished {
		options |= optionPublished
	}
	return options | f.RetainHandling<<4
}

func (p *Subscribe) bodySize(v Version) int {
	n := 2
	if v >= V5 {
		n += p.Props.wireSize(SUBSCRIBE)
	}
	for i := range p.Filters {
		n += stringSize(p.Filters[i].Filter) + 1
	}
	return n
}

// Size is the number of bytes that Append appends.
func (p *Subscribe) Size(v Version) int { return packetSize(p.bodySize(v)) }

// Append appends the whole packet.
func (p *Subscribe) Append(dst []byte, v Version) []byte {
	dst = AppendFixedHeader(dst, SUBSCRIBE, flagsAtLeastOnce, p.bodySize(v))
	dst = binary.BigEndian.AppendUint16(dst, p.PacketID)
	if v >= V5 {
		dst = p.Props.append(dst, SUBSCRIBE)
	}
	for i := range p.Filters {
		f := &p.Filters[i]
		dst = append(appendString(dst, f.Filter), f.options(v))
	}
	return dst
}
