package scripting

import (
	"strings"
	"testing"
	"unsafe"

	lua "github.com/yuin/gopher-lua"
)

func TestNames(t *testing.T) {
	var remembered names
	for _, s := range []string{"", "a", "client-1", strings.Repeat("x", longestName), strings.Repeat("y", longestName+1)} {
		lent := []byte(s)
		v := remembered.of(unsafe.String(unsafe.SliceData(lent), len(lent)))
		for i := range lent {
			lent[i] = '?'
		}
		if v != lua.LString(s) {
			t.Errorf("%q became %q", s, v)
		}
		if again := remembered.of(s); again != lua.LString(s) {
			t.Errorf("%q became %q the second time", s, again)
		}
	}
	s := "site/7/temp"
	remembered.of(s)
	if n := testing.AllocsPerRun(100, func() { remembered.of(s) }); n != 0 {
		t.Errorf("%v allocations for what is remembered", n)
	}
}
