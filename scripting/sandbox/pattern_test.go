package sandbox

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/pm"
	"pgregory.net/rapid"
)

// tryFind runs the matcher without a Lua state.
func tryFind(s, p string) (result string, err error) {
	defer func() {
		if r := recover(); r != nil {
			text, ok := r.(patternError)
			if !ok {
				panic(r)
			}
			err = fmt.Errorf("%s", text)
		}
	}()
	m := matcher{s: s, p: p}
	from, to := m.find(0)
	if from < 0 {
		return "none", nil
	}
	out := fmt.Sprintf("%d-%d", from, to)
	for i := range m.level {
		v := m.value(i, from, to)
		if n, ok := v.(lua.LNumber); ok {
			out += fmt.Sprintf(" @%d", int(n))
		} else {
			out += fmt.Sprintf(" %q", v.String())
		}
	}
	return out, nil
}

// oracleFind is tryFind by gopher-lua's own matcher.
func oracleFind(s, p string) (string, error) {
	mds, err := pm.Find(p, []byte(s), 0, 1)
	if err != nil {
		return "", err
	}
	if len(mds) == 0 {
		return "none", nil
	}
	md := mds[0]
	out := fmt.Sprintf("%d-%d", md.Capture(0), md.Capture(1))
	for i := 2; i < md.CaptureLength(); i += 2 {
		if md.IsPosCapture(i) {
			out += fmt.Sprintf(" @%d", md.Capture(i))
		} else {
			out += fmt.Sprintf(" %q", s[md.Capture(i):md.Capture(i+1)])
		}
	}
	return out, nil
}

// TestPatterns are cases whose results are those of Lua 5.1's lua.
func TestPatterns(t *testing.T) {
	for _, c := range []struct{ s, p, want string }{
		{"", "", "0-0"},
		{"abc", "b", "1-2"},
		{"abc", "^b", "none"},
		{"abc", "^abc$", "0-3"},
		{"a$c", "a$c", "0-3"},
		{"hello world", "(o)(.)", `4-6 "o" " "`},
		{"key = value", "^(%w+)%s*=%s*(%w+)$", `0-11 "key" "value"`},
		{"  trim  ", "^%s*(.-)%s*$", `0-8 "trim"`},
		{"f(a(b)c)d", "%b()", "1-8"},
		{"THE (quick) fox", "%f[%a]%a+", "0-3"},
		{"THE (quick) fox", "%f[%l]%l+%f[%L]", "5-10"},
		{"abcabc", "(abc)%1", `0-6 "abc"`},
		{"aXb", "()X()", "1-2 @2 @3"},
		{"x]y", "[]]", "1-2"},
		{"x^y", "[%^]", "1-2"},
		{"a-b", "[a%-]+", "0-2"},
		{"a-b", "[-a]+", "0-2"},
		{"a-z", "[a-]+", "0-2"},
		{"a\x00b", "a%zb", "0-3"},
		{"a\x00b", "\x00", "1-2"},
		{"äö", "%a", "none"},
		{"aaa", "a-b", "none"},
		{"aaab", "a-b", "0-4"},
		{"abb", "(a(b))%2", `0-3 "ab" "b"`},
		{"0x1F", "^0[xX](%x+)$", `0-4 "1F"`},
		{"a.b", "a%.b", "0-3"},
		{"", "a*", "0-0"},
		{"b", "a?b", "0-1"},
		{"((", "%(+", "0-2"},
	} {
		if got, err := tryFind(c.s, c.p); err != nil || got != c.want {
			t.Errorf("find(%q, %q) = %s, %v, want %s", c.s, c.p, got, err, c.want)
		}
	}
}

