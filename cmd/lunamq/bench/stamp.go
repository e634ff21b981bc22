package bench

import (
	"encoding/binary"
	"time"
)

// MinSize is the size of the stamp with which every payload begins, in bytes:
// run 4, publisher 4, number 8, time 8.
const MinSize = 24

// stamp says whose message it is, which one, and when it was sent.
type stamp struct {
	run       uint32
	publisher uint32
	number    uint64
	sent      int64 // as now() has it
}

func (s *stamp) put(dst []byte) {
	_ = dst[MinSize-1]
	binary.LittleEndian.PutUint32(dst, s.run)
	binary.LittleEndian.PutUint32(dst[4:], s.publisher)
	binary.LittleEndian.PutUint64(dst[8:], s.number)
	binary.LittleEndian.PutUint64(dst[16:], uint64(s.sent))
}

func readStamp(src []byte) stamp {
	_ = src[MinSize-1]
	return stamp{
		run:       binary.LittleEndian.Uint32(src),
		publisher: binary.LittleEndian.Uint32(src[4:]),
		number:    binary.LittleEndian.Uint64(src[8:]),
		sent:      int64(binary.LittleEndian.Uint64(src[16:])),
	}
}

var epoch = time.Now()

// now is the monotonic clock, in nanoseconds since the program began.
func now() int64 { return int64(time.Since(epoch)) }
