package sandbox

import (
	lua "github.com/yuin/gopher-lua"
)

// pieceSize is how much is copied at once, some 20 µs into fresh memory: Go cannot stop a goroutine that
// copies, and a collection stops all others until it can. With 8 MiB at once, a message that meets no rule
// waited up to 10 ms (BenchmarkPairUnderAttack/doubling).
const pieceSize = 64 << 10

// appendText appends s, in pieces where it is long.
func appendText(L *lua.LState, b []byte, s string) []byte {
	if len(b)+len(s) <= pieceSize {
		return append(b, s...)
	}
	return appendLong(L, b, s)
}

func appendLong(L *lua.LState, b []byte, s string) []byte {
	m := meterOf(L)
	if need := len(b) + len(s); need > cap(b) {
		grown := make([]byte, 0, max(need, 2*cap(b)))
		for len(b) > 0 {
			n := min(len(b), pieceSize)
			grown, b = appendPiece(grown, stringOf(b[:n])), b[n:]
			m.letOthers()
		}
		b = grown
	}
	for len(s) > 0 {
		n := min(len(s), pieceSize)
		b, s = appendPiece(b, s[:n]), s[n:]
		m.letOthers()
	}
	return b
}

// appendPiece is where Go can stop a goroutine that copies: at a call.
//
//go:noinline
func appendPiece(b []byte, s string) []byte { return append(b, s...) }

// repeat is s, n times.
func repeat(L *lua.LState, s string, n int) string {
	total := len(s) * n
	b := make([]byte, 0, total)
	for len(b) < total {
		b = appendText(L, b, s[:min(len(s), total-len(b))])
		if len(b) <= pieceSize/2 {
			s = stringOf(b) // what is there is not changed any more
		}
	}
	return stringOf(b)
}

// mapText sets each byte of b, which are as many as f is asked for.
func mapText(L *lua.LState, b []byte, f func(i int) byte) {
	for i := range b {
		if i&(pieceSize-1) == pieceSize-1 {
			meterOf(L).letOthers()
		}
		b[i] = f(i)
	}
}

// payGrowth pays for a string that has n bytes by now, of which some are paid, and checks its length. It
// returns how many are paid now.
func payGrowth(L *lua.LState, n, paid int) int {
	checkSize(L, n)
	units := (n - paid) / builtPerInstruction
	if units > 0 {
		Charge(L, int64(units))
	}
	return paid + units*builtPerInstruction
}
