package scripting

import (
	"errors"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/scripting/sandbox"
)

// ownKind is what calls belong to that no event of the broker brings: timers,
// load and unload.
type ownKind struct{ eventInfo }

func (k *ownKind) info() *eventInfo                 { return &k.eventInfo }
func (k *ownKind) keep(*call)                       {}
func (k *ownKind) clientOf(any) *core.Client        { return nil }
func (k *ownKind) plan(*generation, []*handler) any { return nil }

// noEvent is what a call belongs to that has no event.
var noEvent = &ownKind{}

// invocation is one call that no event of the broker brings.
type invocation struct {
	handler *handler
	fn      *lua.LFunction
	turn    *core.Turn
	args    []lua.LValue
	result  func(lua.LValue) error // takes what was returned, while the world is locked; nil: it is ignored
}

// invoke makes a call. One that fails is taken back, counted and logged.
func (w *world) invoke(in invocation) error {
	if err := w.Enter(sandbox.Ticket{}); err != nil {
		return err
	}
	c := w.begin(in.handler, noEvent, in.turn, nil)
	defer w.leave(c)
	results, err := w.Call(in.fn, sandbox.CallOptions{Budget: in.handler.budget, Ctx: c}, 1, in.args...)
	if err == nil && in.result != nil {
		if err = in.result(results[0]); err != nil {
			err = &returned{err, ""}
		}
	}
	if err != nil {
		c.fail(err)
		return err
	}
	in.handler.verdicts[core.Pass].Add(1)
	return nil
}

// fail takes back what a failed call did, counts and logs it, and says which
// line it was.
func (c *call) fail(err error) (by string) {
	c.rollback()
	c.handler.errors.Add(1)
	var script *sandbox.Error
	by = c.handler.culprit(err)
	c.world.generation.report(c, by, err)
	if errors.As(err, &script) && isOverrun(script) {
		c.world.generation.strike(c, by)
	}
	return by
}
