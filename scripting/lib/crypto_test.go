package lib

import (
	"encoding/hex"
	"strings"
	"testing"
)

func TestHash(t *testing.T) {
	// RFC 1321 A.5 and FIPS 180-4's "abc".
	tests := map[string]string{
		"md5":    "900150983cd24fb0d6963f7d28e17f72",
		"sha1":   "a9993e364706816aba3e25717850c26c9cd0d89d",
		"sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"sha384": "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
		"sha512": "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
	}
	for alg, want := range tests {
		if got, err := Hash(alg, "abc"); hex.EncodeToString([]byte(got)) != want || err != nil {
			t.Errorf("Hash(%s) = %x, %v; want %s", alg, got, err, want)
		}
	}
}

func TestHMAC(t *testing.T) {
	// RFC 2202 test case 2 and RFC 4231 test case 2.
	tests := map[string]string{
		"md5":    "750c783e6ab0b503eaa86e310a5db738",
		"sha1":   "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
		"sha256": "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
		"sha384": "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
	}
	for alg, want := range tests {
		got, err := HMAC(alg, "Jefe", "what do ya want for nothing?")
		if hex.EncodeToString([]byte(got)) != want || err != nil {
			t.Errorf("HMAC(%s) = %x, %v; want %s", alg, got, err, want)
		}
	}
}

func TestUnknownAlgorithm(t *testing.T) {
	for _, alg := range []string{"", "SHA256", "crc32", strings.Repeat("x", 1000)} {
		if _, err := Hash(alg, ""); err == nil || len(err.Error()) > 200 {
			t.Errorf("Hash(%.20q): %v", alg, err)
		}
		if _, err := HMAC(alg, "", ""); err == nil {
			t.Errorf("HMAC(%.20q) has no error", alg)
		}
	}
}

func TestRandomBytes(t *testing.T) {
	a, errA := RandomBytes(32)
	b, errB := RandomBytes(32)
	if len(a) != 32 || a == b || errA != nil || errB != nil {
		t.Errorf("%x, %v and %x, %v", a, errA, b, errB)
	}
	for _, n := range []int{-1, MaxRandomBytes + 1} {
		if _, err := RandomBytes(n); err == nil {
			t.Errorf("RandomBytes(%d) has no error", n)
		}
	}
}

func TestEqual(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{{"", "", true}, {"a", "a", true}, {"a", "b", false}, {"a", "", false}, {"a", "a\x00", false}, {"abc", "abcd", false}}
	for _, tt := range tests {
		if got := Equal(tt.a, tt.b); got != tt.want {
			t.Errorf("Equal(%q, %q) = %v", tt.a, tt.b, got)
		}
	}
}
