package scripting

import (
	"slices"
	"strings"
)

// Objects have classes in the reference and for lint: lunamq.PublishEvent.

const classPrefix = "lunamq."

// classNames are the kinds whose class is not just their name.
var classNames = map[string]string{"tls": "TLS", "level": "Levels"}

// className is the class of a kind: "publish event" is lunamq.PublishEvent.
func className(kind string) string {
	if name, ok := classNames[kind]; ok {
		return classPrefix + name
	}
	var b strings.Builder
	for _, word := range strings.FieldsFunc(kind, func(r rune) bool { return r == ' ' || r == '_' }) {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return classPrefix + b.String()
}

// eventClass is the class of what handlers of an event are given; "" where that
// is no object.
func eventClass(e eventType) string {
	if s, ok := e.(shownEvent); ok {
		return className(s.kindName())
	}
	return ""
}

// openKinds are those whose keys are the rule's own.
var openKinds = []string{"vars", "level", "result"}

// shapes are the kinds by class, but for those whose keys are not known.
func shapes() map[string]shape {
	out := make(map[string]shape)
	for _, k := range kinds {
		s := k.shape()
		if !slices.Contains(openKinds, s.name) {
			out[className(s.name)] = s
		}
	}
	return out
}

// field is a field of the shape; false if there is none of that name.
func (s shape) field(name string) (fieldShape, bool) {
	for _, f := range s.fields {
		if f.name == name {
			return f, true
		}
	}
	return fieldShape{}, false
}

// names are those of fields and methods.
func (s shape) names() []string {
	out := slices.Clone(s.methods)
	for _, f := range s.fields {
		out = append(out, f.name)
	}
	return out
}
