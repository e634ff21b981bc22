package scripting

import (
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"

	"lunamq/scripting/lib"
	"lunamq/scripting/sandbox"
)

// passwordCost is what beginning to check a password costs, in instructions: what
// it takes beyond is not the world's time, but wait_limit's.
const passwordCost = 500

// verifyPassword is crypto.verify_password(password, hash). It takes tens of
// milliseconds on purpose, so it waits: others use the world meanwhile.
func (w *world) verifyPassword(L *lua.LState) int {
	const call = "crypto.verify_password"
	argNone(L, 2, call)
	password, hash := argBytes(L, 1, call, "the password"), argBytes(L, 2, call, "the hash")
	sandbox.Charge(L, passwordCost)
	var payer uint64
	if c := running(L); c != nil {
		payer = payerOf(c.client())
	}
	var ok bool
	var err error
	wait(L, func(left time.Duration) { ok, err = w.generation.engine.verifyPassword(password, hash, payer, left) })
	if err != nil {
		L.RaiseError("%s: %v", call, err)
	}
	L.Push(boolean(ok))
	return 1
}

// wait lets others use the world while fn runs, within wait_limit. What the
// connection wrote goes out first.
func wait(L *lua.LState, fn func(left time.Duration)) {
	if c := running(L); c != nil {
		c.turn.BeforeWait()
	}
	sandbox.Wait(L, fn)
}

// verifyPassword checks a password at one of the desks. There is one fewer than
// there are processors, so that a flood of logins leaves one to the messages; and
// the queue is fair by who asks, so that it leaves a turn to the others' logins.
func (e *Engine) verifyPassword(password, hash string, payer uint64, left time.Duration) (bool, error) {
	desk, err := e.desk(sandbox.Ticket{Payer: payer, Patience: left})
	if err != nil {
		return false, fmt.Errorf("too many passwords to check: %w", err)
	}
	began := time.Now()
	defer func() { desk.Leave(payer, time.Since(began)) }()
	return lib.VerifyPassword(password, hash)
}

// desk is a desk that is the caller's now.
func (e *Engine) desk(t sandbox.Ticket) (*sandbox.Queue, error) {
	best := &e.desks[0]
	for i := range e.desks {
		d := &e.desks[i]
		if d.TryEnter() {
			return d, nil
		}
		if d.Awaited() < best.Awaited() {
			best = d
		}
	}
	return best, best.Enter(t)
}
