package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// decoder fills a Config from what the TOML parser made of the file, and
// gathers what is wrong.
type decoder struct {
	file string
	at   map[string]int // line of each path
	raw  map[string]any // what the file has at each path
	errs []finding
}

type finding struct {
	line int
	text string
}

// field is one key of a section.
type field struct {
	value reflect.Value
	tag   reflect.StructTag
}

// fieldsOf returns the keys of a section, those of embedded structs included.
func fieldsOf(v reflect.Value) map[string]field {
	out := make(map[string]field)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			maps.Copy(out, fieldsOf(v.Field(i)))
			continue
		}
		if name, ok := f.Tag.Lookup("toml"); ok {
			out[name] = field{v.Field(i), f.Tag}
		}
	}
	return out
}

// section fills the struct v.
func (d *decoder) section(path string, v reflect.Value, raw map[string]any) {
	fields := fieldsOf(v)
	for name, x := range raw {
		at := join(path, name)
		d.raw[at] = x
		if f, ok := fields[name]; ok {
			d.key(at, f, x)
		} else {
			d.unknown(path, name, slices.Collect(maps.Keys(fields)))
		}
	}
}

// key fills one field, or says why it cannot.
func (d *decoder) key(path string, f field, raw any) {
	if f.value.Kind() == reflect.Struct {
		if sub, ok := raw.(map[string]any); ok {
			d.section(path, f.value, sub)
		} else {
			d.errorf(path, "must be a section: write [%s] on a line of its own", path)
		}
		return
	}
	if err := set(f, raw); err != nil {
		d.errorf(path, "%v", err)
	}
}

// set checks raw by f's tags and assigns it.
func set(f field, raw any) error {
	switch x := f.value.Addr().Interface().(type) {
	case value:
		return setNumber(x, f, raw)
	case *bool:
		b, ok := raw.(bool)
		if !ok {
			return fmt.Errorf("must be true or false")
		}
		*x = b
	case *string:
		s, err := setText(f, raw)
		if err != nil {
			return err
		}
		*x = s
	case *[]string:
		return setTexts(x, f, raw)
	}
	return nil
}

// setNumber sets a number, or the word that may stand in its place.
func setNumber(x value, f field, raw any) error {
	or := ""
	if words := f.tag.Get("word"); words != "" {
		if word, ok := raw.(string); ok && slices.Contains(strings.Split(words, "|"), word) {
			x.setWord(word)
			return nil
		}
		or = ", or " + oneOf(words)
	}
	if err := x.set(raw); err != nil {
		return fmt.Errorf("%w%s", err, or)
	}
	low, high, _ := strings.Cut(f.tag.Get("range"), "..")
	if n := x.number(); n < bound(f, low) || n > bound(f, high) {
		return fmt.Errorf("must be %s%s", span(low, high), or)
	}
	return nil
}

// bound reads one end of a range by the kind of its field.
func bound(f field, text string) float64 {
	x := reflect.New(f.value.Type()).Interface().(value)
	var raw any = text
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && x.set(n) == nil {
		return x.number()
	}
	if n, err := strconv.ParseFloat(text, 64); err == nil && x.set(n) == nil {
		return x.number()
	}
	if err := x.set(raw); err != nil {
		panic(fmt.Sprintf("config: a range of %q: %v", text, err))
	}
	return x.number()
}

// span says a range in words: few numbers one by one.
func span(low, high string) string {
	if low == "0" && high == "2" {
		return "0, 1 or 2"
	}
	return fmt.Sprintf("from %s to %s", low, high)
}

func setText(f field, raw any) (string, error) {
	s, ok := raw.(string)
	words := f.tag.Get("oneof")
	switch {
	case words != "" && !(ok && slices.Contains(strings.Split(words, "|"), s)):
		return "", fmt.Errorf("must be %s", oneOf(words))
	case !ok:
		return "", fmt.Errorf("must be a text in quotes")
	}
	return s, nil
}

func setTexts(x *[]string, f field, raw any) error {
	list, ok := raw.([]any)
	if !ok {
		return fmt.Errorf(`must be a list of texts: ["…", "…"]`)
	}
	out := make([]string, 0, len(list))
	for _, one := range list {
		s, err := setText(f, one)
		if err != nil {
			return fmt.Errorf("each %w", err)
		}
		out = append(out, s)
	}
	*x = out
	return nil
}

// oneOf says `"a", "b" or "c"` of "a|b|c".
func oneOf(words string) string {
	list := strings.Split(words, "|")
	for i, w := range list {
		list[i] = strconv.Quote(w)
	}
	last := len(list) - 1
	if last == 0 {
		return list[0]
	}
	return strings.Join(list[:last], ", ") + " or " + list[last]
}
