package scripting

import (
	"errors"
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"lunamq/scripting/sandbox"
)

// maxBudget bounds the budget that a handler may ask for, in instructions: some
// seconds, far beyond any deadline.
const maxBudget = 100_000_000

var handlerOptions = []string{"budget", "on_error"}

// on is mqtt.on(event [, filter] [, options], handler).
func (w *world) on(L *lua.LState) int {
	if w.loading == nil {
		L.RaiseError("mqtt.on in a handler: handlers are registered while the file loads, outside all functions")
	}
	h, fn, err := w.registration(L)
	if err != nil {
		L.RaiseError("mqtt.on: %v", err)
	}
	h.by, h.index, h.keeps = place(L), len(w.functions), sandbox.Keeps(fn)
	if err := w.loading.checkUnload(h); err != nil {
		L.RaiseError("mqtt.on: %v", err)
	}
	w.loading.handlers = append(w.loading.handlers, h)
	w.functions = append(w.functions, fn)
	return 0
}

// registration reads the arguments of mqtt.on.
func (w *world) registration(L *lua.LState) (*handler, *lua.LFunction, error) {
	name, ok := L.Get(1).(lua.LString)
	if !ok {
		return nil, nil, fmt.Errorf("the event must be a string, not %s", describe(L.Get(1)))
	}
	kind, ok := events[string(name)]
	if !ok {
		return nil, nil, fmt.Errorf("there is no event %q%s", clip(string(name)), meant(string(name), eventNames))
	}
	if kind.info() == packetEvent.info() && !w.generation.engine.options.Packets {
		return nil, nil, errors.New("packet events are off: set [scripting] packets = true")
	}
	h := &handler{info: kind.info(), pass: w.generation.engine.options.OnError == "pass"}
	at := 2
	if filter, ok := L.Get(at).(lua.LString); ok {
		if err := h.setFilter(string(filter)); err != nil {
			return nil, nil, err
		}
		at++
	}
	if options, ok := L.Get(at).(*lua.LTable); ok {
		if err := h.setOptions(options); err != nil {
			return nil, nil, err
		}
		at++
	}
	fn, ok := L.Get(at).(*lua.LFunction)
	if !ok || L.GetTop() != at {
		return nil, nil, fmt.Errorf("want (event [, filter] [, options], handler): argument %d is %s, the last must be the handler, a function", at, describe(L.Get(at)))
	}
	return h, fn, nil
}

func (h *handler) setFilter(filter string) error {
	if h.info.match == matchNone {
		return fmt.Errorf("%s takes no filter: it has no topic", h.info.name)
	}
	if err := checkText(filter); err != nil {
		return fmt.Errorf("the filter %w", err)
	}
	if err := checkPlainFilter(filter); err != nil {
		return fmt.Errorf("the filter %w", err)
	}
	h.filter = filter
	return nil
}

func (h *handler) setOptions(t *lua.LTable) error {
	from, err := stringKeys(t, handlerOptions)
	if err != nil {
		return fmt.Errorf("options: the table %w", err)
	}
	if x := from["on_error"]; x != nil {
		switch x {
		case lua.LString("deny"), lua.LString("pass"):
			h.pass = x == lua.LString("pass")
		default:
			return fmt.Errorf(`on_error must be "deny" or "pass", not %s`, describe(x))
		}
	}
	if x := from["budget"]; x != nil {
		n, err := toInteger(x, 1, maxBudget)
		if err != nil {
			return fmt.Errorf("budget %w", err)
		}
		h.budget = int64(n)
	}
	return nil
}
