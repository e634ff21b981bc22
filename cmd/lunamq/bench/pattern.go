package bench

import (
	"math/rand/v2"
	"strconv"
	"strings"
)

// pattern is a topic or a filter with places in it: %i the client's number,
// %n the message's (or the filter's) number, %r something random, %% a percent
// sign. Numbers begin at 0.
type pattern []part

// part is a text and the place behind it: 'i', 'n', 'r', or 0 at the end.
type part struct {
	text string
	verb byte
}

func parsePattern(s string) (pattern, error) {
	var p pattern
	text := ""
	for {
		before, after, found := strings.Cut(s, "%")
		text += before
		if !found {
			return append(p, part{text: text}), nil
		}
		if after == "" {
			return nil, optionError("%q ends in %%: a percent sign is %%%%", s)
		}
		switch verb := after[0]; verb {
		case 'i', 'n', 'r':
			p = append(p, part{text, verb})
			text = ""
		case '%':
			text += "%"
		default:
			return nil, optionError("%%%c is no place: there are %%i (the client's number), %%n (the message's), %%r (random) and %%%%", verb)
		}
		s = after[1:]
	}
}

// parseTopic is a pattern of topic names.
func parseTopic(s string) (pattern, error) {
	if s == "" || strings.ContainsAny(s, "+#\x00") {
		return nil, optionError("topic %q: must not be empty nor have + or # in it", s) // [MQTT-4.7.1-1], [MQTT-4.7.3-1]
	}
	return parsePattern(s)
}

// parseFilter is a pattern of topic filters.
func parseFilter(s string) (pattern, error) {
	if s == "" {
		return nil, optionError("the filter is empty") // [MQTT-4.7.3-1]
	}
	return parsePattern(s)
}

// has says whether a place of that kind is in it.
func (p pattern) has(verb byte) bool {
	for _, part := range p {
		if part.verb == verb {
			return true
		}
	}
	return false
}

// isFixed says whether all messages of a client have the same topic.
func (p pattern) isFixed() bool { return !p.has('n') && !p.has('r') }

// append appends the text for client i and message n.
func (p pattern) append(dst []byte, i, n uint64) []byte {
	for _, part := range p {
		dst = append(dst, part.text...)
		switch part.verb {
		case 'i':
			dst = strconv.AppendUint(dst, i, 10)
		case 'n':
			dst = strconv.AppendUint(dst, n, 10)
		case 'r':
			dst = strconv.AppendUint(dst, uint64(rand.Uint32()), 16)
		}
	}
	return dst
}

func (p pattern) text(i, n uint64) string { return string(p.append(nil, i, n)) }

// matches says whether a topic name is matched by a filter (4.7.1, 4.7.2).
func matches(filter, topic string) bool {
	if strings.HasPrefix(topic, "$") && (filter[0] == '+' || filter[0] == '#') {
		return false // [MQTT-4.7.2-1]
	}
	for {
		f, moreFilter, isFilter := strings.Cut(filter, "/")
		if f == "#" {
			return true
		}
		t, moreTopic, isTopic := strings.Cut(topic, "/")
		if f != "+" && f != t {
			return false
		}
		if !isTopic {
			return !isFilter || moreFilter == "#" // "a/#" matches "a" too (4.7.1.2)
		}
		if !isFilter {
			return false
		}
		filter, topic = moreFilter, moreTopic
	}
}
