package config

import (
	"fmt"
	"strings"
)

// lines maps each key's path ("mqtt.max_qos", "listener[1].url") and each
// section's to its line. It reads only what the TOML parser has accepted, which
// keeps no lines itself for the elements of a [[list]].
func lines(text string) map[string]int {
	s := scanner{rest: text, line: 1, at: make(map[string]int), count: make(map[string]int)}
	for s.rest != "" {
		s.statement()
	}
	return s.at
}

type scanner struct {
	rest    string
	line    int
	section string
	at      map[string]int
	count   map[string]int // elements seen of each [[list]]
}

// next takes one byte.
func (s *scanner) next() byte {
	b := s.rest[0]
	if s.rest = s.rest[1:]; b == '\n' {
		s.line++
	}
	return b
}

// statement takes one header, one key with its value, a comment or a space.
func (s *scanner) statement() {
	switch s.rest[0] {
	case ' ', '\t', '\r', '\n':
		s.next()
	case '#':
		s.skipLine()
	case '[':
		s.header()
	default:
		line := s.line
		key := s.key()
		s.note(join(s.section, key), line)
		s.value()
	}
}

// note keeps the line of a path, and of the sections it is the first to name.
func (s *scanner) note(path string, line int) {
	for path != "" {
		if _, seen := s.at[path]; !seen {
			s.at[path] = line
		}
		path = path[:max(strings.LastIndexByte(path, '.'), 0)]
	}
}

func (s *scanner) skipLine() {
	for s.rest != "" && s.rest[0] != '\n' {
		s.next()
	}
}

// header takes [section] or [[list]].
func (s *scanner) header() {
	line, list := s.line, strings.HasPrefix(s.rest, "[[")
	for s.rest != "" && (s.rest[0] == '[' || s.rest[0] == ' ' || s.rest[0] == '\t') {
		s.next()
	}
	s.section = s.key()
	if list {
		n := s.count[s.section]
		s.count[s.section]++
		s.section = fmt.Sprintf("%s[%d]", s.section, n)
	}
	s.note(s.section, line)
	s.skipLine()
}

// key takes a key up to its "=" or "]", parts joined by dots, quotes gone.
func (s *scanner) key() string {
	var b strings.Builder
	for s.rest != "" {
		switch c := s.next(); c {
		case '=', ']', '\n':
			return b.String()
		case ' ', '\t':
		case '"', '\'':
			for s.rest != "" {
				q := s.next()
				if q == c {
					break
				}
				if b.WriteByte(q); q == '\\' && c == '"' && s.rest != "" {
					b.WriteByte(s.next())
				}
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// value takes a value up to the end of its line, brackets and texts that go
// over several lines included.
func (s *scanner) value() {
	depth := 0
	for s.rest != "" {
		switch s.rest[0] {
		case '"', '\'':
			s.text()
			continue
		case '#':
			s.skipLine()
			continue
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case '\n':
			if depth <= 0 {
				return
			}
		}
		s.next()
	}
}

// text takes a text in any of TOML's four quotes.
func (s *scanner) text() {
	quote := s.rest[:1]
	if long := strings.Repeat(quote, 3); strings.HasPrefix(s.rest, long) {
		quote = long
	}
	for range len(quote) {
		s.next()
	}
	for s.rest != "" && !strings.HasPrefix(s.rest, quote) {
		if s.next() == '\\' && quote[0] == '"' && s.rest != "" {
			s.next()
		}
	}
	s.rest = strings.TrimPrefix(s.rest, quote)
	if len(quote) == 3 { // """a"""" ends with a quote of its own
		s.rest = strings.TrimLeft(s.rest, quote[:1])
	}
}

func join(section, key string) string {
	if section == "" {
		return key
	}
	return section + "." + key
}
