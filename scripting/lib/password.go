package lib

import (
	"crypto/pbkdf2"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// Bounds of what a hash may ask for, so that one from a foreign file cannot hold a processor for
// minutes or take the memory. Each comes to a few seconds at most.
const (
	maxBcryptCost       = 16        // 2^16 rounds
	maxPBKDF2Iterations = 2_000_000 // mosquitto_passwd writes 101 and up
	maxArgonMemory      = 256 << 10 // KiB; RFC 9106 section 4 recommends 64 MiB where memory is scarce
	maxArgonWork        = 1 << 20   // KiB times passes
	maxArgonThreads     = 16

	maxPasswordHash = 1024 // bytes of the whole text
	maxSalt         = 64   // bytes
)

// VerifyPassword says whether hash was made from password. The formats:
//
//   - bcrypt: $2a$, $2b$, $2y$, cost up to 16; of a password the first 72 bytes count, as in every
//     bcrypt
//   - argon2id: $argon2id$v=19$m=…,t=…,p=…$salt$hash, up to 256 MiB, m·t up to 1 GiB, 16 threads
//   - mosquitto_passwd: $6$salt$hash (SHA-512) and $7$iterations$salt$hash (PBKDF2-SHA512), up to
//     2 000 000 iterations
//
// A wrong password is false without an error. An error is about the hash alone: an unknown or
// malformed format, or more work than the bounds allow; it never shows hash or password. All
// argon2id calls together use up to 256 MiB; one that finds them taken waits.
func VerifyPassword(password, hash string) (bool, error) {
	if len(hash) > maxPasswordHash {
		return false, fmt.Errorf("crypto: a password hash of %d bytes, at most %d are read", len(hash), maxPasswordHash)
	}
	switch {
	case strings.HasPrefix(hash, "$2a$"), strings.HasPrefix(hash, "$2b$"), strings.HasPrefix(hash, "$2y$"):
		return verifyBcrypt(password, hash)
	case strings.HasPrefix(hash, "$argon2id$"):
		return verifyArgon2id(password, hash)
	case strings.HasPrefix(hash, "$6$"):
		return verifySHA512(password, hash)
	case strings.HasPrefix(hash, "$7$"):
		return verifyPBKDF2(password, hash)
	}
	return false, errors.New("crypto: an unknown password hash; bcrypt, argon2id and mosquitto's $6$ and $7$ are known")
}

// bcryptLength is the length of every bcrypt hash: $2b$NN$, 22 characters of salt, 31 of hash.
const bcryptLength = 60

func verifyBcrypt(password, hash string) (bool, error) {
	if len(hash) != bcryptLength {
		return false, malformed("bcrypt", "60 characters are wanted")
	}
	cost, err := bcrypt.Cost([]byte(hash))
	if err != nil {
		return false, malformed("bcrypt", "cost 04 to 16 is wanted")
	}
	if cost > maxBcryptCost {
		return false, fmt.Errorf("crypto: a bcrypt hash of cost %d, at most %d is computed", cost, maxBcryptCost)
	}
	switch err := bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)); {
	case err == nil:
		return true, nil
	case errors.Is(err, bcrypt.ErrMismatchedHashAndPassword):
		return false, nil
	default:
		return false, malformed("bcrypt", "its salt cannot be read")
	}
}

// verifySHA512 is what mosquitto_passwd -H sha512 writes: SHA-512 over the password and the
// decoded salt.
func verifySHA512(password, hash string) (bool, error) {
	parts := strings.Split(hash, "$") // "", "6", salt, hash
	if len(parts) != 4 {
		return false, malformed("$6$", "$6$salt$hash is wanted")
	}
	salt, want, err := saltAndSum("$6$", parts[2], parts[3])
	if err != nil {
		return false, err
	}
	got := sha512.Sum512(append([]byte(password), salt...))
	return subtle.ConstantTimeCompare(got[:], want) == 1, nil
}

// verifyPBKDF2 is what mosquitto_passwd 2.x writes by default.
func verifyPBKDF2(password, hash string) (bool, error) {
	parts := strings.Split(hash, "$") // "", "7", iterations, salt, hash
	if len(parts) != 5 {
		return false, malformed("$7$", "$7$iterations$salt$hash is wanted")
	}
	iterations, err := number(parts[2], 1, maxPBKDF2Iterations)
	if err != nil {
		return false, malformed("$7$", "the iterations are "+err.Error())
	}
	salt, want, err := saltAndSum("$7$", parts[3], parts[4])
	if err != nil {
		return false, err
	}
	got, err := pbkdf2.Key(sha512.New, password, salt, iterations, sha512.Size)
	if err != nil {
		return false, fmt.Errorf("crypto: PBKDF2: %w", err)
	}
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}

