package scripting

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"lunamq/core"
	"lunamq/scripting/lib"
)

// Durable is the KVStore of the broker's store. Values are read and written in
// memory; which of them have changed is noted, and one batch of those after the
// other is stored. So a rule never waits for the disk, a value that changes often
// is stored as often as the disk can, and what waits to be stored is bounded by
// what is kept. A kill loses the changes of the last moments; a store that
// refuses is asked again.
type Durable struct {
	// Immutable:
	kv     *lib.KV
	values *core.Values
	log    *slog.Logger
	retry  time.Duration

	mu   sync.Mutex
	idle sync.Cond // nothing is being stored; its lock is mu
	// Guarded by mu:
	changed map[durableName]struct{} // and not stored yet
	order   []durableName            // of changed
	storing bool
	closing bool
	refused bool // the last batch was
}

type durableName struct{ bucket, key string }

const (
	// durableBatch bounds the bytes of values in one batch.
	durableBatch = 256 << 10

	// durableRetry is when a store that refused is asked again.
	durableRetry = time.Second
)

// NewDurable takes over what the store has kept, up to maxBytes.
func NewDurable(values *core.Values, maxBytes int64, log *slog.Logger) *Durable {
	d := &Durable{kv: lib.NewKV(maxBytes, time.Now), values: values, log: log, retry: durableRetry, changed: make(map[durableName]struct{})}
	d.idle.L = &d.mu
	now, full := time.Now(), 0
	var gone []durableName
	for _, op := range values.Take() {
		err := d.restore(&op, now)
		switch {
		case errors.Is(err, lib.ErrKVFull): // it stays on the disk, until there is room again
			full++
		case err != nil:
			gone = append(gone, durableName{op.Bucket, op.Key})
		}
	}
	if full > 0 {
		log.Warn("durable values are left out: all together have more than kv_bytes", "values", full)
	}
	d.kv.OnChange(d.note)
	for _, name := range gone {
		d.note(name.bucket, name.key)
	}
	return d
}

// restore puts back one value; what has expired, or does not fit, is an error.
func (d *Durable) restore(op *core.Op, now time.Time) error {
	value, err := decodeValue(op.Value)
	if err != nil {
		return err
	}
	ttl := time.Duration(0)
	if op.ExpiresAt != 0 {
		if ttl = time.Unix(0, op.ExpiresAt).Sub(now); ttl <= 0 {
			return fmt.Errorf("it expired %v ago", -ttl)
		}
	}
	return d.kv.Bucket(op.Bucket).Set(op.Key, value, ttl)
}

// Bucket implements KVStore.
func (d *Durable) Bucket(name string) Bucket { return d.kv.Bucket(name) }

// note has a value stored as it will be then. The KV is locked.
func (d *Durable) note(bucket, key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.noteLocked(durableName{bucket, key})
	if !d.storing && !d.closing {
		d.storing = true
		go d.store()
	}
}

func (d *Durable) noteLocked(name durableName) {
	if _, noted := d.changed[name]; !noted {
		d.changed[name] = struct{}{}
		d.order = append(d.order, name)
	}
}

// store stores what has changed, until nothing has.
func (d *Durable) store() {
	for {
		names := d.take()
		if names == nil {
			return
		}
		batch := d.batch(&names)
		done := make(durableDone, 1)
		if !d.values.Commit(batch, done) {
			if err := <-done; err != nil {
				d.again(names, err)
				return
			}
		}
		d.stored()
	}
}

type durableDone chan error

func (d durableDone) Committed(err error) { d <- err }

// take takes all that has changed; nil: nothing, and this storing ends.
func (d *Durable) take() []durableName {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.order) == 0 {
		d.storing = false
		d.idle.Broadcast()
		return nil
	}
	names := d.order
	d.order = nil
	clear(d.changed)
	return names
}

// batch reads the values as they are now; those that are too many are given back.
func (d *Durable) batch(names *[]durableName) *core.Batch {
	b := &core.Batch{}
	size := 0
	for i, name := range *names {
		if size > durableBatch {
			d.giveBack((*names)[i:])
			*names = (*names)[:i]
			break
		}
		value, expires, ok := d.kv.Bucket(name.bucket).Kept(name.key)
		if !ok {
			b.Ops = append(b.Ops, core.Op{Kind: core.DeleteValue, Bucket: name.bucket, Key: name.key})
			size += len(name.bucket) + len(name.key)
			continue
		}
		op := core.Op{Kind: core.PutValue, Bucket: name.bucket, Key: name.key, Value: encodeValue(value)}
		if !expires.IsZero() {
			op.ExpiresAt = expires.UnixNano()
		}
		b.Ops = append(b.Ops, op)
		size += len(name.bucket) + len(name.key) + len(op.Value)
	}
	return b
}

// giveBack notes names again, before those that have changed since.
func (d *Durable) giveBack(names []durableName) {
	d.mu.Lock()
	defer d.mu.Unlock()
	later := d.order
	d.order = nil
	clear(d.changed)
	for _, list := range [][]durableName{names, later} {
		for _, name := range list {
			d.noteLocked(name)
		}
	}
}

// again has what was refused stored later; with Close it is given up.
func (d *Durable) again(names []durableName, err error) {
	d.giveBack(names)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.refused {
		d.log.Error("values of durable buckets could not be stored; this is tried again", "values", len(d.order), "err", err)
	}
	d.refused = true
	if d.closing {
		d.storing = false
		d.idle.Broadcast()
		return
	}
	time.AfterFunc(d.retry, d.store)
}

func (d *Durable) stored() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refused {
		d.log.Warn("values of durable buckets are stored again")
	}
	d.refused = false
}

// Close has what has changed stored, or refused, and waits for it. What changes
// afterwards is not stored.
func (d *Durable) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closing = true
	for d.storing {
		d.idle.Wait()
	}
	if len(d.order) > 0 {
		d.log.Error("values of durable buckets could not be stored, and are lost", "values", len(d.order))
	}
}

// The first byte of a stored value says what it is.
const (
	valueText   = 's'
	valueNumber = 'n'
	valueFalse  = 'f'
	valueTrue   = 't'
)

func encodeValue(value any) []byte {
	switch x := value.(type) {
	case string:
		return append([]byte{valueText}, x...)
	case float64:
		return binary.BigEndian.AppendUint64([]byte{valueNumber}, math.Float64bits(x))
	case bool:
		if x {
			return []byte{valueTrue}
		}
	}
	return []byte{valueFalse}
}

func decodeValue(b []byte) (any, error) {
	switch {
	case len(b) > 0 && b[0] == valueText:
		return string(b[1:]), nil
	case len(b) == 9 && b[0] == valueNumber:
		return math.Float64frombits(binary.BigEndian.Uint64(b[1:])), nil
	case len(b) == 1 && (b[0] == valueFalse || b[0] == valueTrue):
		return b[0] == valueTrue, nil
	}
	return nil, fmt.Errorf("%d bytes are no value", len(b))
}
