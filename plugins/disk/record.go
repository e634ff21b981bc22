package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A record is what lies under a key: a checksum, the version of its encoding,
// and the encoded fields. The checksum is CRC-32C (RFC 3720, B.4) of key,
// version and fields, so that a record in another's place is seen, too. Pebble
// has checksums of its own for blocks and log entries; this one holds end to
// end, through its caches, compactions and our salvage.
const (
	recordVersion = 1
	recordHead    = 4 + 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged: a record is not what was written.
var errDamaged = errors.New("the checksum does not match")

// beginRecord makes room for the head; sealRecord fills it in.
func beginRecord(dst []byte) []byte { return append(dst, 0, 0, 0, 0, recordVersion) }

func sealRecord(key, record []byte) {
	binary.LittleEndian.PutUint32(record, recordSum(key, record))
}

func recordSum(key, record []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, record[4:])
}

// openRecord checks a record and returns its fields, lent from it.
func openRecord(key, record []byte) ([]byte, error) {
	switch {
	case len(record) < recordHead, recordSum(key, record) != binary.LittleEndian.Uint32(record):
		return nil, errDamaged
	case record[4] != recordVersion:
		return nil, fmt.Errorf("the record has version %d, this program reads %d", record[4], recordVersion)
	}
	return record[recordHead:], nil
}
