package sandbox

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/ast"
	"github.com/yuin/gopher-lua/parse"
)

// A Chunk is a compiled file. It is immutable; any number of worlds run it.
type Chunk struct {
	name    string
	proto   *lua.FunctionProto
	concats map[int][][]string // line → for each `..` there, what its operands are called
}

// Name is the name the chunk was compiled with.
func (c *Chunk) Name() string { return c.name }

const (
	maxSource    = 1 << 20 // bytes of one file
	maxFunctions = 2000    // of one file: the compiler holds about 20 KiB for each
	maxLiterals  = 1 << 15 // of one function: the compiler searches its constants one by one
	maxCode      = 1 << 17 // instructions of one function: the reach of a jump
	maxUpvalues  = 255     // of one function: counted in 8 bits by gopher-lua
)

// Compile parses, rewrites and compiles a file. The error is an *Error of kind Syntax.
func Compile(name string, source []byte) (chunk *Chunk, err error) {
	defer func() {
		if r := recover(); r != nil { // the compiler panics on what it did not expect
			chunk, err = nil, &Error{Kind: Syntax, File: name, Line: 1, Message: fmt.Sprintf("cannot compile: %v", r)}
		}
	}()
	if len(source) > maxSource {
		return nil, &Error{Kind: Syntax, File: name, Line: 1, Message: fmt.Sprintf("file of %d bytes is too long (%d at most)", len(source), maxSource)}
	}
	source = bytes.TrimPrefix(source, []byte("\ufeff")) // the mark that editors on Windows put in front
	stmts, err := parse.Parse(bytes.NewReader(blankFirstLine(source)), name)
	if err != nil {
		return nil, syntaxError(name, source, err)
	}
	c := &Chunk{name: name, concats: map[int][][]string{}}
	if err := rewrite(c, stmts); err != nil {
		return nil, err
	}
	c.proto, err = lua.Compile(wrap(stmts, 1+strings.Count(string(source), "\n")), name)
	if err != nil {
		return nil, syntaxError(name, source, err)
	}
	if err := c.verify(c.proto); err != nil {
		return nil, err
	}
	return c, nil
}

// blankFirstLine hides a "#!" line, as lua does.
func blankFirstLine(source []byte) []byte {
	if !bytes.HasPrefix(source, []byte("#")) {
		return source
	}
	if i := bytes.IndexByte(source, '\n'); i >= 0 {
		return source[i:]
	}
	return nil
}

// hiddenNames are locals around every chunk, with names that no script can write.
var hiddenNames = [...]string{"(concat)", "(set)", "(push)", "(key)", "(all)", "(_G)"}

// wrap makes
//
//	local (concat), (set), (push), (key), (all), (_G) = ...
//	return function(...) stmts end
//
// so that the hidden functions are upvalues: a global would cost a map access each time.
func wrap(stmts []ast.Stmt, lines int) []ast.Stmt {
	outer := &ast.LocalAssignStmt{Names: hiddenNames[:], Exprs: []ast.Expr{&ast.Comma3Expr{}}}
	main := &ast.FunctionExpr{ParList: &ast.ParList{HasVargs: true}, Stmts: stmts}
	main.SetLastLine(lines)
	return []ast.Stmt{outer, &ast.ReturnStmt{Exprs: []ast.Expr{main}}}
}

// verify refuses what gopher-lua would compile wrongly or what would get round the rewriting, and gives
// back the spare capacity that the compiler leaves in each function.
func (c *Chunk) verify(p *lua.FunctionProto) error {
	fail := func(format string, args ...any) error {
		return &Error{Kind: Syntax, File: c.name, Line: max(p.LineDefined, 1), Message: fmt.Sprintf(format, args...)}
	}
	if len(p.Code) > maxCode {
		return fail("function is too large")
	}
	if len(p.DbgUpvalues) > maxUpvalues {
		return fail("function uses more than %d variables of the functions around it", maxUpvalues)
	}
	for _, inst := range p.Code {
		switch opcode(inst) {
		case lua.OP_SETGLOBAL, lua.OP_CONCAT:
			return fail("cannot compile: an operation is not bounded")
		}
	}
	p.Code = slices.Clone(p.Code)
	useBoxedKeys(p.Code)
	p.DbgSourcePositions = slices.Clone(p.DbgSourcePositions)
	p.Constants = slices.Clone(p.Constants)
	p.DbgCalls = slices.Clone(p.DbgCalls)
	p.DbgLocals = slices.Clone(p.DbgLocals)
	p.FunctionPrototypes = slices.Clone(p.FunctionPrototypes)
	for _, sub := range p.FunctionPrototypes {
		if err := c.verify(sub); err != nil {
			return err
		}
	}
	return nil
}

func opcode(inst uint32) int { return int(inst >> 26) }

// useBoxedKeys makes t.name and t.name = v take the name as the value that it is among the constants.
// gopher-lua has instructions of their own for names, faster by 2 ns for a table, but they make a value of
// the name at each access to userdata: an allocation of 16 bytes (BenchmarkReadAndSetTopic of package
// scripting: 6 allocations, 4 without).
func useBoxedKeys(code []uint32) {
	const operands = 1<<26 - 1
	for i, inst := range code {
		switch opcode(inst) {
		case lua.OP_GETTABLEKS:
			code[i] = inst&operands | uint32(lua.OP_GETTABLE)<<26
		case lua.OP_SETTABLEKS:
			code[i] = inst&operands | uint32(lua.OP_SETTABLE)<<26
		}
	}
}
