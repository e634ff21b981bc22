package scripting

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/scripting/sandbox"
)

// manual is everything that is bound for rules and tests, as it is documented.
type manual struct {
	libs    []manualLib
	classes []manualClass
	globals []manualCall // test, expect
}

type manualLib struct {
	name, text string
	calls      []manualCall
	consts     []manualCall
}

type manualClass struct {
	shape
	class string // "lunamq.Client"
	calls []manualCall
}

// manualCall is a function, method or constant.
type manualCall struct {
	name   string // "publish"
	params []manualParam
	typ    string // what it returns, "" for nothing; of a constant its type
	text   string
}

type manualParam struct {
	name, typ string
	optional  bool
}

// newManual reads a world of tests, which has everything that rules have.
func newManual() (*manual, error) {
	t, err := newTrial(context.Background(), Options{}, &fileSet{}, nil)
	if err != nil {
		return nil, err
	}
	t.openTests(func(testCase) error { return nil })
	m := new(manual)
	bare := sandbox.NewWorld(sandbox.Limits{})
	for _, name := range t.tester.Names("") {
		switch {
		case bare.Global(name) != lua.LNil: // Lua's own
		case t.tester.IsLib(name):
			m.libs = append(m.libs, newManualLib(t.tester, name))
		default:
			m.globals = append(m.globals, newManualCall(name, name))
		}
	}
	for _, class := range slices.Sorted(maps.Keys(shapes())) {
		m.addClass(shapes()[class], class)
	}
	m.addClass(resultKind.shape(), className("result"))
	ofLibs := map[string]map[string]lua.LGFunction{"limiter": limiterMethods, "bucket": bucketMethods, "expectation": expectations, "timer": timerMethods}
	for kind, methods := range metricMethods {
		ofLibs[core.MetricKind(kind).String()] = methods
	}
	for name, methods := range ofLibs {
		m.addClass(shape{name: name, methods: slices.Sorted(maps.Keys(methods))}, className(name))
	}
	slices.SortFunc(m.classes, func(a, b manualClass) int { return strings.Compare(a.class, b.class) })
	return m, nil
}

func newManualLib(w *world, lib string) manualLib {
	out := manualLib{name: lib, text: libDocs[lib]}
	for _, name := range w.Names(lib) {
		key := lib + "." + name
		_, isFunction := w.Lib(lib, name).(*lua.LFunction)
		switch {
		case lib == "try":
			out.calls = append(out.calls, manualCall{
				name: name, text: "Puts a " + name + " event to the rules.", typ: resultClass(name),
				params: []manualParam{{"event", tryClass(name), false}},
			})
		case isFunction:
			out.calls = append(out.calls, newManualCall(key, name))
		default:
			out.consts = append(out.consts, manualCall{name: name, typ: callDocs[key].sig, text: callDocs[key].text})
		}
	}
	return out
}

func (m *manual) addClass(s shape, class string) {
	c := manualClass{shape: s, class: class}
	for _, name := range s.methods {
		c.calls = append(c.calls, newManualCall(strings.TrimPrefix(class, classPrefix)+":"+name, name))
	}
	m.classes = append(m.classes, c)
}

// newManualCall is the function of a row of callDocs.
func newManualCall(key, name string) manualCall {
	doc := callDocs[key]
	params, typ, returns := strings.Cut(doc.sig, "-> ")
	out := manualCall{name: name, text: doc.text}
	if returns {
		out.typ = typ
	}
	for _, p := range splitParams(strings.TrimSpace(params)) {
		n, t, _ := strings.Cut(p, ": ")
		out.params = append(out.params, manualParam{strings.TrimSuffix(n, "?"), t, strings.HasSuffix(n, "?")})
	}
	return out
}

// splitParams splits at the commas that are not within < >, { } or ( ).
func splitParams(s string) (out []string) {
	depth, from := 0, 0
	for i, r := range s {
		switch r {
		case '<', '{', '(':
			depth++
		case '>', '}', ')':
			depth--
		case ',':
			if depth == 0 {
				out = append(out, strings.TrimSpace(s[from:i]))
				from = i + 1
			}
		}
	}
	if s = strings.TrimSpace(s[from:]); s != "" {
		out = append(out, s)
	}
	return out
}

// tryClass and resultClass are what try.name takes and returns.
func tryClass(name string) string {
	return classPrefix + "Try" + strings.TrimPrefix(className(name), classPrefix)
}
func resultClass(name string) string { return className(name) + "Result" }

// usage is a call as one writes it: kv.set(key, value [, ttl]).
func (c manualCall) usage(prefix string) string {
	out, closing := prefix+c.name+"(", ""
	for i, p := range c.params {
		switch {
		case p.optional && i == 0:
			out, closing = out+"["+p.name, "]"
		case p.optional:
			out, closing = out+" [, "+p.name, closing+"]"
		case i == 0:
			out += p.name
		default:
			out += ", " + p.name
		}
	}
	return out + closing + ")"
}

// verdictsOf are the words that handlers of an event may return.
func verdictsOf(e *eventInfo) string {
	if e.told {
		return "none: it has happened"
	}
	words := []string{"allow"}
	if e.deny != 0 {
		words = append(words, "deny")
	}
	if e.drop {
		words = append(words, "drop")
	}
	if e.disconnect != 0 {
		words = append(words, "disconnect")
	}
	return strings.Join(words, ", ")
}

// filterOf says what the filter of a handler is held against.
func filterOf(e *eventInfo) string {
	switch e.match {
	case matchTopic:
		return "the topic"
	case matchOverlap:
		return "the filter, by overlap"
	}
	return "none"
}

// undocumented are the functions, fields and events without a text, and the
// texts without one of these.
func (m *manual) undocumented() (out []string) {
	used := make(map[string]bool)
	note := func(key, text string) {
		if used[key] = true; text == "" {
			out = append(out, key+" has no text")
		}
	}
	for _, l := range m.libs {
		note(l.name, l.text)
		for _, c := range slices.Concat(l.calls, l.consts) {
			note(l.name+"."+c.name, c.text)
		}
	}
	for _, c := range m.globals {
		note(c.name, c.text)
	}
	for _, c := range m.classes {
		for _, call := range c.calls {
			note(strings.TrimPrefix(c.class, classPrefix)+":"+call.name, call.text)
		}
		for _, f := range c.fields {
			note(c.class+"."+f.name, f.doc)
		}
	}
	for _, name := range eventNames {
		note("event "+name, eventDocs[name])
	}
	for key := range callDocs {
		if !used[key] {
			out = append(out, fmt.Sprintf("%s is documented and not bound", key))
		}
	}
	slices.Sort(out)
	return out
}
