package scripting

import (
	"errors"
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"lunamq/scripting/lib"
)

// Bounds of what unload hands over.
const (
	maxPlainDepth  = 32
	maxPlainValues = 100_000
	maxPlainBytes  = 16 << 20
)

// plainCopy copies plain values: nil, booleans, numbers, strings, and tables of
// them without a metatable (a list of json stays one). The copy belongs to no world.
type plainCopy struct {
	values, bytes int
	open          map[*lua.LTable]bool // tables around the one being copied
}

// plain is a copy of x that another world may have.
func plain(x lua.LValue) (lua.LValue, error) {
	c := plainCopy{open: make(map[*lua.LTable]bool)}
	return c.copy(x)
}

func (c *plainCopy) copy(x lua.LValue) (lua.LValue, error) {
	if c.values++; c.values > maxPlainValues {
		return nil, fmt.Errorf("unload returned more than %d values", maxPlainValues)
	}
	switch x := x.(type) {
	case *lua.LNilType, lua.LBool, lua.LNumber:
		return x, nil
	case lua.LString:
		if c.bytes += len(x); c.bytes > maxPlainBytes {
			return nil, fmt.Errorf("unload returned more than %d bytes", maxPlainBytes)
		}
		return x, nil
	case *lua.LTable:
		return c.table(x)
	}
	return nil, fmt.Errorf("unload returned %s: it returns plain values (nil, booleans, numbers, strings, tables of them)", describe(x))
}

func (c *plainCopy) table(t *lua.LTable) (lua.LValue, error) {
	switch {
	case c.open[t]:
		return nil, errors.New("unload returned a table that holds itself")
	case len(c.open) == maxPlainDepth:
		return nil, fmt.Errorf("unload returned tables nested more than %d deep", maxPlainDepth)
	}
	if _, ok := t.Metatable.(*lua.LTable); ok {
		return nil, errors.New("unload returned a table with a metatable: it returns plain values")
	}
	c.open[t] = true
	defer delete(c.open, t)
	out := newTable()
	if lib.IsArray(t) {
		_ = lib.MarkArray(out) // a new table takes the mark
	}
	var failed error
	t.ForEach(func(k, v lua.LValue) {
		if failed != nil {
			return
		}
		key, err := c.copy(k)
		if err != nil {
			failed = err
			return
		}
		value, err := c.copy(v)
		if err != nil {
			failed = err
			return
		}
		out.RawSet(key, value)
	})
	if failed != nil {
		return nil, failed
	}
	return out, nil
}
