package sandbox

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/yuin/gopher-lua/parse"

	lua "github.com/yuin/gopher-lua"
)

// Kind says what ended a chunk or a call.
type Kind int

const (
	Runtime  Kind = iota + 1 // error(), a nil where a value was wanted, a bad argument, …
	Syntax                   // the file does not compile
	Budget                   // Limits.Budget or CallOptions.Budget used up
	Deadline                 // Limits.Deadline passed
	Waiting                  // Limits.WaitLimit passed
	Memory                   // a string too long, a list too long
	Sealed                   // a global assigned after Seal, a read-only table changed
	Internal                 // a panic in Go: a defect of a library, not of the script
)

var kindNames = [...]string{"", "runtime", "syntax", "budget", "deadline", "waiting", "memory", "sealed", "internal"}

func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return "unknown"
	}
	return kindNames[k]
}

// Error is what a chunk or a call failed with.
type Error struct {
	Kind      Kind
	File      string // the chunk's name; "" if no Lua function was involved
	Line      int    // from 1; 0 if unknown
	Message   string // without file and line
	Traceback string // "" for Syntax
	Used      int64  // instructions charged
}

func (e *Error) Error() string {
	if e.File == "" {
		return e.Message
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Message)
}

// maxMessage is what is kept of a message; a script can raise a string of megabytes.
const maxMessage = 4096

// newError makes an Error of what PCall returned.
func (w *World) newError(err error, m *meter) *Error {
	if e, ok := err.(*Error); ok {
		e.Used = m.used()
		return e
	}
	e := &Error{Kind: Runtime, Used: m.used()}
	var api *lua.ApiError
	if !errors.As(err, &api) {
		e.Message = err.Error()
		return e
	}
	e.Message = w.errorText(api.Object)
	e.Traceback = cleanTraceback(api.StackTrace)
	if len(e.Message) > maxMessage {
		e.Message = e.Message[:maxMessage] + "…"
	}
	if !w.takePosition(e) {
		e.File, e.Line = firstPosition(e.Traceback)
	}
	switch {
	case m.over != 0:
		e.Kind, e.Message = m.over, m.Err().Error()
	case api.Type == lua.ApiErrorPanic:
		e.Kind, e.Message = Internal, "internal error: "+e.Message
	case m.lastKind != 0 && strings.HasSuffix(e.Message, m.lastText):
		e.Kind = m.lastKind
	}
	return e
}

// errorText is the text of an error value. Its __tostring is not asked: it is code that could fail too.
func (w *World) errorText(v lua.LValue) string {
	switch v := v.(type) {
	case lua.LString:
		return plainPanic(string(v))
	case lua.LNumber:
		return NumberString(v)
	case nil, *lua.LNilType:
		return "nil"
	}
	return "(error object is a " + v.Type().String() + " value)"
}

// takePosition cuts "file:line: " off the message if the file is a chunk of the world.
func (w *World) takePosition(e *Error) bool {
	for i := range len(e.Message) {
		if e.Message[i] != ':' || w.chunks[e.Message[:i]] == nil {
			continue
		}
		line, rest, ok := strings.Cut(e.Message[i+1:], ":")
		n, err := strconv.Atoi(line)
		if !ok || err != nil {
			return false
		}
		e.File, e.Line, e.Message = e.Message[:i], n, strings.TrimPrefix(rest, " ")
		return true
	}
	return false
}

// firstPosition is the innermost Lua position of a traceback.
func firstPosition(traceback string) (string, int) {
	for l := range strings.Lines(traceback) {
		where, _, ok := strings.Cut(strings.TrimSpace(l), ": in ")
		if !ok {
			continue
		}
		i := strings.LastIndexByte(where, ':')
		if i < 0 || where[:i] == "[G]" {
			continue
		}
		if n, err := strconv.Atoi(where[i+1:]); err == nil {
			return where[:i], n
		}
	}
	return "", 0
}

// cleanTraceback takes out the lines that are not the script's: the functions behind `..` and
// assignments, and the end of the stack.
func cleanTraceback(s string) string {
	var out strings.Builder
	for l := range strings.Lines(s) {
		if strings.Contains(l, "in function (") && strings.Contains(l, "[G]:") || strings.HasSuffix(strings.TrimSpace(l), "[G]: ?") {
			continue
		}
		out.WriteString(l)
	}
	return strings.TrimRight(out.String(), "\n")
}

// syntaxError makes an Error of what the parser or the compiler returned.
func syntaxError(name string, source []byte, err error) *Error {
	e := &Error{Kind: Syntax, File: name, Line: 1, Message: err.Error()}
	var perr *parse.Error
	var cerr *lua.CompileError
	switch {
	case errors.As(err, &perr):
		e.Line = perr.Pos.Line
		e.Message = perr.Message
		if e.Line < 0 { // the parser's mark for the end of the file
			e.Line = 1 + strings.Count(strings.TrimRight(string(source), "\r\n"), "\n")
			e.Message += " near the end of the file"
		} else if perr.Token != "" {
			e.Message += fmt.Sprintf(" near '%s'", perr.Token)
		}
	case errors.As(err, &cerr):
		e.Line, e.Message = cerr.Line, cerr.Message
	}
	return e
}
