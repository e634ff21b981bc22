package scripting

import (
	"fmt"
	"slices"
	"strings"

	"github.com/yuin/gopher-lua/ast"

	"lunamq/scripting/sandbox"
)

// The lints. Each is an error that a rule would meet when it runs, or a
// statement that does nothing; style is the author's affair.
const (
	lintGlobal     = "unknown-global"    // a global that nobody assigns
	lintAssign     = "sealed-global"     // a global assigned in a handler
	lintLibrary    = "unknown-function"  // a name that a library does not have
	lintField      = "unknown-field"     // a field that an event does not have
	lintReadOnly   = "read-only-field"   // one that cannot be assigned
	lintVerdict    = "verdict-unused"    // mqtt.deny() as a statement
	lintUncalled   = "verdict-uncalled"  // return mqtt.deny
	lintShadow     = "unused-shadow"     // a local that hides a library and is not used
	lintOption     = "unused-option"     // an option of mqtt.on without effect
	lintNeverFits  = "filter-never-fits" // a filter that no topic matches
	lintNeverRuns  = "handler-never-runs"
	lintLoad       = "load" // not a lint: the set cannot be loaded
	verdictReturns = "return mqtt.%s(…)"
)

// linter looks at the files of a set.
type linter struct {
	globals  []string            // that there are without the files
	libs     map[string][]string // names in each library table
	shapes   map[string]shape
	assigned map[string]bool // globals that the files assign
	findings []Finding

	// refusing are functions that do nothing but refuse, by "file:line" of the
	// function; 2 or more are on one line: nothing is known of them.
	refusing map[string]int
	defined  map[string]int // all functions, likewise

	// Of the file under way:
	file   string
	scope  []*localName
	frames []*frame
	reads  []globalRead
}

// localName is a local in scope.
type localName struct {
	name   string
	line   int
	class  string // of the object it holds, "" if that is not known
	shadow bool   // hides a library
	used   bool
}

// frame is one function around what is looked at.
type frame struct {
	handler bool // the function is written as an argument of mqtt.on
	inside  bool // it is a handler or within one
}

type globalRead struct {
	file, name string
	line       int
}

// newLinter knows the globals of a world.
func newLinter(w *world) *linter {
	l := &linter{
		globals: w.Names(""), libs: make(map[string][]string), shapes: shapes(),
		assigned: make(map[string]bool), refusing: make(map[string]int), defined: make(map[string]int),
	}
	for _, name := range l.globals {
		if w.IsLib(name) {
			l.libs[name] = w.Names(name)
		}
	}
	return l
}

func (l *linter) find(line int, rule, format string, args ...any) {
	l.findings = append(l.findings, Finding{File: l.file, Line: line, Rule: rule, Text: fmt.Sprintf(format, args...)})
}

// look walks one file. A file that does not compile is left to others.
func (l *linter) look(f script) {
	stmts, err := sandbox.Parse(f.name, f.source)
	if err != nil {
		return
	}
	l.file, l.scope, l.frames = f.name, nil, []*frame{{}}
	l.block(stmts)
}

// finish reports the globals that no file assigns.
func (l *linter) finish() {
	for _, r := range l.reads {
		if l.assigned[r.name] {
			continue
		}
		names := slices.Clone(l.globals)
		for name := range l.assigned {
			names = append(names, name)
		}
		slices.Sort(names)
		l.file = r.file
		l.find(r.line, lintGlobal, "there is no global %q%s", clip(r.name), meant(r.name, names))
	}
}

func (l *linter) top() *frame { return l.frames[len(l.frames)-1] }

func (l *linter) declare(v *localName) { l.scope = append(l.scope, v) }

// close ends the scope of the locals declared since mark.
func (l *linter) close(mark int) {
	for _, v := range l.scope[mark:] {
		if v.shadow && !v.used {
			l.find(v.line, lintShadow, "the local %q is not used, and hides the %s of the same name", v.name, l.thing(v.name))
		}
	}
	l.scope = l.scope[:mark]
}

func (l *linter) thing(global string) string {
	if l.libs[global] != nil {
		return "library"
	}
	return "function"
}

// local is the local that a name means here, nil for a global.
func (l *linter) local(name string) *localName {
	for _, v := range slices.Backward(l.scope) {
		if v.name == name {
			return v
		}
	}
	return nil
}

