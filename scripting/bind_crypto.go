package scripting

import (
	lua "github.com/yuin/gopher-lua"

	"lunamq/scripting/lib"
	"lunamq/scripting/sandbox"
)

const (
	hashCost     = 50 // instructions: an HMAC of nothing is a microsecond
	bytesPerHash = 8  // bytes for one more: MD5 takes some 2 ns a byte
	randomCost   = 50
)

// hashCalls are the calls of crypto that digest and make bytes. All of them
// return bytes: bytes.hex makes a text of them.
var hashCalls = map[string]lua.LGFunction{
	"md5":    cryptoHash("md5"),
	"sha256": cryptoHash("sha256"),
	"sha512": cryptoHash("sha512"),
	"hmac":   cryptoHMAC,
	"random": cryptoRandom,
}

// cryptoHash is crypto.sha256(s) and the like.
func cryptoHash(alg string) lua.LGFunction {
	call := "crypto." + alg
	return func(L *lua.LState) int {
		argNone(L, 1, call)
		s := argBytes(L, 1, call, "the text")
		sandbox.Charge(L, hashCost+int64(len(s)/bytesPerHash))
		sum, err := lib.Hash(alg, s)
		if err != nil {
			L.RaiseError("%s: %v", call, err)
		}
		L.Push(lua.LString(sum))
		return 1
	}
}

// cryptoHMAC is crypto.hmac(alg, key, s).
func cryptoHMAC(L *lua.LState) int {
	const call = "crypto.hmac"
	argNone(L, 3, call)
	alg, key, s := argBytes(L, 1, call, "the algorithm"), argBytes(L, 2, call, "the key"), argBytes(L, 3, call, "the text")
	sandbox.Charge(L, 2*hashCost+int64((len(key)+len(s))/bytesPerHash))
	sum, err := lib.HMAC(alg, key, s)
	if err != nil {
		L.RaiseError("%s: %v", call, err)
	}
	L.Push(lua.LString(sum))
	return 1
}

// cryptoRandom is crypto.random(n): n bytes.
func cryptoRandom(L *lua.LState) int {
	const call = "crypto.random"
	argNone(L, 1, call)
	n, err := toInteger(L.Get(1), 0, lib.MaxRandomBytes)
	if err != nil {
		L.RaiseError("%s: n %v", call, err)
	}
	sandbox.Charge(L, randomCost+int64(n)/bytesPerHash)
	s, err := lib.RandomBytes(int(n))
	if err != nil {
		L.RaiseError("%s: %v", call, err)
	}
	L.Push(lua.LString(s))
	return 1
}
