package sandbox

import (
	lua "github.com/yuin/gopher-lua"
)

// Keeps says whether a function may keep its first argument beyond the call: put it somewhere, give it to
// another function, return it. One that only reads and sets fields of it (arg.x, arg.x = y) does not, and can
// be given the same object again; there is nobody who would notice.
func Keeps(fn *lua.LFunction) bool {
	if fn.IsG || fn.Proto.NumParameters == 0 { // else it is in register 0
		return true
	}
	for _, inst := range fn.Proto.Code {
		if passesFirst(inst) {
			return true
		}
	}
	return false
}

// passesFirst says whether what is in register 0 may be elsewhere after an instruction, as a value of Lua or an
// argument of a metamethod. Operands below 256 are registers.
func passesFirst(inst uint32) bool {
	a, b, c := inst>>18&0xff, inst&0x1ff, inst>>9&0x1ff
	switch opcode(inst) {
	case lua.OP_LOADK, lua.OP_LOADBOOL, lua.OP_LOADNIL, lua.OP_GETUPVAL, lua.OP_GETGLOBAL, lua.OP_NEWTABLE,
		lua.OP_JMP, lua.OP_TEST, lua.OP_CLOSE, lua.OP_CLOSURE, lua.OP_VARARG, lua.OP_NOP:
		return false // what a closure takes follows as moves
	case lua.OP_GETTABLE, lua.OP_GETTABLEKS:
		return c == 0
	case lua.OP_SETTABLE, lua.OP_SETTABLEKS:
		return b == 0 || c == 0
	case lua.OP_MOVE, lua.OP_MOVEN, lua.OP_SELF, lua.OP_UNM, lua.OP_NOT, lua.OP_LEN, lua.OP_TESTSET:
		return b == 0
	case lua.OP_ADD, lua.OP_SUB, lua.OP_MUL, lua.OP_DIV, lua.OP_MOD, lua.OP_POW, lua.OP_EQ, lua.OP_LT, lua.OP_LE:
		return b == 0 || c == 0
	case lua.OP_RETURN:
		return a == 0 && b != 1
	case lua.OP_CALL, lua.OP_TAILCALL, lua.OP_FORLOOP, lua.OP_FORPREP, lua.OP_TFORLOOP, lua.OP_SETLIST,
		lua.OP_SETGLOBAL, lua.OP_SETUPVAL: // from register a, or above it
		return a == 0
	}
	return true
}