func (l *linter) block(stmts []ast.Stmt) {
	mark := len(l.scope)
	for _, s := range stmts {
		l.stmt(s)
	}
	l.close(mark)
}

func (l *linter) stmt(s ast.Stmt) {
	switch s := s.(type) {
	case *ast.AssignStmt:
		l.exprs(s.Rhs)
		for i, target := range s.Lhs {
			l.assign(target, classIf(len(s.Lhs) == len(s.Rhs), func() string { return l.class(s.Rhs[i]) }))
		}
	case *ast.LocalAssignStmt:
		l.localAssign(s)
	case *ast.FuncCallStmt:
		l.unusedVerdict(s)
		l.expr(s.Expr)
	case *ast.DoBlockStmt:
		l.block(s.Stmts)
	case *ast.WhileStmt:
		l.expr(s.Condition)
		l.block(s.Stmts)
	case *ast.RepeatStmt:
		mark := len(l.scope)
		for _, inner := range s.Stmts {
			l.stmt(inner)
		}
		l.expr(s.Condition) // sees the locals of the body
		l.close(mark)
	case *ast.IfStmt:
		l.expr(s.Condition)
		l.block(s.Then)
		l.block(s.Else)
	case *ast.NumberForStmt:
		l.exprs([]ast.Expr{s.Init, s.Limit, s.Step})
		l.loop([]string{s.Name}, s.Stmts, s.Line())
	case *ast.GenericForStmt:
		l.exprs(s.Exprs)
		l.loop(s.Names, s.Stmts, s.Line())
	case *ast.FuncDefStmt:
		l.funcDef(s)
	case *ast.ReturnStmt:
		l.uncalledVerdict(s)
		l.exprs(s.Exprs)
	}
}

func classIf(known bool, class func() string) string {
	if known {
		return class()
	}
	return ""
}

func (l *linter) loop(names []string, body []ast.Stmt, line int) {
	mark := len(l.scope)
	for _, name := range names {
		l.declare(&localName{name: name, line: line})
	}
	l.block(body)
	l.close(mark)
}

// localAssign declares after the values: local json = json is the library. A
// function sees its own name, as sandbox compiles it.
func (l *linter) localAssign(s *ast.LocalAssignStmt) {
	var classes []string
	_, own := first(s.Exprs).(*ast.FunctionExpr)
	own = own && len(s.Names) == 1 && len(s.Exprs) == 1
	if !own {
		l.exprs(s.Exprs)
	}
	for i := range s.Names {
		classes = append(classes, classIf(len(s.Names) == len(s.Exprs), func() string { return l.class(s.Exprs[i]) }))
	}
	for i, name := range s.Names {
		l.declare(&localName{name: name, line: s.Line(), class: classes[i], shadow: l.shadows(name, s, i)})
	}
	if own {
		l.exprs(s.Exprs)
	}
}

// shadows says that a local hides a global of the API and is something else.
func (l *linter) shadows(name string, s *ast.LocalAssignStmt, i int) bool {
	if !slices.Contains(l.globals, name) || l.local(name) != nil {
		return false
	}
	if i < len(s.Exprs) {
		if id, ok := s.Exprs[i].(*ast.IdentExpr); ok && id.Value == name {
			return false
		}
	}
	return true
}

