package scripting

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
)

// clientFields are what is known of a peer. Messages of rules, bridges and the
// administrator have a client with only an id: the rest reads as nil.
var clientFields = fields[core.Client]{
	"id": {doc: "string?: the client identifier; $script and the like for messages that no client sent", get: func(c *call, v *core.Client) lua.LValue { return c.optional(v.ID) }},
	"username": {doc: "string?: the user name it connected with", get: func(c *call, v *core.Client) lua.LValue {
		if !v.HasUsername {
			return lua.LNil
		}
		return c.text(v.Username)
	}},
	"remote":   {doc: "string?: its address, \"ip:port\"", get: func(c *call, v *core.Client) lua.LValue { return c.optional(v.Remote) }},
	"listener": {doc: "string?: the name of the listener it came by", get: func(c *call, v *core.Client) lua.LValue { return c.optional(v.Listener) }},
	"protocol": {doc: "'3.1'|'3.1.1'|'5'|nil: the version it speaks", get: func(_ *call, v *core.Client) lua.LValue { return protocol(v.Protocol) }},
	"tls":      {doc: "lunamq.TLS?: the facts of its TLS connection; nil without TLS", get: func(c *call, v *core.Client) lua.LValue { return part(c, tlsKind, v.TLS) }},
	"connected_at": {doc: "number?: when it connected, seconds since 1970", get: func(_ *call, v *core.Client) lua.LValue {
		if v.ConnectedAt.IsZero() {
			return lua.LNil
		}
		return lua.LNumber(seconds(v.ConnectedAt))
	}},
	"mount": {doc: "string?: the prefix of all its topics, \"\" for none", get: func(c *call, v *core.Client) lua.LValue {
		if v.Protocol == 0 {
			return lua.LNil
		}
		return c.text(v.Mount)
	}},
	"vars": {doc: "table<string, string|number|boolean>?: variables of the session; they outlive a reload", get: func(c *call, v *core.Client) lua.LValue { return part(c, varsKind, v.Vars) }},
}

var clientKind = newKind(kind[core.Client]{name: "client", fields: clientFields})

// nobody stands for a client that an event does not have: never nil, its fields are.
var nobody = new(core.Client)

// clientObject is the client of an event.
func clientObject(c *call, v *core.Client) lua.LValue {
	if v == nil {
		v = nobody
	}
	return part(c, clientKind, v)
}

// clientField is the field client of an event.
func clientField[T any](of func(*T) *core.Client) field[T] {
	return field[T]{get: func(c *call, v *T) lua.LValue { return clientObject(c, of(v)) }}
}

// tlsKind shows the facts of a TLS connection; what the client's certificate
// would say is nil without one.
var tlsKind = newKind(kind[core.TLSInfo]{name: "tls", fields: fields[core.TLSInfo]{
	"version":     {doc: "string?: \"1.2\" or \"1.3\"", get: func(c *call, v *core.TLSInfo) lua.LValue { return c.optional(v.Version) }},
	"cipher":      {doc: "string?: the cipher suite", get: func(c *call, v *core.TLSInfo) lua.LValue { return c.optional(v.Cipher) }},
	"server_name": {doc: "string?: the name the client asked for (SNI)", get: func(c *call, v *core.TLSInfo) lua.LValue { return c.optional(v.ServerName) }},
	"common_name": {doc: "string?: of the client's certificate; nil without one", get: func(c *call, v *core.TLSInfo) lua.LValue { return c.optional(v.CommonName) }},
	"subject":     {doc: "string?: of the client's certificate", get: func(c *call, v *core.TLSInfo) lua.LValue { return c.optional(v.Subject) }},
	"serial":      {doc: "string?: of the client's certificate, hexadecimal", get: func(c *call, v *core.TLSInfo) lua.LValue { return c.optional(v.Serial) }},
	"fingerprint": {doc: "string?: SHA-256 of the client's certificate, hexadecimal", get: func(c *call, v *core.TLSInfo) lua.LValue { return c.optional(v.Fingerprint) }},
}})

// varsKind is the table of variables that the broker keeps for the life of a
// session. Its keys are the rule's own, so nothing here is unknown. A change
// takes effect at once and stays when the handler fails later.
var varsKind = newKind(kind[core.Vars]{
	name: "vars",
	index: func(_ *call, v *core.Vars, key lua.LValue) (lua.LValue, error) {
		name, ok := key.(lua.LString)
		if !ok {
			return nil, fmt.Errorf("vars has names for keys, not %s", describe(key))
		}
		return fromVar(v.Get(string(name))), nil
	},
	newIndex: func(_ *call, v *core.Vars, key, x lua.LValue) error { return setVar(v, key, x) },
	view: func(c *call, v *core.Vars) lua.LValue {
		all, t := v.All(), newTable()
		c.charge(len(all))
		for _, name := range slices.Sorted(maps.Keys(all)) {
			t.RawSetString(name, fromVar(all[name]))
		}
		return t
	},
	walked: true,
})

func setVar(v *core.Vars, key, x lua.LValue) error {
	name, ok := key.(lua.LString)
	if !ok {
		return fmt.Errorf("vars has names for keys, not %s", describe(key))
	}
	switch x := x.(type) {
	case lua.LString:
		return v.Set(strings.Clone(string(name)), strings.Clone(string(x))) // may be a part of something large
	case lua.LNumber:
		return v.Set(string(name), float64(x))
	case lua.LBool:
		return v.Set(string(name), bool(x))
	}
	if x == lua.LNil {
		return v.Set(string(name), nil)
	}
	return fmt.Errorf("vars.%s must be a string, a number, a boolean or nil, not %s", clip(string(name)), describe(x))
}

func fromVar(x any) lua.LValue {
	switch x := x.(type) {
	case string:
		return lua.LString(x)
	case float64:
		return number(x)
	case bool:
		return boolean(x)
	}
	return lua.LNil
}

// toVars takes what a connect handler may assign to vars: a table, or another vars.
func toVars(x lua.LValue) (*core.Vars, error) {
	if ud, ok := x.(*lua.LUserData); ok {
		if r, ok := ud.Value.(*ref[core.Vars]); ok && r.alive() {
			return r.v, nil
		}
	}
	t, ok := x.(*lua.LTable)
	if !ok {
		return nil, fmt.Errorf("must be a table of strings, numbers and booleans, not %s", describe(x))
	}
	vars := new(core.Vars)
	var err error
	t.ForEach(func(k, v lua.LValue) {
		if err == nil {
			err = setVar(vars, k, v)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("cannot be this table: %w", err)
	}
	return vars, nil
}
