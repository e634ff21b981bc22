package sandbox

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/yuin/gopher-lua/ast"
)

const (
	maxDepth     = 1000  // of the syntax tree; the compiler recurses
	maxRegisters = 190   // of one function; gopher-lua's 200 are counted wrongly in long argument lists
	maxOperands  = 50    // of one call of (concat)
	maxChain     = 10000 // operands of `..` in one expression
	maxListItems = 25000 // written in one table constructor; gopher-lua loses count at 511 × 50
	smallIndex   = 64    // constant list indices up to it are not worth a charge
)

// A rewriter walks the statements in their order and changes them in place. It keeps the scopes, since
// only an assignment to a name that is not a local one is an assignment to a global.
type rewriter struct {
	chunk     *Chunk
	names     []string // the locals in scope, of all functions around
	bases     []int    // where each function's begin in names
	literals  []int    // seen so far in each function
	functions int
	depth     int
}

func rewrite(c *Chunk, stmts []ast.Stmt) (err error) {
	r := &rewriter{chunk: c, names: slices.Clone(hiddenNames[:])}
	defer func() {
		if e, ok := recover().(*Error); ok {
			err = e
		}
	}()
	r.function(&ast.FunctionExpr{ParList: &ast.ParList{HasVargs: true}, Stmts: stmts}, false)
	return nil
}

func (r *rewriter) fail(line int, format string, args ...any) {
	panic(&Error{Kind: Syntax, File: r.chunk.name, Line: max(line, 1), Message: fmt.Sprintf(format, args...)})
}

func (r *rewriter) enter(n ast.PositionHolder) {
	if r.depth++; r.depth > maxDepth {
		r.fail(n.Line(), "nested too deeply (%d levels at most)", maxDepth)
	}
}

// checkRegisters refuses a function that needs n registers beside its locals and has not got them.
func (r *rewriter) checkRegisters(n, line int) {
	if n+len(r.names)-r.bases[len(r.bases)-1] > maxRegisters {
		r.fail(line, "too many local variables and arguments at once")
	}
}

// resolve says whether a name is a "local", an "upvalue" or a "global" here.
func (r *rewriter) resolve(name string) string {
	i := len(r.names) - 1
	for i >= 0 && r.names[i] != name {
		i--
	}
	switch {
	case i < 0:
		return "global"
	case i >= r.bases[len(r.bases)-1]:
		return "local"
	}
	return "upvalue"
}

// function mirrors gopher-lua's compileFunctionExpr.
func (r *rewriter) function(f *ast.FunctionExpr, method bool) {
	if r.functions++; r.functions > maxFunctions {
		r.fail(f.Line(), "too many functions in one file (%d at most)", maxFunctions)
	}
	mark := len(r.names)
	r.bases = append(r.bases, mark)
	r.literals = append(r.literals, 0)
	if method {
		r.names = append(r.names, "self")
	}
	r.names = append(r.names, f.ParList.Names...)
	r.stmts(f.Stmts)
	r.names = r.names[:mark]
	r.bases = r.bases[:len(r.bases)-1]
	r.literals = r.literals[:len(r.literals)-1]
}

func (r *rewriter) block(stmts []ast.Stmt, locals ...string) {
	mark := len(r.names)
	r.names = append(r.names, locals...)
	r.stmts(stmts)
	r.names = r.names[:mark]
}

func (r *rewriter) stmts(stmts []ast.Stmt) {
	for i, s := range stmts {
		r.enter(s)
		stmts[i] = r.stmt(s)
		r.depth--
	}
}