func first(list []ast.Expr) ast.Expr {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

func (l *linter) funcDef(s *ast.FuncDefStmt) {
	if s.Name.Func == nil {
		l.expr(s.Name.Receiver)
		l.function(s.Func, &frame{}, append([]string{"self"}, s.Func.ParList.Names...), "")
		return
	}
	l.assign(s.Name.Func, "")
	l.function(s.Func, &frame{}, s.Func.ParList.Names, "")
}

// function walks a function whose first parameter is an object of a class.
func (l *linter) function(f *ast.FunctionExpr, around *frame, params []string, class string) {
	at := fmt.Sprintf("%s:%d", l.file, f.Line())
	if l.defined[at]++; l.refuses(f) {
		l.refusing[at]++
	}
	around.inside = around.handler || l.top().inside
	l.frames = append(l.frames, around)
	mark := len(l.scope)
	for i, name := range params {
		v := &localName{name: name, line: f.Line()}
		if i == 0 {
			v.class = class
		}
		l.declare(v)
	}
	l.block(f.Stmts)
	l.close(mark)
	l.frames = l.frames[:len(l.frames)-1]
}

// assign is one target of an assignment.
func (l *linter) assign(target ast.Expr, class string) {
	switch t := target.(type) {
	case *ast.IdentExpr:
		if v := l.local(t.Value); v != nil {
			if v.class != class {
				v.class = "" // what it holds depends on the way here
			}
			return
		}
		l.assigned[t.Value] = true
		if l.top().inside {
			l.find(t.Line(), lintAssign, "the global %q is assigned in a handler, where globals are sealed (a missing local?)", clip(t.Value))
		}
	case *ast.AttrGetExpr:
		l.expr(t.Object)
		l.expr(t.Key)
		name, ok := t.Key.(*ast.StringExpr)
		if s, known := l.shapes[l.class(t.Object)]; ok && known {
			l.assignField(t, s, name.Value)
		}
	}
}

func (l *linter) assignField(t *ast.AttrGetExpr, s shape, name string) {
	f, ok := s.field(name)
	switch {
	case !ok:
		l.find(t.Line(), lintField, "%s has no field %q%s", s.name, clip(name), meant(name, s.names()))
	case !f.writable:
		l.find(t.Line(), lintReadOnly, "%s: %s is read-only", s.name, name)
	}
}

// refuses says that a function does nothing but refuse.
func (l *linter) refuses(f *ast.FunctionExpr) bool {
	if len(f.Stmts) != 1 {
		return false
	}
	ret, ok := f.Stmts[0].(*ast.ReturnStmt)
	if !ok || len(ret.Exprs) != 1 {
		return false
	}
	if _, isFalse := ret.Exprs[0].(*ast.FalseExpr); isFalse {
		return true
	}
	name, called := l.verdictCall(ret.Exprs[0])
	return called && name != "allow" && name != "continue"
}

// verdictWords are the functions of mqtt that make a verdict.
var verdictWords = []string{"allow", "continue", "deny", "disconnect", "drop"}

// verdictCall is the word of mqtt.word(…).
func (l *linter) verdictCall(e ast.Expr) (word string, ok bool) {
	call, ok := e.(*ast.FuncCallExpr)
	if !ok || call.Method != "" {
		return "", false
	}
	return l.verdictWord(call.Func)
}

// verdictWord is the word of mqtt.word.
func (l *linter) verdictWord(e ast.Expr) (word string, ok bool) {
	lib, name := l.library(e)
	return name, lib == "mqtt" && slices.Contains(verdictWords, name)
}

func (l *linter) unusedVerdict(s *ast.FuncCallStmt) {
	if word, ok := l.verdictCall(s.Expr); ok {
		l.find(s.Line(), lintVerdict, "mqtt.%s() alone does nothing: write "+verdictReturns, word, word)
	}
}

func (l *linter) uncalledVerdict(s *ast.ReturnStmt) {
	if !l.top().handler || len(s.Exprs) == 0 {
		return
	}
	if word, ok := l.verdictWord(s.Exprs[0]); ok {
		l.find(s.Line(), lintUncalled, "mqtt.%s is returned without a call: write "+verdictReturns, word, word)
	}
}

// library is lib.name of a global library table; "" if e is something else.
func (l *linter) library(e ast.Expr) (lib, name string) {
	attr, ok := e.(*ast.AttrGetExpr)
	if !ok {
		return "", ""
	}
	id, ok1 := attr.Object.(*ast.IdentExpr)
	key, ok2 := attr.Key.(*ast.StringExpr)
	if !ok1 || !ok2 || l.libs[id.Value] == nil || l.local(id.Value) != nil {
		return "", ""
	}
	return id.Value, key.Value
}

// class is the class of an object, "" where it is not known.
func (l *linter) class(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.IdentExpr:
		if v := l.local(e.Value); v != nil {
			return v.class
		}
	case *ast.AttrGetExpr:
		if name, ok := e.Key.(*ast.StringExpr); ok {
			if f, ok := l.shapes[l.class(e.Object)].field(name.Value); ok {
				return strings.TrimSuffix(f.typ, "?")
			}
		}
	}
	return ""
}
