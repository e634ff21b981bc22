package scripting

import (
	"errors"
	"strings"

	"lunamq/scripting/sandbox"
)

// Failure is an error of a script as a person can act on it.
type Failure struct {
	At        string `json:"at,omitempty"`        // "20-celsius.lua:7"
	In        string `json:"in,omitempty"`        // "publish handler (legacy/+/f)"
	Text      string `json:"text"`                // what went wrong
	Source    string `json:"source,omitempty"`    // the line there
	Traceback string `json:"traceback,omitempty"` // "" where Lua was not entered
}

// headline is "20-celsius.lua:7: in publish handler (legacy/+/f): attempt to …".
func (f Failure) headline() string {
	var b strings.Builder
	if f.At != "" {
		b.WriteString(f.At + ": ")
	}
	if f.In != "" {
		b.WriteString("in " + f.In + ": ")
	}
	b.WriteString(f.Text)
	return b.String()
}

// String is the headline, the line of source and the traceback.
func (f Failure) String() string {
	out := f.headline()
	if f.Source != "" {
		out += "\n    " + f.Source
	}
	if f.Traceback != "" {
		out += "\n" + f.Traceback
	}
	return out
}

// failure describes why a handler failed.
func (g *generation) failure(h *handler, by string, err error) Failure {
	f := Failure{At: by, In: h.title(), Text: clipTo(err.Error(), maxMessage)}
	var script *sandbox.Error
	if errors.As(err, &script) {
		f.Text = clipTo(script.Message, maxMessage)
		f.Source = g.set.line(script.File, script.Line)
		f.Traceback = clipTo(script.Traceback, maxTraceback)
	}
	return f
}