// saltAndSum decodes the two last fields of mosquitto's formats.
func saltAndSum(format, salt64, sum64 string) (salt, sum []byte, err error) {
	salt, err = base64.StdEncoding.Strict().DecodeString(salt64)
	if err != nil || len(salt) == 0 || len(salt) > maxSalt {
		return nil, nil, malformed(format, "a salt of 1 to 64 bytes in base64 is wanted")
	}
	sum, err = base64.StdEncoding.Strict().DecodeString(sum64)
	if err != nil || len(sum) != sha512.Size {
		return nil, nil, malformed(format, "a hash of 64 bytes in base64 is wanted (that of crypt(3) is another format)")
	}
	return salt, sum, nil
}

// argonParams are the fields of $argon2id$v=19$m=…,t=…,p=…$salt$hash, as the reference
// implementation writes them (encoding.c of P-H-C/phc-winner-argon2).
type argonParams struct {
	memory, passes, threads int
	salt, sum               []byte
}

func verifyArgon2id(password, hash string) (bool, error) {
	a, err := parseArgon2id(hash)
	if err != nil {
		return false, err
	}
	argonMemory.take(a.memory)
	defer argonMemory.give(a.memory)
	got := argon2.IDKey([]byte(password), a.salt, uint32(a.passes), uint32(a.memory), uint8(a.threads), uint32(len(a.sum)))
	return subtle.ConstantTimeCompare(got, a.sum) == 1, nil
}

func parseArgon2id(hash string) (a argonParams, err error) {
	parts := strings.Split(hash, "$") // "", "argon2id", v=19, m=…,t=…,p=…, salt, hash
	if len(parts) != 6 || parts[2] != "v=19" {
		return a, malformed("argon2id", "$argon2id$v=19$m=…,t=…,p=…$salt$hash is wanted")
	}
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return a, malformed("argon2id", "m=…,t=…,p=… is wanted")
	}
	// RFC 9106 section 3.1: memory is at least 8 KiB per thread, one pass, one thread.
	if a.threads, err = field(costs[2], "p=", 1, maxArgonThreads); err != nil {
		return a, err
	}
	if a.memory, err = field(costs[0], "m=", 8*a.threads, maxArgonMemory); err != nil {
		return a, err
	}
	if a.passes, err = field(costs[1], "t=", 1, maxArgonWork/a.memory); err != nil {
		return a, err
	}
	// Salt of 8 bytes and hash of 12 are the least the reference takes.
	a.salt, err = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	if err != nil || len(a.salt) < 8 || len(a.salt) > maxSalt {
		return a, malformed("argon2id", "a salt of 8 to 64 bytes in base64 without padding is wanted")
	}
	a.sum, err = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err != nil || len(a.sum) < 12 || len(a.sum) > 128 {
		return a, malformed("argon2id", "a hash of 12 to 128 bytes in base64 without padding is wanted")
	}
	return a, nil
}

func field(s, name string, low, high int) (int, error) {
	digits, ok := strings.CutPrefix(s, name)
	if !ok {
		return 0, malformed("argon2id", name+"… is missing")
	}
	n, err := number(digits, low, high)
	if err != nil {
		return 0, malformed("argon2id", name+"… is "+err.Error())
	}
	return n, nil
}

// number reads decimal digits without sign or leading zero.
func number(s string, low, high int) (int, error) {
	n, err := strconv.Atoi(s)
	switch {
	case err != nil || strconv.Itoa(n) != s:
		return 0, errors.New("not a number")
	case n < low || n > high:
		return 0, fmt.Errorf("%d, %d to %d is allowed", n, low, high)
	}
	return n, nil
}

func malformed(format, why string) error {
	return fmt.Errorf("crypto: a malformed %s hash: %s", format, why)
}

// argonMemory shares maxArgonMemory among the argon2id calls that run: a thousand clients that
// log in at once would otherwise take 64 GiB.
var argonMemory = newMemoryShare(maxArgonMemory)

// memoryShare is a counting semaphore over KiB.
type memoryShare struct {
	mu   sync.Mutex
	cond *sync.Cond
	free int // guarded by mu
}

func newMemoryShare(kib int) *memoryShare {
	m := &memoryShare{free: kib}
	m.cond = sync.NewCond(&m.mu)
	return m
}

// take waits until kib, at most the whole, are free.
func (m *memoryShare) take(kib int) {
	m.mu.Lock()
	for m.free < kib {
		m.cond.Wait()
	}
	m.free -= kib
	m.mu.Unlock()
}

func (m *memoryShare) give(kib int) {
	m.mu.Lock()
	m.free += kib
	m.mu.Unlock()
	m.cond.Broadcast()
}
