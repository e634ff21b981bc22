package core

// Act lets somebody who takes part do something of their own accord, as a timer
// does. do gets a turn as hooks have it; what it queues there happens when do
// returns true, in order; with false only what was queued as always does. The
// messages made by it are bounded as those of one event.
func (b *Broker) Act(do func(*Turn) bool) {
	r := b.newRound()
	defer r.end()
	t := Turn{round: r}
	done := false
	func() {
		defer b.recoverHook(do)
		done = do(&t)
	}()
	t.settle(!done)
	b.commitNow(r)
}