func (r *rewriter) stmt(s ast.Stmt) ast.Stmt {
	switch s := s.(type) {
	case *ast.AssignStmt:
		return r.assign(s)
	case *ast.LocalAssignStmt:
		r.localAssign(s)
	case *ast.FuncCallStmt:
		s.Expr = r.expr(s.Expr, 0)
	case *ast.DoBlockStmt:
		r.block(s.Stmts)
	case *ast.WhileStmt:
		s.Condition = r.expr(s.Condition, 0)
		r.block(s.Stmts)
	case *ast.RepeatStmt:
		mark := len(r.names)
		r.stmts(s.Stmts)
		s.Condition = r.expr(s.Condition, 0) // sees the locals of the body
		r.names = r.names[:mark]
	case *ast.IfStmt:
		s.Condition = r.expr(s.Condition, 0)
		r.block(s.Then)
		r.block(s.Else)
	case *ast.NumberForStmt:
		s.Init, s.Limit = r.expr(s.Init, 0), r.expr(s.Limit, 1)
		if s.Step != nil {
			s.Step = r.expr(s.Step, 2)
		}
		r.block(s.Stmts, "(for index)", "(for limit)", "(for step)", s.Name)
	case *ast.GenericForStmt:
		r.genericFor(s)
		r.block(s.Stmts, append([]string{"(for generator)", "(for state)", "(for control)"}, s.Names...)...)
	case *ast.FuncDefStmt:
		r.funcDef(s)
	case *ast.ReturnStmt:
		r.exprs(s.Exprs, 0)
	}
	return s
}

// genericFor spells out the nil for the control variable: gopher-lua forgets it where there are fewer than
// three names, and `for k, v in next, t` would begin at what is left in that register.
func (r *rewriter) genericFor(s *ast.GenericForStmt) {
	r.exprs(s.Exprs, 3)
	last := s.Exprs[len(s.Exprs)-1]
	switch many := manyValues(last); {
	case many && len(s.Exprs) == 2 && len(s.Names) == 1: // two values are taken only with two names
		s.Names = append(s.Names, "(for value)")
	case !many:
		for len(s.Exprs) < 3 {
			none := &ast.NilExpr{}
			none.SetLine(last.Line())
			s.Exprs = append(s.Exprs, none)
		}
	}
}

// localAssign mirrors gopher-lua: a single function sees its own name, also in `local f = function`.
func (r *rewriter) localAssign(s *ast.LocalAssignStmt) {
	if len(s.Names) == 1 && len(s.Exprs) == 1 {
		if f, ok := s.Exprs[0].(*ast.FunctionExpr); ok {
			r.names = append(r.names, s.Names[0])
			r.enter(s)
			r.function(f, false)
			r.depth--
			return
		}
	}
	r.exprs(s.Exprs, 0)
	r.names = append(r.names, s.Names...)
	r.checkRegisters(0, s.Line())
}

func (r *rewriter) funcDef(s *ast.FuncDefStmt) {
	if s.Name.Func == nil {
		s.Name.Receiver = r.expr(s.Name.Receiver, 0)
		r.function(s.Func, true)
		return
	}
	if id, ok := s.Name.Func.(*ast.IdentExpr); ok {
		s.Name.Func = r.target(id)
	} else {
		s.Name.Func = r.expr(s.Name.Func, 0)
	}
	r.function(s.Func, false)
}

// target makes `x` on the left of an assignment `(_G).x` if it is a global.
func (r *rewriter) target(id *ast.IdentExpr) ast.Expr {
	if r.resolve(id.Value) != "global" {
		return id
	}
	key := &ast.StringExpr{Value: id.Value}
	key.SetLine(id.Line())
	to := &ast.AttrGetExpr{Object: hiddenIdent("(_G)", id.Line()), Key: key}
	to.SetLine(id.Line())
	return to
}

func hiddenIdent(name string, line int) *ast.IdentExpr {
	id := &ast.IdentExpr{Value: name}
	id.SetLine(line)
	return id
}

func hiddenCall(name string, line int, args ...ast.Expr) *ast.FuncCallExpr {
	if n := len(args); n > 0 {
		toOne(args[n-1])
	}
	call := &ast.FuncCallExpr{Func: hiddenIdent(name, line), Args: args}
	call.SetLine(line)
	return call
}

// manyValues says that e gives any number of values where it stands last.
func manyValues(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.FuncCallExpr:
		return !e.AdjustRet
	case *ast.Comma3Expr:
		return !e.AdjustRet
	}
	return false
}

