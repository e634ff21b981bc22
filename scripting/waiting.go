package scripting

import (
	"hash/maphash"
	"net"

	"lunamq/core"
	"lunamq/scripting/sandbox"
)

// enter locks a world for one handler of an event: the one that its last
// handler had, the only one, the client's own if it is free, or any that is.
// When it has to wait, what the connection wrote goes out first. An error says
// that its turn did not come.
func (g *generation) enter(w *world, turn *core.Turn, kind eventType, ev any) (*world, error) {
	switch {
	case w != nil:
	case len(g.seats) == 1:
		w = g.world(0)
	default:
		client := kind.clientOf(ev)
		if w = g.free(client); w != nil {
			return w, nil
		}
		w = g.shortest(client)
	}
	if w.TryLock() {
		return w, nil
	}
	return w, g.await(w, turn, kind.clientOf(ev))
}

// await waits for a world.
func (g *generation) await(w *world, turn *core.Turn, client *core.Client) error {
	turn.BeforeWait()
	o := &g.engine.options
	return w.Enter(sandbox.Ticket{Payer: payerOf(client), Patience: o.QueueTime, Waiting: o.Queue})
}

// free is a world that was free and is locked now, or nil.
func (g *generation) free(client *core.Client) *world {
	first := homeOf(client, len(g.seats))
	for i := range g.seats {
		if w := g.world((first + i) % len(g.seats)); w.TryLock() {
			return w
		}
	}
	return nil
}

// shortest is the world for which the fewest wait; of several the client's own.
func (g *generation) shortest(client *core.Client) *world {
	first := homeOf(client, len(g.seats))
	best := g.world(first)
	for i := 1; i < len(g.seats); i++ {
		if w := g.world((first + i) % len(g.seats)); w.Awaited() < best.Awaited() {
			best = w
		}
	}
	return best
}

// leave ends a call and unlocks its world. Where others wait, the client's next
// turn comes the later the longer this one was.
func (w *world) leave(c *call) {
	if w.Awaited() > 0 {
		w.Pay(payerOf(c.client()), w.Held())
	}
	w.end(c)
	w.Unlock()
}

var seed = maphash.MakeSeed()

// payerOf is on whose account a client's events run: its own; before it is
// connected that of all who come from its address, for it may call itself as it
// likes. Events without a client have one account.
func payerOf(client *core.Client) uint64 {
	switch {
	case client == nil || client == nobody:
		return 0
	case client.ConnectedAt.IsZero() && client.Remote != "":
		host, _, err := net.SplitHostPort(client.Remote)
		if err != nil {
			host = client.Remote // a unix socket has no port
		}
		return maphash.String(seed, host)
	}
	var h maphash.Hash
	h.SetSeed(seed)
	h.WriteString(client.Mount)
	h.WriteByte(0)
	h.WriteString(client.ID)
	return h.Sum64()
}

// homeOf is the world that a client's events go to when it is free.
func homeOf(client *core.Client, worlds int) int {
	if client == nil {
		return 0
	}
	return int(maphash.String(seed, client.ID) % uint64(worlds))
}

// reportSkipped logs that an event was not put to a handler, because its turn did
// not come. One line a place and client, limited: many clients make many.
func (g *generation) reportSkipped(h *handler, client *core.Client, err error) {
	args := []any{"handler", h.by, "event", h.info.name, "comes_to", h.fate(), "workers", len(g.seats)}
	if client != nil && client.ID != "" {
		args = append(args, "client", client.ID)
	}
	if client != nil && client.Remote != "" {
		args = append(args, "addr", client.Remote)
	}
	g.complain(h.by, "an event was not put to a handler", append(args, "err", err)...)
}
