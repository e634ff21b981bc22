package scripting

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core/packet"
)

// maxProperties bounds the user properties that a rule makes of one message:
// far above what is in use, far below what would hurt.
const maxProperties = 1000

// propertiesName is what error texts call them.
const propertiesName = "user_properties"

// properties are user properties that a rule may change: ordered, names may
// repeat [MQTT-3.3.2-18]. A change makes a new list and never writes into the
// old one, which may be lent, or be what an undone handler goes back to.
type properties []packet.UserProperty

// lentProperties are user properties that a rule may only read.
type lentProperties []packet.UserProperty

var propertiesKind = newKind(kind[properties]{
	name:   propertiesName,
	length: func(p *properties) int { return len(*p) },
	methods: map[string]lua.LGFunction{
		"get":    getProperty[properties],
		"all":    allProperties[properties],
		"each":   eachProperty[properties],
		"add":    addProperty,
		"set":    setProperty,
		"remove": removeProperty,
	},
	index:    noPropertyField[properties],
	newIndex: noPropertyAssign[properties],
	view:     func(_ *call, p *properties) lua.LValue { return propertyTable(*p) },
})

var lentPropertiesKind = newKind(kind[lentProperties]{
	name:   propertiesName,
	length: func(p *lentProperties) int { return len(*p) },
	methods: map[string]lua.LGFunction{
		"get":    getProperty[lentProperties],
		"all":    allProperties[lentProperties],
		"each":   eachProperty[lentProperties],
		"add":    refuseProperty,
		"set":    refuseProperty,
		"remove": refuseProperty,
	},
	index:    noPropertyField[lentProperties],
	newIndex: noPropertyAssign[lentProperties],
	view:     func(_ *call, p *lentProperties) lua.LValue { return propertyTable(*p) },
})

// propertyTable is a list {{name, value}, …}.
func propertyTable(list []packet.UserProperty) lua.LValue {
	out := newTable()
	for _, p := range list {
		pair := newTable()
		pair.Append(lua.LString(p.Key))
		pair.Append(lua.LString(p.Value))
		out.Append(pair)
	}
	return out
}

// noPropertyField answers p.name: properties are not fields.
func noPropertyField[T any](_ *call, _ *T, key lua.LValue) (lua.LValue, error) {
	name := describe(key)
	if s, ok := key.(lua.LString); ok {
		name = fmt.Sprintf("%q", clip(string(s)))
	}
	return nil, fmt.Errorf("%s has no field %s: a property is read with p:get(%s), all of one name with p:all(%s)", propertiesName, name, name, name)
}

func noPropertyAssign[T any](*call, *T, lua.LValue, lua.LValue) error {
	return fmt.Errorf("%s cannot be assigned by index: write p:set(name, value)", propertiesName)
}

func refuseProperty(L *lua.LState) int {
	L.RaiseError("%s is read-only here", propertiesName)
	return 0
}

// propertyList is the list behind an object of either kind.
func propertyList[T ~[]packet.UserProperty](L *lua.LState) (*call, []packet.UserProperty) {
	r := self[T](L, propertiesName)
	r.call.charge(len(*r.v))
	return r.call, *r.v
}

// getProperty is p:get(name): the first value of name, or nil.
func getProperty[T ~[]packet.UserProperty](L *lua.LState) int {
	c, list := propertyList[T](L)
	name := argText(L, 2, "name")
	for _, p := range list {
		if p.Key == name {
			L.Push(c.text(p.Value))
			return 1
		}
	}
	L.Push(lua.LNil)
	return 1
}

// allProperties is p:all(name): a table of the values of name, in order.
func allProperties[T ~[]packet.UserProperty](L *lua.LState) int {
	c, list := propertyList[T](L)
	name := argText(L, 2, "name")
	out := newTable()
	for _, p := range list {
		if p.Key == name {
			out.Append(c.text(p.Value))
		}
	}
	L.Push(out)
	return 1
}

// eachProperty is p:each(): for name, value in p:each() do … end. It walks the
// list as it was when it began.
func eachProperty[T ~[]packet.UserProperty](L *lua.LState) int {
	r := self[T](L, propertiesName)
	list, i := *r.v, 0
	L.Push(newFunction(func(L *lua.LState) int {
		if !r.alive() {
			L.RaiseError("%s: event object used after its handler returned", propertiesName)
		}
		if i == len(list) {
			L.Push(lua.LNil)
			return 1
		}
		r.call.state = L
		p := list[i]
		i++
		L.Push(r.call.text(p.Key))
		L.Push(r.call.text(p.Value))
		return 2
	}))
	return 1
}

// addProperty is p:add(name, value): one more at the end.
func addProperty(L *lua.LState) int {
	r, name, value := changeProperties(L)
	replaceProperties(L, r, append(slices.Clone(*r.v), packet.UserProperty{Key: name, Value: value}))
	return 0
}

