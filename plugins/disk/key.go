package disk

import (
	"encoding/binary"
	"fmt"
)

// The keys, in the order of their bytes:
//
//	m NAME                          of the store itself (format, identifiers, import)
//	r TOPIC                         a retained message
//	s ID                            a session; ID has 8 bytes, given by the store
//	s ID 1 FILTER                   a subscription, as requested
//	s ID 2 SEQ                      the state of a message in flight; SEQ has 8 bytes
//	s ID 3 PID                      a QoS 2 identifier of the client, 2 bytes
//	s ID 4 SEQ                      a message
//	s ID 5 SEQ                      its payload, if it is larger than inlinePayload
//	v LEN BUCKET KEY                a rule's value; LEN has 2 bytes
//
// All numbers are big-endian, so that their order is that of the bytes. What
// belongs to a session is one range, which one deletion empties.
const (
	metaSpace     = 'm'
	retainedSpace = 'r'
	sessionSpace  = 's'
	valueSpace    = 'v'

	subscriptionPart byte = 1
	statePart        byte = 2
	receivedPart     byte = 3
	messagePart      byte = 4
	payloadPart      byte = 5
)

func metaKey(name string) []byte { return append([]byte{metaSpace}, name...) }

func retainedKey(dst []byte, topic string) []byte {
	return append(append(dst, retainedSpace), topic...)
}

func sessionKey(dst []byte, id uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, sessionSpace), id)
}

func partKey(dst []byte, id uint64, part byte) []byte { return append(sessionKey(dst, id), part) }

func subscriptionKey(dst []byte, id uint64, filter string) []byte {
	return append(partKey(dst, id, subscriptionPart), filter...)
}

// seqKey is the key of the message seq, of its state or its payload.
func seqKey(dst []byte, id uint64, part byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(partKey(dst, id, part), seq)
}

func receivedKey(dst []byte, id uint64, pid uint16) []byte {
	return binary.BigEndian.AppendUint16(partKey(dst, id, receivedPart), pid)
}

func valueKey(dst []byte, bucket, key string) []byte {
	dst = binary.BigEndian.AppendUint16(append(dst, valueSpace), uint16(len(bucket)))
	return append(append(dst, bucket...), key...)
}

// place is a key, read.
type place struct {
	space byte
	id    uint64 // of the session
	part  byte   // 0: the session itself
	seq   uint64 // of message, state and payload; the identifier of received
	text  string // topic, filter or name of the store's own; lent from the key
	key   string // of a value, whose bucket is text
}

// parseKey reads a key; ok is false for what is none of ours.
func parseKey(key []byte) (p place, ok bool) {
	if len(key) == 0 {
		return p, false
	}
	p.space = key[0]
	rest := key[1:]
	switch p.space {
	case metaSpace, retainedSpace:
		p.text = string(rest)
		return p, true
	case valueSpace:
		if len(rest) < 2 {
			return p, false
		}
		n := int(binary.BigEndian.Uint16(rest))
		if rest = rest[2:]; n > len(rest) {
			return p, false
		}
		p.text, p.key = string(rest[:n]), string(rest[n:])
		return p, true
	case sessionSpace:
		if len(rest) < 8 {
			return p, false
		}
		p.id = binary.BigEndian.Uint64(rest)
		return p.parsePart(rest[8:])
	}
	return p, false
}

func (p place) parsePart(rest []byte) (place, bool) {
	if len(rest) == 0 {
		return p, true
	}
	p.part, rest = rest[0], rest[1:]
	switch p.part {
	case subscriptionPart:
		p.text = string(rest)
		return p, true
	case receivedPart:
		if len(rest) != 2 {
			return p, false
		}
		p.seq = uint64(binary.BigEndian.Uint16(rest))
		return p, true
	case statePart, messagePart, payloadPart:
		if len(rest) != 8 {
			return p, false
		}
		p.seq = binary.BigEndian.Uint64(rest)
		return p, true
	}
	return p, false
}

// String says what lies at a place, for logs and lunamq store check.
func (p place) String() string {
	switch p.space {
	case metaSpace:
		return "the store's own " + p.text
	case retainedSpace:
		return fmt.Sprintf("retained message %q", p.text)
	case valueSpace:
		return fmt.Sprintf("value %q of bucket %q", p.key, p.text)
	}
	switch p.part {
	case subscriptionPart:
		return fmt.Sprintf("subscription %q of session %d", p.text, p.id)
	case statePart:
		return fmt.Sprintf("state of message %d of session %d", p.seq, p.id)
	case receivedPart:
		return fmt.Sprintf("QoS 2 identifier %d of session %d", p.seq, p.id)
	case messagePart:
		return fmt.Sprintf("message %d of session %d", p.seq, p.id)
	case payloadPart:
		return fmt.Sprintf("payload of message %d of session %d", p.seq, p.id)
	}
	return fmt.Sprintf("session %d", p.id)
}
