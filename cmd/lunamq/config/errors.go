package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// errorf notes what is wrong with the value at path.
func (d *decoder) errorf(path, format string, args ...any) {
	text := shown(path)
	if raw, ok := d.raw[path]; ok {
		text += " = " + written(raw)
	}
	d.errs = append(d.errs, finding{d.lineOf(path), text + ": " + fmt.Sprintf(format, args...)})
}

// unknown notes a key that is none, with the nearest of its section or the
// section it belongs to.
func (d *decoder) unknown(section, name string, known []string) {
	hint := ""
	if near := nearest(name, known); near != "" {
		hint = fmt.Sprintf(": did you mean %s?", near)
	} else if other := sectionOf(name); other != "" {
		hint = ": it belongs into [" + other + "]"
	} else {
		slices.Sort(known)
		hint = ": known here are " + strings.Join(known, ", ")
	}
	path := join(section, name)
	d.errs = append(d.errs, finding{d.lineOf(path), "unknown key " + shown(path) + hint})
}

// sectionOf returns the section that has a key of this name, "" if none has.
func sectionOf(name string) string {
	sections := fieldsOf(reflect.ValueOf(Config{}))
	for _, section := range slices.Sorted(maps.Keys(sections)) {
		v := sections[section].value
		if v.Kind() != reflect.Struct {
			continue
		}
		if _, ok := fieldsOf(v)[name]; ok {
			return section
		}
	}
	return ""
}

// lineOf returns the line of path, or of the nearest section around it; 0 if
// the file has neither.
func (d *decoder) lineOf(path string) int {
	for path != "" {
		if line, ok := d.at[path]; ok {
			return line
		}
		i := max(strings.LastIndexByte(path, '.'), strings.LastIndexByte(path, '['), 0)
		path = path[:i]
	}
	return 0
}

// err returns all findings in the order of their lines, nil if there are none.
func (d *decoder) err() error {
	slices.SortFunc(d.errs, func(a, b finding) int {
		return 2*(a.line-b.line) + strings.Compare(a.text, b.text)
	})
	var all []error
	for _, f := range d.errs {
		where := d.file
		if f.line > 0 {
			where += ":" + strconv.Itoa(f.line)
		}
		all = append(all, errors.New(where+": "+f.text))
	}
	return errors.Join(all...)
}

// shown is a path as an operator reads it: without the numbers of elements.
func shown(path string) string {
	var b strings.Builder
	for path != "" {
		before, after, _ := strings.Cut(path, "[")
		b.WriteString(before)
		_, path, _ = strings.Cut(after, "]")
	}
	return b.String()
}

// written is a value as the file has it; long ones are cut.
func written(raw any) string {
	text := fmt.Sprint(raw)
	if s, ok := raw.(string); ok {
		text = strconv.Quote(s)
	}
	if len(text) > 60 {
		text = strings.ToValidUTF8(text[:60], "") + "…"
	}
	return text
}
