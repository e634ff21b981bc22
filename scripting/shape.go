package scripting

import "strings"

// shape is what the reference tells of a kind of objects.
type shape struct {
	name    string // "publish event"
	fields  []fieldShape
	methods []string
}

type fieldShape struct {
	name, typ, doc string
	writable       bool
}

func (k *kind[T]) shape() shape {
	s := shape{name: k.name}
	for _, name := range k.names {
		f, ok := k.fields[name]
		if !ok {
			s.methods = append(s.methods, name)
			continue
		}
		typ, doc, _ := strings.Cut(f.doc, ": ")
		s.fields = append(s.fields, fieldShape{name, typ, doc, f.set != nil})
	}
	return s
}
