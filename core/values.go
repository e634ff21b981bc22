package core

// Values are the durable values of rules, kept in the broker's store.
type Values struct {
	store Store
	kept  []Op
}

// Values returns the durable values.
func (b *Broker) Values() *Values { return &b.values }

// Take hands out what the store had kept when the broker was made, as PutValue,
// and forgets it: whoever takes it has it.
func (v *Values) Take() []Op {
	kept := v.kept
	v.kept = nil
	return kept
}

// Commit stores a batch of PutValue and DeleteValue, as Store.Commit.
func (v *Values) Commit(b *Batch, done Committed) (kept bool) { return v.store.Commit(b, done) }
