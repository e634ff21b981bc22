package scripting

import (
	"slices"

	"github.com/yuin/gopher-lua/ast"
)

func (l *linter) exprs(list []ast.Expr) {
	for _, e := range list {
		l.expr(e)
	}
}

func (l *linter) expr(e ast.Expr) {
	switch e := e.(type) {
	case *ast.IdentExpr:
		l.read(e)
	case *ast.AttrGetExpr:
		l.attribute(e)
	case *ast.TableExpr:
		for _, f := range e.Fields {
			l.exprs([]ast.Expr{f.Key, f.Value})
		}
	case *ast.FuncCallExpr:
		l.call(e)
	case *ast.LogicalOpExpr:
		l.exprs([]ast.Expr{e.Lhs, e.Rhs})
	case *ast.RelationalOpExpr:
		l.exprs([]ast.Expr{e.Lhs, e.Rhs})
	case *ast.StringConcatOpExpr:
		l.exprs([]ast.Expr{e.Lhs, e.Rhs})
	case *ast.ArithmeticOpExpr:
		l.exprs([]ast.Expr{e.Lhs, e.Rhs})
	case *ast.UnaryMinusOpExpr:
		l.expr(e.Expr)
	case *ast.UnaryNotOpExpr:
		l.expr(e.Expr)
	case *ast.UnaryLenOpExpr:
		l.expr(e.Expr)
	case *ast.FunctionExpr:
		l.function(e, &frame{}, e.ParList.Names, "")
	}
}

// read is a name in an expression.
func (l *linter) read(e *ast.IdentExpr) {
	if v := l.local(e.Value); v != nil {
		v.used = true
		return
	}
	if !slices.Contains(l.globals, e.Value) {
		l.reads = append(l.reads, globalRead{l.file, e.Value, e.Line()})
	}
}

// attribute is object.name or object[key].
func (l *linter) attribute(e *ast.AttrGetExpr) {
	l.exprs([]ast.Expr{e.Object, e.Key})
	key, ok := e.Key.(*ast.StringExpr)
	if !ok {
		return
	}
	if lib, name := l.library(e); lib != "" && !slices.Contains(l.libs[lib], name) {
		l.find(e.Line(), lintLibrary, "there is no %s.%s%s", lib, clip(name), meant(name, l.libs[lib]))
	}
	if s, known := l.shapes[l.class(e.Object)]; known && !slices.Contains(s.names(), key.Value) {
		l.find(e.Line(), lintField, "%s has no field %q%s", s.name, clip(key.Value), meant(key.Value, s.names()))
	}
}

// call is f(…) or object:method(…).
func (l *linter) call(e *ast.FuncCallExpr) {
	if e.Method != "" {
		l.expr(e.Receiver)
		if s, known := l.shapes[l.class(e.Receiver)]; known && !slices.Contains(s.names(), e.Method) {
			l.find(e.Line(), lintField, "%s has no method %q%s", s.name, clip(e.Method), meant(e.Method, s.methods))
		}
		l.exprs(e.Args)
		return
	}
	l.expr(e.Func)
	if lib, name := l.library(e.Func); lib == "mqtt" && name == "on" && len(e.Args) > 0 {
		l.on(e)
		return
	}
	l.exprs(e.Args)
}

// on is mqtt.on(event [, filter] [, options], handler).
func (l *linter) on(e *ast.FuncCallExpr) {
	name, ok := e.Args[0].(*ast.StringExpr)
	if !ok {
		l.exprs(e.Args)
		return
	}
	kind, ok := events[name.Value]
	if !ok {
		l.find(e.Line(), lintLoad, "mqtt.on: there is no event %q%s", clip(name.Value), meant(name.Value, eventNames))
		l.exprs(e.Args)
		return
	}
	for _, arg := range e.Args[1:] {
		switch arg := arg.(type) {
		case *ast.FunctionExpr:
			l.function(arg, &frame{handler: true}, arg.ParList.Names, eventClass(kind))
		case *ast.TableExpr:
			l.options(e, kind.info(), arg)
			l.expr(arg)
		default:
			l.expr(arg)
		}
	}
}

// options are those of a mqtt.on that are written there.
func (l *linter) options(e *ast.FuncCallExpr, info *eventInfo, t *ast.TableExpr) {
	seen := make(map[string]bool)
	for _, f := range t.Fields {
		key, ok := f.Key.(*ast.StringExpr)
		if !ok {
			continue
		}
		switch {
		case !slices.Contains(handlerOptions, key.Value):
			l.find(e.Line(), lintLoad, "mqtt.on: options: the table has the unknown key %q%s", clip(key.Value), meant(key.Value, handlerOptions))
		case seen[key.Value]:
			l.find(e.Line(), lintOption, "the option %s stands there twice", key.Value)
		case key.Value == "on_error" && info.goesOn:
			l.find(e.Line(), lintOption, "on_error has no effect on %s, which goes on whatever its handlers do", info.name)
		}
		seen[key.Value] = true
	}
}