// toOne makes a call or `...` give one value where it stands last in a list.
func toOne(e ast.Expr) {
	switch e := e.(type) {
	case *ast.FuncCallExpr:
		e.AdjustRet = true
	case *ast.Comma3Expr:
		e.AdjustRet = true
	}
}

// assign makes `t[k] = v` a call of (set), or of (push) if k is #t + 1.
func (r *rewriter) assign(s *ast.AssignStmt) ast.Stmt {
	for _, l := range s.Lhs {
		if to, ok := l.(*ast.AttrGetExpr); ok {
			switch to.Object.(type) {
			case *ast.StringExpr, *ast.NumberExpr: // gopher-lua would assign to some register instead
				r.fail(s.Line(), "cannot assign a field of a constant")
			}
		}
	}
	if len(s.Lhs) > 1 || len(s.Rhs) > 1 {
		return r.assignAll(s)
	}
	switch to := s.Lhs[0].(type) {
	case *ast.IdentExpr:
		if r.resolve(to.Value) == "local" && builtElsewhere(s.Rhs[0]) {
			return r.assignAll(s)
		}
		s.Lhs[0] = r.target(to)
	case *ast.AttrGetExpr:
		if isPush(to, s.Rhs[0]) {
			return hiddenStmt("(push)", s.Line(), to.Object, r.expr(s.Rhs[0], 2))
		}
		bounded := boundedKey(to)
		to.Object, to.Key = r.expr(to.Object, 1), r.expr(to.Key, 2)
		if !bounded {
			return hiddenStmt("(set)", s.Line(), to.Object, to.Key, r.expr(s.Rhs[0], 3))
		}
	}
	r.exprs(s.Rhs, 3)
	return s
}

// builtElsewhere says that gopher-lua would lose the value of e on its way to a local that exists already:
// `x = f() and y` leaves x as it was where f() is false, and `p = f(p)` can call f with itself.
func builtElsewhere(e ast.Expr) bool {
	switch e.(type) {
	case *ast.LogicalOpExpr, *ast.FuncCallExpr, *ast.StringConcatOpExpr:
		return true
	}
	return false
}

// assignAll makes `a, t[k] = x, y`
//
//	do
//		local (1), (2), (3), (4) = t, k, x, y
//		(1)[(2)] = (4)
//		a = (3)
//	end
//
// gopher-lua itself assigns a local as soon as its value is known: `a, b = b, a` would make them equal.
func (r *rewriter) assignAll(s *ast.AssignStmt) ast.Stmt {
	line := s.Line()
	temps := &ast.LocalAssignStmt{}
	temps.SetLine(line)
	mark := len(r.names)
	keep := func(e ast.Expr) ast.Expr {
		name := "(" + strconv.Itoa(len(temps.Names)+1) + ")"
		temps.Names = append(temps.Names, name)
		temps.Exprs = append(temps.Exprs, e)
		return hiddenIdent(name, line)
	}
	single := make([]*ast.AssignStmt, len(s.Lhs))
	for i, l := range s.Lhs {
		if to, ok := l.(*ast.AttrGetExpr); ok {
			part := &ast.AttrGetExpr{Object: keep(r.expr(to.Object, len(temps.Names))), Key: to.Key}
			part.SetLine(line)
			if !boundedKey(to) {
				part.Key = keep(r.expr(to.Key, len(temps.Names)))
			}
			l = part
		} else {
			l = r.target(l.(*ast.IdentExpr))
		}
		single[i] = &ast.AssignStmt{Lhs: []ast.Expr{l}}
		single[i].SetLine(line)
	}
	for i := range s.Lhs {
		name := "(" + strconv.Itoa(len(temps.Names)+1) + ")"
		temps.Names = append(temps.Names, name)
		single[i].Rhs = []ast.Expr{hiddenIdent(name, line)}
	}
	r.exprs(s.Rhs, len(temps.Exprs))
	temps.Exprs = append(temps.Exprs, s.Rhs...)
	r.names = append(r.names, temps.Names...)
	r.checkRegisters(0, line)
	block := &ast.DoBlockStmt{Stmts: []ast.Stmt{temps}}
	block.SetLine(line)
	block.SetLastLine(line)
	for _, one := range slices.Backward(single) {
		to, ok := one.Lhs[0].(*ast.AttrGetExpr)
		if ok && !boundedKey(to) {
			block.Stmts = append(block.Stmts, hiddenStmt("(set)", line, to.Object, to.Key, one.Rhs[0]))
			continue
		}
		block.Stmts = append(block.Stmts, one)
	}
	r.names = r.names[:mark]
	return block
}