func TestMalformedPatterns(t *testing.T) {
	for p, want := range map[string]string{
		"%":                         "malformed pattern (ends with '%')",
		"[a":                        "malformed pattern (missing ']')",
		"[":                         "malformed pattern (missing ']')",
		"[^":                        "malformed pattern (missing ']')",
		"[]":                        "malformed pattern (missing ']')",
		"[%":                        "malformed pattern (missing ']')",
		"[a%]":                      "malformed pattern (missing ']')",
		"a)":                        "invalid pattern capture",
		"(a":                        "unfinished capture",
		"%1":                        "invalid capture index",
		"(%1)":                      "invalid capture index",
		"%0":                        "invalid capture index",
		"%b":                        "unbalanced pattern",
		"%bx":                       "unbalanced pattern",
		"%f":                        "missing '[' after '%f' in pattern",
		"%fa":                       "missing '[' after '%f' in pattern",
		strings.Repeat("(a)?a?", 1): "",
		strings.Repeat("()", 33):    "too many captures",
		strings.Repeat("a?", 300):   "pattern too complex",
	} {
		_, err := tryFind(strings.Repeat("a", 1000), p)
		if text := fmt.Sprint(err); want == "" && err != nil || want != "" && text != want {
			t.Errorf("%q: got %v, want %q", p, err, want)
		}
	}
}

var patternPiece = rapid.Custom(func(t *rapid.T) string {
	class := rapid.SampledFrom([]string{"a", "b", "1", ".", "%a", "%d", "%w", "%s", "%l", "%u", "%x", "%p", "%A", "%D", "[ab]", "[^a]", "[a-z1]", "[%d ]", "%."}).Draw(t, "class")
	return class + rapid.SampledFrom([]string{"", "", "*", "+", "-", "?"}).Draw(t, "suffix")
})

// TestPatternOracle compares with gopher-lua's matcher on patterns that both define.
func TestPatternOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p strings.Builder
		p.WriteString(rapid.SampledFrom([]string{"", "", "^"}).Draw(t, "head"))
		for range rapid.IntRange(0, 4).Draw(t, "pieces") {
			switch rapid.IntRange(0, 4).Draw(t, "kind") {
			case 0:
				p.WriteString("(" + patternPiece.Draw(t, "piece") + patternPiece.Draw(t, "piece") + ")")
			case 1:
				p.WriteString("%b()")
			default:
				p.WriteString(patternPiece.Draw(t, "piece"))
			}
		}
		p.WriteString(rapid.SampledFrom([]string{"", "", "$"}).Draw(t, "tail"))
		s := rapid.StringOfN(rapid.SampledFrom([]rune("aab1 .()Z")), 0, 12, -1).Draw(t, "s")
		got, err1 := tryFind(s, p.String())
		want, err2 := oracleFind(s, p.String())
		if err1 != nil || err2 != nil || got != want {
			t.Fatalf("find(%q, %q) = %s, %v, want %s, %v", s, p.String(), got, err1, want, err2)
		}
	})
}

// comparable are patterns on which gopher-lua's matcher agrees with Lua: no captures (it keeps those of
// failed attempts), no odd sets, few quantifiers (it has no budget).
var comparable = regexp.MustCompile(`^\^?(([a-z0-9 ]|\.|%[adlsuwxpADLSUWXP.]|\[\^?[a-z0-9]+\])[*+?-]?){0,5}\$?$`)

func FuzzPattern(f *testing.F) {
	for _, p := range []string{"a*", "^(%w+)=(.-)$", "[^a-]", "%f[%a]", "%b()", "(a)%1", "()", "%", "[%", "((", "[]", "a-b"} {
		f.Add("key=value (a(b)c)", p)
	}
	f.Fuzz(func(t *testing.T, s, p string) {
		if len(s) > 24 || len(p) > 24 || strings.Count(p, "*")+strings.Count(p, "-")+strings.Count(p, "+")+strings.Count(p, "?") > 5 {
			t.Skip()
		}
		got, err := tryFind(s, p)
		if !comparable.MatchString(p) {
			return
		}
		want, werr := oracleFind(s, p)
		if err != nil || werr != nil || got != want {
			t.Fatalf("find(%q, %q) = %s, %v, want %s, %v", s, p, got, err, want, werr)
		}
	})
}
