package sandbox

import (
	"bytes"

	"github.com/yuin/gopher-lua/ast"
	"github.com/yuin/gopher-lua/parse"
)

// Parse is the syntax tree of a file as it was written, for those who look
// into rules. The error is an *Error of kind Syntax. Its depth is not bounded:
// a file that Compile takes is not nested too deeply.
func Parse(name string, source []byte) ([]ast.Stmt, error) {
	stmts, err := parse.Parse(bytes.NewReader(blankFirstLine(source)), name)
	if err != nil {
		return nil, syntaxError(name, source, err)
	}
	return stmts, nil
}
