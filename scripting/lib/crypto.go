package lib

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"fmt"
	"hash"
)

// MaxRandomBytes is the most RandomBytes returns at once.
const MaxRandomBytes = 1 << 16

// digests are the algorithms of Hash and HMAC. MD5 and SHA-1 are there for what devices already
// speak, not for passwords.
var digests = map[string]func() hash.Hash{
	"md5":    md5.New,
	"sha1":   sha1.New,
	"sha256": sha256.New,
	"sha384": sha512.New384,
	"sha512": sha512.New,
}

func digest(alg string) (func() hash.Hash, error) {
	if d, ok := digests[alg]; ok {
		return d, nil
	}
	return nil, fmt.Errorf("crypto: no algorithm %q; there are md5, sha1, sha256, sha384 and sha512", clip(alg, maxKeyShown))
}

// Hash returns the digest of s as bytes. alg is md5, sha1, sha256, sha384 or sha512; another is an
// error.
func Hash(alg, s string) (string, error) {
	d, err := digest(alg)
	if err != nil {
		return "", err
	}
	h := d()
	h.Write([]byte(s))
	return string(h.Sum(nil)), nil
}

// HMAC returns the RFC 2104 code of s under key as bytes, with the algorithms of Hash.
func HMAC(alg, key, s string) (string, error) {
	d, err := digest(alg)
	if err != nil {
		return "", err
	}
	h := hmac.New(d, []byte(key))
	h.Write([]byte(s))
	return string(h.Sum(nil)), nil
}

// RandomBytes returns n bytes, 0 to MaxRandomBytes, from the system's generator.
func RandomBytes(n int) (string, error) {
	if n < 0 || n > MaxRandomBytes {
		return "", fmt.Errorf("crypto: %d random bytes asked for, 0 to %d are given", n, MaxRandomBytes)
	}
	b := make([]byte, n)
	rand.Read(b) // never fails since Go 1.24: it ends the program instead
	return string(b), nil
}

// Equal compares two strings in a time that tells nothing of where they differ, nor, beyond the
// hashing of each, of their lengths.
func Equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