// setProperty is p:set(name, value): in place of the first of that name, the
// others of it go; at the end if there is none.
func setProperty(L *lua.LState) int {
	r, name, value := changeProperties(L)
	next, found := make(properties, 0, len(*r.v)+1), false
	for _, p := range *r.v {
		switch {
		case p.Key != name:
			next = append(next, p)
		case !found:
			next, found = append(next, packet.UserProperty{Key: p.Key, Value: value}), true
		}
	}
	if !found {
		next = append(next, packet.UserProperty{Key: name, Value: value})
	}
	replaceProperties(L, r, next)
	return 0
}

// removeProperty is p:remove(name): all of that name; returns how many.
func removeProperty(L *lua.LState) int {
	r, name := self[properties](L, propertiesName), argText(L, 2, "name")
	r.call.charge(len(*r.v))
	r.call.touch()
	next := slices.DeleteFunc(slices.Clone(*r.v), func(p packet.UserProperty) bool { return p.Key == name })
	removed := len(*r.v) - len(next)
	*r.v = next
	L.Push(lua.LNumber(removed))
	return 1
}

func changeProperties(L *lua.LState) (r *ref[properties], name, value string) {
	r = self[properties](L, propertiesName)
	return r, argText(L, 2, "name"), argText(L, 3, "value")
}

// replaceProperties charges the copy that was made and puts it in place.
func replaceProperties(L *lua.LState, r *ref[properties], next properties) {
	if len(next) > maxProperties {
		L.RaiseError("%s would have %d properties, at most %d", propertiesName, len(next), maxProperties)
	}
	r.call.charge(len(next))
	r.call.touch()
	*r.v = next
}

// argText is a string argument of a method that goes into a UTF-8 string.
func argText(L *lua.LState, n int, name string) string {
	s, err := toText(L.Get(n))
	if err != nil {
		L.RaiseError("%s: %s %v", propertiesName, name, err)
	}
	return s
}

// toProperties takes what a rule may assign to user_properties: a list of
// {name, value}, a table name = value (in the order of names), another
// message's properties, or nil for none.
func toProperties(x lua.LValue) ([]packet.UserProperty, error) {
	if x == lua.LNil {
		return nil, nil
	}
	if ud, ok := x.(*lua.LUserData); ok {
		return otherProperties(ud)
	}
	t, ok := x.(*lua.LTable)
	if !ok {
		return nil, fmt.Errorf("must be a list {{name, value}, …}, a table {name = value} or nil, not %s", describe(x))
	}
	if t.Len() > 0 {
		return listedProperties(t)
	}
	return namedProperties(t)
}

func otherProperties(ud *lua.LUserData) ([]packet.UserProperty, error) {
	var list []packet.UserProperty
	var alive bool
	switch r := ud.Value.(type) {
	case *ref[properties]:
		if alive = r.alive(); alive {
			list = *r.v
		}
	case *ref[lentProperties]:
		if alive = r.alive(); alive {
			list = *r.v
		}
	default:
		return nil, fmt.Errorf("must be a list {{name, value}, …}, a table {name = value} or nil, not %s", describe(ud))
	}
	if !alive {
		return nil, errors.New("cannot be an event object used after its handler returned")
	}
	return slices.Clone(list), nil
}

// listedProperties reads {{name, value}, …}.
func listedProperties(t *lua.LTable) (out []packet.UserProperty, err error) {
	if t.Len() > maxProperties {
		return nil, fmt.Errorf("has %d properties, at most %d", t.Len(), maxProperties)
	}
	t.ForEach(func(k, _ lua.LValue) {
		if n, ok := k.(lua.LNumber); !ok || int(n) > t.Len() {
			err = errors.New("mixes a list with named entries: write {{name, value}, …} or {name = value}")
		}
	})
	for i := 1; i <= t.Len() && err == nil; i++ {
		pair, ok := t.RawGetInt(i).(*lua.LTable)
		if !ok || pair.Len() != 2 {
			return nil, fmt.Errorf("[%d] must be {name, value}", i)
		}
		var p packet.UserProperty
		if p, err = property(pair.RawGetInt(1), pair.RawGetInt(2)); err == nil {
			out = append(out, p)
		}
	}
	return out, err
}

// namedProperties reads {name = value, …}.
func namedProperties(t *lua.LTable) (out []packet.UserProperty, err error) {
	t.ForEach(func(k, v lua.LValue) {
		if err != nil {
			return
		}
		var p packet.UserProperty
		if p, err = property(k, v); err == nil {
			out = append(out, p)
		}
		if len(out) > maxProperties {
			err = fmt.Errorf("has more than %d properties", maxProperties)
		}
	})
	slices.SortFunc(out, func(a, b packet.UserProperty) int { return strings.Compare(a.Key, b.Key) })
	return out, err
}

func property(k, v lua.LValue) (p packet.UserProperty, err error) {
	if p.Key, err = toText(k); err != nil {
		return p, fmt.Errorf("name %w", err)
	}
	if p.Value, err = toText(v); err != nil {
		return p, fmt.Errorf("%q %w", clip(p.Key), err)
	}
	return p, nil
}
