package scripting

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"lunamq/scripting/sandbox"
)

const (
	logCost      = 100 // instructions: a line of a log is some microseconds
	maxLogText   = 4096
	maxLogFields = 32
)

// logCalls are log.debug, info, warn and error: (text [, fields]). They act at
// once, also when the handler fails afterwards.
func (w *world) logCalls() map[string]lua.LGFunction {
	calls := make(map[string]lua.LGFunction)
	for name, level := range map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError} {
		calls[name] = func(L *lua.LState) int {
			w.log(L, "log."+name, level)
			return 0
		}
	}
	return calls
}

func (w *world) log(L *lua.LState, call string, level slog.Level) {
	argNone(L, 2, call)
	said := argBytes(L, 1, call, "the text")
	attrs, err := logFields(L.Get(2))
	if err != nil {
		L.RaiseError("%s: %v", call, err)
	}
	log := w.generation.engine.options.Log
	if !log.Enabled(context.Background(), level) || w.quiet() {
		return
	}
	sandbox.Charge(L, logCost)
	attrs = append([]slog.Attr{slog.String("by", place(L))}, attrs...)
	log.LogAttrs(context.Background(), level, clipTo(said, maxLogText), attrs...)
}

// quiet says that another world says it already: every world loads the files.
func (w *world) quiet() bool { return w.loading != nil && w.nr > 0 }

// print is what a rule's print comes to.
func (w *world) print(line string) {
	if !w.quiet() {
		w.generation.engine.options.Log.Info(clipTo(line, maxLogText), "by", "print")
	}
}

// logFields makes attributes of a table, in the order of their names.
func logFields(x lua.LValue) (attrs []slog.Attr, err error) {
	if x == lua.LNil {
		return nil, nil
	}
	t, ok := x.(*lua.LTable)
	if !ok {
		return nil, fmt.Errorf("the fields must be a table {name = value}, not %s", describe(x))
	}
	t.ForEach(func(k, v lua.LValue) {
		name, isName := k.(lua.LString)
		switch {
		case err != nil:
		case !isName:
			err = fmt.Errorf("a field has the name %s: names are strings", describe(k))
		case len(attrs) == maxLogFields:
			err = fmt.Errorf("there are more than %d fields", maxLogFields)
		default:
			attrs = append(attrs, logField(string(name), v))
		}
	})
	slices.SortFunc(attrs, func(a, b slog.Attr) int { return strings.Compare(a.Key, b.Key) })
	return attrs, err
}

// ownFields are the names that a line of the log has of itself.
var ownFields = []string{slog.TimeKey, slog.LevelKey, slog.MessageKey, slog.SourceKey, "by"}

func logField(name string, v lua.LValue) slog.Attr {
	if name = clip(name); slices.Contains(ownFields, name) {
		name += "_"
	}
	switch v := v.(type) {
	case lua.LString:
		return slog.String(name, clipTo(string(v), maxLogText))
	case lua.LNumber:
		return slog.Float64(name, float64(v))
	case lua.LBool:
		return slog.Bool(name, bool(v))
	}
	return slog.String(name, describe(v))
}

// clipTo shortens s to n bytes.
func clipTo(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}
