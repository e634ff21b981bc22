package scripting

import (
	"fmt"
	"strings"
)

//go:generate go test -count=1 -run TestReferenceIsGenerated . -update

// Reference is the script API as a page, made of the tables that bind it.
func Reference() string {
	m, err := newManual()
	if err != nil {
		panic(fmt.Sprintf("scripting: an empty set of rules does not load: %v", err))
	}
	p := new(page)
	p.text("# The script API, by name")
	p.text("Made by `go generate ./scripting` from the tables that bind the API. `lunamq lua-types > lunamq.d.lua` says the same to editors.")
	p.events()
	p.classes(m)
	p.text("## Libraries")
	for _, l := range m.libs {
		if !isTestLib(l.name) {
			p.lib(l)
		}
	}
	p.tests(m)
	return p.b.String()
}

func isTestLib(name string) bool { return name == "try" || name == "clock" }

// page is a page in Markdown under way.
type page struct{ b strings.Builder }

// text is one paragraph, with an empty line behind it.
func (p *page) text(format string, args ...any) {
	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	p.b.WriteString(format + "\n\n")
}

func (p *page) table(head string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	p.b.WriteString("| " + head + " |\n|" + strings.Repeat("---|", strings.Count(head, "|")+1) + "\n")
	for _, r := range rows {
		p.b.WriteString("| " + strings.Join(r, " | ") + " |\n")
	}
	p.b.WriteString("\n")
}

// cell is text in a table, where a bar would end it.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func code(s string) string { return "`" + cell(s) + "`" }

func (p *page) events() {
	p.text("## Events")
	for _, name := range eventNames {
		e := events[name]
		p.text("### %s", name)
		p.text("%s", eventDocs[name])
		p.text("Filter: %s. Verdicts: %s.", filterOf(e.info()), verdictsOf(e.info()))
		p.fields(shapes()[eventClass(e)])
	}
}

func (p *page) fields(s shape) {
	var rows [][]string
	for _, f := range s.fields {
		access := "read"
		if f.writable {
			access = "read, write"
		}
		rows = append(rows, []string{code(f.name), code(f.typ), access, cell(f.doc)})
	}
	p.table("field | type | | what it is", rows)
}

// classes are the objects that are no events.
func (p *page) classes(m *manual) {
	p.text("## Objects")
	ofEvents := make(map[string]bool)
	for _, e := range events {
		ofEvents[eventClass(e)] = true
	}
	for _, c := range m.classes {
		if !ofEvents[c.class] && !isTestClass(c.class) {
			p.class(c)
		}
	}
}

// isTestClass says that only tests meet objects of a class.
func isTestClass(class string) bool {
	switch class {
	case className(resultKind.name), className(publishedKind.name), className(kickedKind.name), className(onBehalfKind.name), className(loggedKind.name), className("expectation"):
		return true
	}
	return false
}

func (p *page) class(c manualClass) {
	p.text("### %s", c.class)
	p.fields(c.shape)
	p.calls("x:", c.calls)
}

func (p *page) lib(l manualLib) {
	p.text("### %s", l.name)
	p.text("%s", l.text)
	p.calls(l.name+".", l.calls)
	var rows [][]string
	for _, c := range l.consts {
		rows = append(rows, []string{code(l.name + "." + c.name), code(c.typ), cell(c.text)})
	}
	p.table("constant | type | what it is", rows)
}

func (p *page) calls(prefix string, calls []manualCall) {
	var rows [][]string
	for _, c := range calls {
		returns := ""
		if c.typ != "" {
			returns = code(c.typ)
		}
		rows = append(rows, []string{code(c.usage(prefix)), returns, cell(c.text)})
	}
	p.table("call | returns | what it does", rows)
}

// tests are what only *_test.lua files have.
func (p *page) tests(m *manual) {
	p.text("## Tests")
	p.text("`lunamq test` runs the `*_test.lua` files beside the rules, each test with the real handlers in a world of its own: " +
		"an empty `kv`, a clock that stands until it is moved, and effects kept instead of done. A rule that fails, and that no " +
		"expectation asks for, fails the test. Tests have all libraries; of `mqtt` only `match` and the constants.")
	p.calls("", m.globals)
	for _, l := range m.libs {
		if isTestLib(l.name) {
			p.lib(l)
		}
	}
	for _, c := range m.classes {
		if isTestClass(c.class) {
			p.class(c)
		}
	}
	p.text("The fields of the event, as the handlers left it, are fields of the result too: `try.publish{…}.topic`.")
}