// hiddenStmt is hiddenCall as a statement.
func hiddenStmt(name string, line int, args ...ast.Expr) ast.Stmt {
	call := &ast.FuncCallStmt{Expr: hiddenCall(name, line, args...)}
	call.SetLine(line)
	return call
}

// isPush says that the assignment is `t[#t + 1] = v` with a v that runs no code, which could change t.
func isPush(to *ast.AttrGetExpr, v ast.Expr) bool {
	switch v.(type) {
	case *ast.IdentExpr, *ast.StringExpr, *ast.NumberExpr, *ast.TrueExpr, *ast.FalseExpr, *ast.FunctionExpr:
	default:
		return false
	}
	sum, ok := to.Key.(*ast.ArithmeticOpExpr)
	if !ok || sum.Operator != "+" {
		return false
	}
	one, ok1 := sum.Rhs.(*ast.NumberExpr)
	length, ok2 := sum.Lhs.(*ast.UnaryLenOpExpr)
	if !ok1 || !ok2 || one.Value != "1" {
		return false
	}
	of, ok1 := length.Expr.(*ast.IdentExpr)
	list, ok2 := to.Object.(*ast.IdentExpr)
	return ok1 && ok2 && of.Value == list.Value
}

// boundedKey says that assigning to e cannot make a list much longer than it is: a constant name or a
// small constant index. (t[#t + 1] could: t may have a __len.)
func boundedKey(e *ast.AttrGetExpr) bool {
	switch k := e.Key.(type) {
	case *ast.NumberExpr:
		n, err := strconv.ParseFloat(k.Value, 64)
		return err == nil && n <= smallIndex
	case *ast.StringExpr, *ast.TrueExpr, *ast.FalseExpr, *ast.NilExpr:
		return true
	}
	return false
}

func (r *rewriter) exprs(es []ast.Expr, at int) {
	for i := range es {
		es[i] = r.expr(es[i], at+i)
	}
}

// expr rewrites an expression that is computed at register `at` above the locals.
func (r *rewriter) expr(e ast.Expr, at int) ast.Expr {
	r.enter(e)
	defer func() { r.depth-- }()
	r.checkRegisters(at, e.Line())
	switch e := e.(type) {
	case *ast.NumberExpr:
		r.literal(e)
		e.Value = decimal(e.Value)
	case *ast.StringExpr:
		r.literal(e)
	case *ast.AttrGetExpr:
		e.Object, e.Key = r.expr(e.Object, at), r.expr(e.Key, at+1)
	case *ast.TableExpr:
		r.table(e, at)
	case *ast.FuncCallExpr:
		if e.Func != nil {
			e.Func = r.expr(e.Func, at)
		} else {
			r.literal(e)
			e.Receiver = r.expr(e.Receiver, at)
		}
		r.exprs(e.Args, at+2)
	case *ast.LogicalOpExpr:
		e.Lhs, e.Rhs = r.expr(e.Lhs, at), r.expr(e.Rhs, at)
	case *ast.RelationalOpExpr:
		e.Lhs, e.Rhs = r.expr(e.Lhs, at), r.expr(e.Rhs, at+1)
	case *ast.ArithmeticOpExpr:
		e.Lhs, e.Rhs = r.expr(e.Lhs, at), r.expr(e.Rhs, at+1)
	case *ast.StringConcatOpExpr:
		return r.concat(e, at)
	case *ast.UnaryMinusOpExpr:
		e.Expr = r.expr(e.Expr, at)
	case *ast.UnaryNotOpExpr:
		e.Expr = r.expr(e.Expr, at)
	case *ast.UnaryLenOpExpr:
		e.Expr = r.expr(e.Expr, at)
	case *ast.FunctionExpr:
		r.function(e, false)
	}
	return e
}

