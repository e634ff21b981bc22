package core

// Settle does what the broker does once an event is decided: it runs the
// effects, of a refused one those with always. It is for those who put events
// to hooks outside a broker, such as tests of rules.
func (t *Turn) Settle(refused bool) { t.settle(refused) }
