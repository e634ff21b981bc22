package packet

import (
	"encoding/binary"
	"unsafe"
)

// reader takes a body apart, front to back. The first failure sticks, empties
// it, and makes every later read return zero, so that decoders ask once, at the
// end. No read goes beyond buf.
type reader struct {
	buf []byte // what is left
	err *Error
}

func (r *reader) fail(e *Error) {
	if r.err == nil {
		r.err = e
	}
	r.buf = nil
}

// take returns the next n bytes, or nil when they are not there.
func (r *reader) take(n int, what string) []byte {
	if n > len(r.buf) {
		r.fail(malformed(what + " is cut short"))
		return nil
	}
	b := r.buf[:n:n]
	r.buf = r.buf[n:]
	return b
}

func (r *reader) byte(what string) byte {
	if b := r.take(1, what); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16(what string) uint16 {
	if b := r.take(2, what); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32(what string) uint32 {
	if b := r.take(4, what); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) varint(what string) int {
	value, n, err := varint(r.buf)
	if err != nil {
		r.fail(err)
		return 0
	}
	if n == 0 {
		r.fail(malformed(what + " is cut short"))
		return 0
	}
	r.buf = r.buf[n:]
	return value
}

// binary reads binary data (1.5.6); the bytes are lent.
func (r *reader) binary(what string) []byte {
	return r.take(int(r.uint16(what)), what)
}

// lent reads the bytes of a string without judging them.
func (r *reader) lent(what string) string {
	b := r.binary(what)
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// string reads a UTF-8 encoded string (1.5.4); its bytes are lent.
func (r *reader) string(what string) string {
	s := r.lent(what)
	if !isText(s) {
		r.fail(malformed(what + " is not a UTF-8 string of MQTT")) // [MQTT-1.5.4-1], [MQTT-1.5.4-2]
		return ""
	}
	return s
}

// topicName reads a topic name, which has no wildcards [MQTT-3.3.2-2]. One with
// them is well-formed and not valid: 0x90, which PUBLISH's DISCONNECT and a
// will's CONNACK both may carry (table 2-6). It may be empty.
func (r *reader) topicName(what string) string {
	s := r.lent(what)
	switch class := classify(s); {
	case class&hasNul != 0, class&hasHigh != 0 && !isText(s):
		r.fail(malformed(what + " is not a UTF-8 string of MQTT"))
		return ""
	case class&hasWildcard != 0:
		r.fail(&Error{TopicNameInvalid, what + " has a wildcard"})
		return ""
	}
	return s
}

// filter reads a topic filter, of at least one character [MQTT-4.7.3-1].
// Whether it is a valid one is judged per filter, by others.
func (r *reader) filter() string {
	s := r.string("topic filter")
	if s == "" {
		r.fail(protocolError("topic filter is empty"))
	}
	return s
}

// packetID reads a packet identifier, which is not 0 [MQTT-2.2.1-3].
func (r *reader) packetID() uint16 {
	id := r.uint16("packet identifier")
	if id == 0 {
		r.fail(protocolError("packet identifier is 0"))
	}
	return id
}

// end is the verdict of a decoder that has read all it wants.
func (r *reader) end() error {
	if len(r.buf) > 0 {
		r.fail(malformed("bytes after the end of the packet"))
	}
	return r.verdict()
}

// verdict is the first failure, or nil.
func (r *reader) verdict() error {
	if r.err != nil {
		return r.err
	}
	return nil
}