func (r *rewriter) literal(e ast.Expr) {
	n := &r.literals[len(r.literals)-1]
	if *n++; *n > maxLiterals {
		r.fail(e.Line(), "too many constants in one function (%d at most)", maxLiterals)
	}
}

// decimal takes leading zeros off: gopher-lua reads 010 as octal, Lua as ten.
func decimal(s string) string {
	if len(s) < 2 || s[0] != '0' || s[1] < '0' || s[1] > '9' {
		return s
	}
	s = strings.TrimLeft(s, "0")
	if s == "" || s[0] < '0' || s[0] > '9' {
		s = "0" + s
	}
	return s
}

func (r *rewriter) table(e *ast.TableExpr, at int) {
	const perFlush = 50 // gopher-lua's FieldsPerFlush
	items := 0
	for i, f := range e.Fields {
		if f.Key == nil {
			f.Value = r.expr(f.Value, at+1+items%perFlush)
			if i == len(e.Fields)-1 && manyValues(f.Value) {
				all := &ast.FuncCallExpr{Func: hiddenIdent("(all)", e.Line()), Args: []ast.Expr{f.Value}}
				all.SetLine(f.Value.Line())
				f.Value = all
			}
			items++
			continue
		}
		bounded := boundedKey(&ast.AttrGetExpr{Object: e, Key: f.Key})
		f.Key = r.expr(f.Key, at+4+items%perFlush)
		f.Value = r.expr(f.Value, at+2+items%perFlush)
		toOne(f.Value) // gopher-lua would take a call that stands last for the end of the list
		if !bounded {
			f.Key = hiddenCall("(key)", e.Line(), f.Key)
		}
	}
	if items > maxListItems {
		r.fail(e.Line(), "too many items in a table constructor (%d at most)", maxListItems)
	}
}

// concat makes a .. b .. c one call of (concat). A chain too long for the registers is cut from the left:
// only operands with __concat could tell, and Lua itself refuses such chains.
func (r *rewriter) concat(e *ast.StringConcatOpExpr, at int) ast.Expr {
	line := e.Line()
	operands := []ast.Expr{}
	var rest ast.Expr = e
	for c, ok := rest.(*ast.StringConcatOpExpr); ok; c, ok = rest.(*ast.StringConcatOpExpr) {
		operands = append(operands, c.Lhs)
		rest = c.Rhs
	}
	operands = append(operands, rest)
	if len(operands) > maxChain {
		r.fail(line, "too many '..' in one expression (%d at most)", maxChain)
	}
	args := make([]ast.Expr, 0, min(len(operands), maxOperands))
	names := make([]string, 0, cap(args))
	for i, o := range operands {
		names = append(names, r.nameOf(o))
		o = r.expr(o, at+1+len(args))
		toOne(o)
		args = append(args, o)
		if len(args) == maxOperands && i < len(operands)-1 {
			r.chunk.concats[line] = append(r.chunk.concats[line], names)
			args, names = []ast.Expr{hiddenCall("(concat)", line, args...)}, []string{""}
		}
	}
	r.chunk.concats[line] = append(r.chunk.concats[line], names)
	return hiddenCall("(concat)", line, args...)
}

// nameOf is what an error message calls the value of e.
func (r *rewriter) nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.IdentExpr:
		return r.resolve(e.Value) + " '" + e.Value + "'"
	case *ast.AttrGetExpr:
		if k, ok := e.Key.(*ast.StringExpr); ok {
			return "field '" + k.Value + "'"
		}
	}
	return ""
}
