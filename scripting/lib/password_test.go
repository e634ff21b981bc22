package lib

import (
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestVerifyPasswordKnownHashes(t *testing.T) {
	tests := []struct{ name, password, hash string }{
		// golang.org/x/crypto/bcrypt's own vector, and lines of libxcrypt's crypt(3).
		{"bcrypt 2a", "allmine", "$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga"},
		{"bcrypt 2b", "correct horse", "$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2"},
		{"bcrypt 2y", "correct horse", "$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2"},
		{"bcrypt UTF-8", "päss ⚓", "$2b$06$ABCDEFGHIJKLMNOPQRSTUuIT9O6o530ZstnahBNcv0hviRY2OErEq"},
		// test.c of github.com/P-H-C/phc-winner-argon2.
		{"argon2id 64 MiB", "password", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"},
		{"argon2id 256 KiB", "password", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"},
		{"argon2id two threads", "password", "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { checkPassword(t, tt.password, tt.hash) })
	}
}

// checkPassword wants hash to accept password and nothing near it.
func checkPassword(t *testing.T, password, hash string) {
	t.Helper()
	for candidate, want := range map[string]bool{password: true, password + "x": false, "": false, strings.ToUpper(password) + "!": false} {
		if got, err := VerifyPassword(candidate, hash); got != want || err != nil {
			t.Errorf("VerifyPassword(%q) = %v, %v; want %v", candidate, got, err, want)
		}
	}
}

// The lines of testdata were written by mosquitto_passwd 2.0.11.
func TestVerifyPasswordMosquitto(t *testing.T) {
	passwords := map[string]string{"ann": "correct horse", "bob": "pässwörd ⚓", "cat": "a:b$c", "dot": "x"}
	data, err := os.ReadFile("testdata/mosquitto_passwd.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(data))
	if len(lines) != 8 {
		t.Fatalf("%d lines, want 8", len(lines))
	}
	for _, line := range lines {
		user, hash, _ := strings.Cut(line, ":")
		t.Run(user, func(t *testing.T) { checkPassword(t, passwords[user[:3]], hash) })
	}
}

func TestVerifyPasswordRefusesHashes(t *testing.T) {
	const argon = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	const bcrypted = "$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga"
	sum := strings.Repeat("A", 86) + "=="
	change := func(s, old, new string) string { return strings.Replace(s, old, new, 1) }
	tests := []struct{ name, hash, want string }{
		{"empty", "", "unknown password hash"},
		{"plain", "secret", "unknown password hash"},
		{"md5 crypt", "$1$ab$cdef", "unknown password hash"},
		{"bcrypt of another minor", change(bcrypted, "2a", "2x"), "unknown password hash"},
		{"too long", "$6$" + strings.Repeat("A", 2000), "a password hash of 2003 bytes"},
		{"bcrypt cut short", bcrypted[:59], "60 characters"},
		{"bcrypt cost", change(bcrypted, "$10$", "$17$"), "cost 17"},
		{"bcrypt cost 31", change(bcrypted, "$10$", "$31$"), "cost 31"},
		{"bcrypt no cost", change(bcrypted, "$10$", "$xx$"), "cost 04 to 16"},
		{"bcrypt cost 3", change(bcrypted, "$10$", "$03$"), "cost 04 to 16"},
		{"bcrypt salt", change(bcrypted, "Xajj", "X!jj"), "salt"},
		{"argon version", change(argon, "v=19", "v=16"), "v=19"},
		{"argon memory", change(argon, "m=256", "m=262145"), "8 to 262144"},
		{"argon little memory", change(argon, "m=256", "m=7"), "8 to 262144"},
		{"argon memory for threads", change(change(argon, "m=256", "m=16"), "p=1", "p=4"), "32 to 262144"},
		{"argon work", change(argon, "m=256,t=2", "m=262144,t=5"), "1 to 4"},
		{"argon no pass", change(argon, "t=2", "t=0"), "t=… is 0"},
		{"argon no thread", change(argon, "p=1", "p=0"), "p=… is 0"},
		{"argon threads", change(argon, "p=1", "p=17"), "1 to 16"},
		{"argon sign", change(argon, "t=2", "t=+2"), "not a number"},
		{"argon zero", change(argon, "t=2", "t=02"), "not a number"},
		{"argon huge", change(argon, "t=2", "t=99999999999999999999"), "not a number"},
		{"argon order", change(argon, "m=256,t=2", "t=2,m=256"), "m=… is missing"},
		{"argon parts", change(argon, "$c29tZXNhbHQ", ""), "is wanted"},
		{"argon costs", change(argon, ",p=1", ""), "m=…,t=…,p=…"},
		{"argon salt", change(argon, "c29tZXNhbHQ", "c29t"), "salt of 8"},
		{"argon padding", argon + "=", "without padding"},
		{"argon2i", change(argon, "2id", "2i"), "unknown password hash"},
		{"sha512 parts", "$6$AAAA", "$6$salt$hash"},
		{"sha512 salt", "$6$$" + sum, "salt of 1 to 64"},
		{"sha512 not base64", "$6$AA!A$" + sum, "salt of 1 to 64"},
		{"sha512 crypt(3)", "$6$AAAAAAAA$" + strings.Repeat("a", 86), "crypt(3)"},
		{"pbkdf2 parts", "$7$AAAA$" + sum, "$7$iterations$salt$hash"},
		{"pbkdf2 none", "$7$0$AAAA$" + sum, "1 to 2000000"},
		{"pbkdf2 negative", "$7$-1$AAAA$" + sum, "1 to 2000000"},
		{"pbkdf2 many", "$7$2000001$AAAA$" + sum, "1 to 2000000"},
		{"pbkdf2 salt", "$7$101$" + strings.Repeat("A", 88) + "$" + sum, "salt of 1 to 64"},
		{"pbkdf2 hash", "$7$101$AAAA$AAAA", "hash of 64 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ok, err := VerifyPassword("secret", tt.hash)
			if ok || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("VerifyPassword = %v, %v; want an error with %q", ok, err, tt.want)
			}
		})
	}
}

// Of what runs at once the memory is never beyond the share, and everybody gets a turn.
func TestMemoryShare(t *testing.T) {
	m := newMemoryShare(10)
	var used, worst atomic.Int64
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			n := i%10 + 1
			m.take(n)
			now := used.Add(int64(n))
			for was := worst.Load(); now > was && !worst.CompareAndSwap(was, now); was = worst.Load() {
			}
			used.Add(-int64(n))
			m.give(n)
		})
	}
	wg.Wait()
	if worst.Load() > 10 || m.free != 10 {
		t.Errorf("up to %d taken of 10, %d free at the end", worst.Load(), m.free)
	}
}

func FuzzPasswordHash(f *testing.F) {
	f.Add("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4")
	f.Add("$7$101$3ipUSJMV+xvWLy+P$mdkcjN529SaZPsLia0U8Wycm2uAANURLFpTYaHH6Ur1X2kYTerT+T1+JXDDyIq2ml8TfoFoAX1oHWwv8jFJCZA==")
	f.Add("$6$7SszZHWZ8pH/+y1T$zrvpKkYMAz8FHkTPXNgEF1LKfeT1mlK7fmfq08OfoLiwgkhDibowPfxbod7HZMnJHkR7UeGLzoBgsJFfMRGMtw==")
	f.Fuzz(func(t *testing.T, hash string) {
		a, err := parseArgon2id(hash)
		if err == nil && (a.memory > maxArgonMemory || a.memory*a.passes > maxArgonWork || a.threads > maxArgonThreads || a.memory < 8*a.threads || a.passes < 1 || len(a.sum) < 12 || len(a.salt) < 8) {
			t.Errorf("%q is let through as %+v", hash, a)
		}
		if strings.HasPrefix(hash, "$6$") {
			if ok, _ := VerifyPassword("no such password", hash); ok {
				t.Errorf("%q accepts any password", hash)
			}
		}
	})
}
