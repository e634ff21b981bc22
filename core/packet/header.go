package packet

// MaxLength is the largest remaining length (1.5.5, table 1-1).
const MaxLength = 268_435_455

// Header is the fixed header (2.1.1).
type Header struct {
	Type      Type
	Flags     byte // the low four bits of the first byte
	Length    int  // the remaining length: bytes of the body
	Size      int  // bytes of the whole packet
	HeaderLen int  // bytes of the header itself, 2 to 5
}

// ParseHeader reads the fixed header at the start of buf. Without an error, ok
// is false when buf ends inside the header. The first byte is judged as soon as
// it is there; the body need not be. AUTH passes, for the version is not known
// here: Auth.Decode refuses it in 3.x.
func ParseHeader(buf []byte) (h Header, ok bool, err error) {
	return parseHeader(buf, &firstBytes)
}

// ParseHeaderV31 is ParseHeader for a connection of 3.1, where PUBREL, SUBSCRIBE
// and UNSUBSCRIBE are sent again with DUP set (3.1, 2.1).
func ParseHeaderV31(buf []byte) (h Header, ok bool, err error) {
	return parseHeader(buf, &firstBytesV31)
}

func parseHeader(buf []byte, first *[256]*Error) (h Header, ok bool, err error) {
	if len(buf) == 0 {
		return h, false, nil
	}
	h.Type, h.Flags = Type(buf[0]>>4), buf[0]&0x0F
	if e := first[buf[0]]; e != nil {
		return h, false, e
	}
	length, n, e := varint(buf[1:])
	if e != nil {
		return h, false, e
	}
	if n == 0 {
		return h, false, nil
	}
	h.Length, h.HeaderLen, h.Size = length, 1+n, 1+n+length
	return h, true, nil
}

// What is wrong with each first byte, nil where nothing is.
var (
	firstBytes    = judgeFirstBytes(checkFlags)
	firstBytesV31 = judgeFirstBytes(checkFlagsV31)
)

func judgeFirstBytes(check func(Type, byte) *Error) (verdicts [256]*Error) {
	for b := range verdicts {
		verdicts[b] = check(Type(b>>4), byte(b)&0x0F)
	}
	return verdicts
}

// checkFlags judges the first byte (table 2-2) [MQTT-2.1.3-1].
func checkFlags(t Type, flags byte) *Error {
	switch t {
	case 0:
		return malformed("packet type 0 is reserved") // table 2-1
	case PUBLISH:
		return checkPublishFlags(flags)
	default:
		if flags != fixedFlags(t) {
			return malformed("reserved flags of " + t.String() + " are wrong")
		}
	}
	return nil
}

// checkFlagsV31 lets DUP pass where 3.1 has it.
func checkFlagsV31(t Type, flags byte) *Error {
	if fixedFlags(t) == flagsAtLeastOnce {
		flags &^= flagDup
	}
	return checkFlags(t, flags)
}

// The flags of PUBLISH, and those that PUBREL, SUBSCRIBE and UNSUBSCRIBE kept
// from the days when they had a QoS.
const (
	flagRetain       = 0x01
	flagDup          = 0x08
	flagsAtLeastOnce = 0x02
)

func checkPublishFlags(flags byte) *Error {
	switch flags >> 1 & 3 {
	case 0:
		if flags&flagDup != 0 {
			return malformed("PUBLISH with QoS 0 has DUP set") // [MQTT-3.3.1-2]
		}
	case 3:
		return malformed("PUBLISH has QoS 3") // [MQTT-3.3.1-4]
	}
	return nil
}

// fixedFlags are the flags of every type but PUBLISH (table 2-2).
func fixedFlags(t Type) byte {
	switch t {
	case PUBREL, SUBSCRIBE, UNSUBSCRIBE:
		return flagsAtLeastOnce
	}
	return 0
}

// varint reads a variable byte integer at the start of buf; n is 0 when buf
// ends inside it. Only the shortest encoding is one [MQTT-1.5.5-1].
func varint(buf []byte) (value, n int, err *Error) {
	for i, b := range buf {
		value |= int(b&0x7F) << (7 * i)
		if b < 0x80 {
			if b == 0 && i > 0 {
				return 0, 0, malformed("variable byte integer is not minimal")
			}
			return value, i + 1, nil
		}
		if i == 3 {
			return 0, 0, malformed("variable byte integer is longer than four bytes")
		}
	}
	return 0, 0, nil
}

func varintSize(n int) int {
	switch {
	case n < 1<<7:
		return 1
	case n < 1<<14:
		return 2
	case n < 1<<21:
		return 3
	}
	return 4
}

// packetSize is the size of a packet with a body of n bytes.
func packetSize(n int) int { return 1 + varintSize(n) + n }

// AppendFixedHeader appends the fixed header of a packet with a body of length
// bytes. It panics when length is above MaxLength.
func AppendFixedHeader(dst []byte, t Type, flags byte, length int) []byte {
	return AppendVarint(append(dst, byte(t)<<4|flags), length)
}

// AppendVarint appends n as a variable byte integer (1.5.5). It panics when n
// does not fit, which is above MaxLength or below 0.
func AppendVarint(dst []byte, n int) []byte {
	if n < 0 || n > MaxLength {
		panic("packet: variable byte integer out of range")
	}
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}
