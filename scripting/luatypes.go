package scripting

import (
	"fmt"
	"slices"
	"strings"
)

// LuaTypes is the script API as definitions for the Lua language server
// (LuaLS), made of the tables that bind it.
func LuaTypes() string {
	m, err := newManual()
	if err != nil {
		panic(fmt.Sprintf("scripting: an empty set of rules does not load: %v", err))
	}
	d := new(definitions)
	d.line("---@meta lunamq")
	d.line("-- The script API of LunaMQ, for editors; made by lunamq lua-types.")
	d.line("")
	d.line("---@class lunamq.Verdict")
	d.line("")
	d.line("---@class lunamq.HandlerOptions")
	d.line(`---@field on_error? "deny"|"pass" what the event comes to when the handler fails`)
	d.line("---@field budget? integer instructions that one call may take")
	d.levels()
	for _, c := range m.classes {
		d.class(c)
	}
	d.publishTable()
	d.tests()
	for _, l := range m.libs {
		d.lib(l)
	}
	for _, g := range m.globals {
		d.function("", g)
	}
	return d.b.String()
}

// definitions is a file under way.
type definitions struct{ b strings.Builder }

func (d *definitions) line(format string, args ...any) {
	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	d.b.WriteString(format + "\n")
}

// levels is the one class whose keys are numbers.
func (d *definitions) levels() {
	d.line("")
	d.line("---@class %s", className("level"))
	d.line("---@field [integer] string? one level of a topic, the first is 1")
}

func (d *definitions) class(c manualClass) {
	d.line("")
	d.line("---@class %s", c.class)
	for _, f := range c.fields {
		access := ""
		if !f.writable {
			access = " (read-only)"
		}
		d.line("---@field %s %s %s%s", f.name, f.typ, f.doc, access)
	}
	if len(c.calls) == 0 {
		return
	}
	local := strings.TrimPrefix(c.class, classPrefix)
	d.line("local %s = {}", local)
	for _, call := range c.calls {
		d.function(local+":", call)
	}
}

func (d *definitions) function(prefix string, c manualCall) {
	d.line("")
	d.line("---%s", c.text)
	var names []string
	for _, p := range c.params {
		mark := ""
		if p.optional {
			mark = "?"
		}
		d.line("---@param %s%s %s", p.name, mark, p.typ)
		names = append(names, p.name)
	}
	if c.typ != "" {
		d.line("---@return %s", c.typ)
	}
	d.line("function %s%s(%s) end", prefix, c.name, strings.Join(names, ", "))
}

func (d *definitions) lib(l manualLib) {
	d.line("")
	d.line("---%s", l.text)
	d.line("%s = {}", l.name)
	for _, c := range l.consts {
		d.line("")
		d.line("---%s", c.text)
		d.line("---@type %s", c.typ)
		d.line("%s.%s = nil", l.name, c.name)
	}
	for _, c := range l.calls {
		if l.name == "mqtt" && c.name == "on" {
			d.on(c)
			continue
		}
		d.function(l.name+".", c)
	}
}

// on is mqtt.on with one form for each event and each list of arguments.
func (d *definitions) on(c manualCall) {
	d.line("")
	d.line("---%s", c.text)
	for _, name := range eventNames {
		e := events[name]
		filters := []string{""}
		if e.info().match != matchNone {
			filters = append(filters, "filter: string, ")
		}
		returns := ": lunamq.Verdict|boolean|nil"
		if e.info().told {
			returns = ""
		}
		given := "ev: any"
		if class := eventClass(e); class != "" {
			given = "ev: " + class
		}
		for _, filter := range filters {
			for _, options := range []string{"", "options: lunamq.HandlerOptions, "} {
				d.line(`---@overload fun(event: "%s", %s%shandler: fun(%s)%s)`, name, filter, options, given, returns)
			}
		}
	}
	d.line("function mqtt.on(event, ...) end")
}

// publishTable is what mqtt.publish takes.
func (d *definitions) publishTable() {
	d.line("")
	d.line("---@class %sPublishTable", classPrefix)
	s := messageKind.shape()
	for _, name := range publishKeys {
		if f, ok := s.field(name); ok {
			mark := "?"
			if name == "topic" {
				mark = ""
			}
			d.line("---@field %s%s %s %s", name, mark, tableType(f.typ), f.doc)
		} else {
			d.line("---@field %s? boolean", name)
		}
	}
}

// tests are the classes of what try takes and returns.
func (d *definitions) tests() {
	for _, s := range []shape{clientKind.shape(), tlsKind.shape(), messageKind.shape(), limitsKind.shape(), subscriptionKind.shape()} {
		d.optionalClass(tableClass(className(s.name)), s, nil)
	}
	for _, name := range trialNames {
		k := trials[name]
		s := shapes()[className(k.event().kindName())]
		d.optionalClass(tryClass(name), s, k.keys())
		d.line("")
		d.line("---@class %s: %s, %s", resultClass(name), className("result"), className(k.event().kindName()))
	}
}

// optionalClass is a table with fields of an object, all of which may be left
// out: those of names, or all.
func (d *definitions) optionalClass(class string, s shape, names []string) {
	d.line("")
	d.line("---@class %s", class)
	if names == nil {
		names = s.names()
	}
	for _, name := range slices.Sorted(slices.Values(names)) {
		if f, ok := s.field(name); ok {
			d.line("---@field %s? %s %s", name, tableType(f.typ), f.doc)
		}
	}
}

// tableClass is the table that describes an object.
func tableClass(class string) string { return class + "Table" }

// tableType is the type of a field in a table that describes an object.
func tableType(typ string) string {
	typ = strings.TrimSuffix(typ, "?")
	switch {
	case typ == className("user_properties"):
		return "table"
	case strings.HasPrefix(typ, classPrefix):
		return tableClass(typ)
	}
	return typ
}
