package lib

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// algorithms maps alg to the keys that verify it: RFC 7518 section 3.1 without none, RFC 8037
// section 3.1. An EC algorithm goes with one curve (RFC 7518 section 3.4).
var algorithms = map[string]string{
	"HS256": "secret", "HS384": "secret", "HS512": "secret",
	"RS256": "RSA", "RS384": "RSA", "RS512": "RSA", "PS256": "RSA", "PS384": "RSA", "PS512": "RSA",
	"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519",
}

// RFC 7518 section 3.3 asks for 2048 bits or more; crypto/tls draws the upper line where we do.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

var curves = map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}

// jwtKeys are the keys that a script gave, as far as the choice among them needs them.
type jwtKeys struct {
	isSet bool
	keys  []*jwtKey
}

// jwtKey is one key: parsed, or still a JWK.
type jwtKey struct {
	kind   string // as in algorithms
	parsed any
	jwk    *jwk
}

// jwk has the members that count here (RFC 7517 section 4, RFC 7518 section 6, RFC 8037 section 2).
type jwk struct {
	KeyType    string   `json:"kty"`
	Curve      string   `json:"crv"`
	ID         *string  `json:"kid"`
	Algorithm  string   `json:"alg"`
	Use        string   `json:"use"`
	Operations []string `json:"key_ops"`
	N          string   `json:"n"`
	E          string   `json:"e"`
	X          string   `json:"x"`
	Y          string   `json:"y"`
}

// parseKeys tells secrets from public keys. What looks like a public key in any way is never a
// secret: who knows it, which is everybody, could sign with it (RFC 8725 section 2.1).
func parseKeys(s string) (*jwtKeys, error) {
	trimmed := strings.TrimSpace(s)
	switch {
	case trimmed == "":
		return nil, errors.New("the key is empty")
	case len(s) > MaxJWTKey:
		return nil, fmt.Errorf("a key of %d bytes, at most %d are read", len(s), MaxJWTKey)
	case strings.Contains(s, "-----BEGIN"):
		return parsePEM(trimmed)
	case trimmed[0] == '{':
		return parseJWKs(trimmed)
	case isPublic(s), isPublic(trimmed): // the last byte of DER may be one of white space
		return nil, errors.New("the key is a public key without its PEM lines, which cannot be a secret")
	}
	return &jwtKeys{keys: []*jwtKey{{kind: "secret", parsed: []byte(s)}}}, nil
}

// isPublic recognises public keys and certificates as DER, as base64 of it, and those of SSH.
func isPublic(s string) bool {
	for _, prefix := range []string{"ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"} {
		if strings.HasPrefix(s, prefix) {
			return true
		}
	}
	if isPublicDER([]byte(s)) {
		return true
	}
	der, err := Unbase64(strings.Join(strings.Fields(s), ""))
	return err == nil && isPublicDER([]byte(der))
}

func isPublicDER(der []byte) bool {
	if len(der) == 0 || der[0] != 0x30 { // a sequence
		return false
	}
	if _, err := x509.ParsePKIXPublicKey(der); err == nil {
		return true
	}
	if _, err := x509.ParsePKCS1PublicKey(der); err == nil {
		return true
	}
	_, err := x509.ParseCertificate(der)
	return err == nil
}

// parsePEM reads one public key, or a certificate that its chain may follow.
func parsePEM(s string) (*jwtKeys, error) {
	block, rest := pem.Decode([]byte(s))
	if block == nil {
		return nil, errors.New("the key is malformed PEM")
	}
	if block.Type != "CERTIFICATE" && len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("there is more after the PEM key; several keys make a JWK set")
	}
	parsed, err := publicOf(block)
	if err != nil {
		return nil, err
	}
	kind, err := kindOfKey(parsed)
	if err != nil {
		return nil, err
	}
	return &jwtKeys{keys: []*jwtKey{{kind: kind, parsed: parsed}}}, nil
}

func publicOf(block *pem.Block) (parsed any, err error) {
	switch block.Type {
	case "PUBLIC KEY":
		parsed, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		parsed, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var c *x509.Certificate
		if c, err = x509.ParseCertificate(block.Bytes); err == nil {
			parsed = c.PublicKey
		}
	default:
		return nil, fmt.Errorf("a PEM block %q; a PUBLIC KEY or a CERTIFICATE verifies", clip(block.Type, maxKeyShown))
	}
	if err != nil {
		return nil, fmt.Errorf("the PEM key: %w", err)
	}
	return parsed, nil
}

// kindOfKey names a public key as in algorithms, if it is one that may be used.
func kindOfKey(key any) (string, error) {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return "", fmt.Errorf("an RSA key of %d bits; %d to %d are accepted", bits, minRSABits, maxRSABits)
		}
		return "RSA", nil
	case *ecdsa.PublicKey:
		if name := k.Curve.Params().Name; curves[name] != nil {
			return name, nil
		}
	case ed25519.PublicKey:
		return "Ed25519", nil
	}
	return "", errors.New("the key is not RSA, P-256, P-384, P-521 or Ed25519")
}

// parseJWKs reads a JWK, or a set. Keys of a set are parsed when they are picked: others may be of
// kinds that are not known here (RFC 7517 section 5).
func parseJWKs(s string) (*jwtKeys, error) {
	var either struct {
		jwk
		Keys *[]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal([]byte(s), &either); err != nil {
		return nil, fmt.Errorf("the key begins like a JWK, but: %w", err)
	}
	if either.Keys == nil {
		return &jwtKeys{keys: []*jwtKey{either.jwk.key()}}, nil
	}
	set := &jwtKeys{isSet: true}
	for _, raw := range *either.Keys {
		var k jwk
		if json.Unmarshal(raw, &k) == nil { // one malformed key does not spoil the others
			set.keys = append(set.keys, k.key())
		}
	}
	return set, nil
}

func (k *jwk) key() *jwtKey {
	kind := k.KeyType
	switch kind {
	case "EC", "OKP":
		kind = k.Curve
	case "RSA":
	default: // oct too: secrets are given as they are
		kind = fmt.Sprintf("a JWK %q", clip(kind, maxKeyShown))
	}
	return &jwtKey{kind: kind, jwk: k}
}

// pick returns the one key that the algorithm and the kid of a token select.
func (ks *jwtKeys) pick(alg, kid string, hasKid bool) (*jwtKey, error) {
	if len(ks.keys) == 0 {
		return nil, errors.New("the set has no keys")
	}
	var picked *jwtKey
	unfit := fmt.Errorf("no key has the token's kid %q", clip(kid, maxKeyShown))
	for _, k := range ks.keys {
		if hasKid && !k.isNamed(kid, ks.isSet) {
			continue
		}
		switch err := k.checkFits(alg); {
		case err != nil:
			unfit = err
		case picked != nil:
			return nil, fmt.Errorf("several keys fit %s and the token's kid does not select one", alg)
		default:
			picked = k
		}
	}
	if picked == nil {
		return nil, unfit
	}
	return picked, nil
}

// isNamed says whether a token's kid selects the key. A single key without a kid serves all tokens.
func (k *jwtKey) isNamed(kid string, inSet bool) bool {
	if k.jwk == nil || k.jwk.ID == nil {
		return !inSet
	}
	return *k.jwk.ID == kid
}

// checkFits refuses keys of another kind, and JWKs that are not for this algorithm or not for
// signatures (RFC 7517 sections 4.2 to 4.4).
func (k *jwtKey) checkFits(alg string) error {
	if want := algorithms[alg]; k.kind != want {
		return fmt.Errorf("%s takes a key of kind %s, this one is %s", alg, want, k.kind)
	}
	if k.jwk == nil {
		return nil
	}
	switch {
	case k.jwk.Algorithm != "" && k.jwk.Algorithm != alg:
		return fmt.Errorf("the key is for %s, the token has %s", clip(k.jwk.Algorithm, maxKeyShown), alg)
	case k.jwk.Use != "" && k.jwk.Use != "sig":
		return fmt.Errorf("the key is for use %q, not for signatures", clip(k.jwk.Use, maxKeyShown))
	case len(k.jwk.Operations) > 0 && !slices.Contains(k.jwk.Operations, "verify"):
		return errors.New("the key's key_ops do not have verify")
	}
	return nil
}

// public returns the key as golang-jwt wants it.
func (k *jwtKey) public() (any, error) {
	if k.parsed != nil {
		return k.parsed, nil
	}
	var key any
	var err error
	switch k.kind {
	case "RSA":
		key, err = k.jwk.rsa()
	case "Ed25519":
		key, err = k.jwk.ed25519()
	default:
		key, err = k.jwk.ecdsa()
	}
	if err != nil {
		return nil, fmt.Errorf("the JWK: %w", err)
	}
	_, err = kindOfKey(key)
	return key, err
}

// rsa reads n and e, RFC 7518 section 6.3.1.
func (k *jwk) rsa() (any, error) {
	n, errN := k.bytes("n", k.N, 0)
	e, errE := k.bytes("e", k.E, 0)
	if err := errors.Join(errN, errE); err != nil {
		return nil, err
	}
	exponent := new(big.Int).SetBytes(e)
	if exponent.BitLen() > 31 || exponent.Int64() < 3 || exponent.Bit(0) == 0 {
		return nil, errors.New("e is not an odd number from 3 to 2^31-1") // as crypto/rsa has it
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, nil
}

// ecdsa reads x and y, RFC 7518 section 6.2.1: each as long as the curve's field.
func (k *jwk) ecdsa() (any, error) {
	curve := curves[k.Curve]
	size := (curve.Params().BitSize + 7) / 8
	x, errX := k.bytes("x", k.X, size)
	y, errY := k.bytes("y", k.Y, size)
	if err := errors.Join(errX, errY); err != nil {
		return nil, err
	}
	return ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
}

// ed25519 reads x, RFC 8037 section 2.
func (k *jwk) ed25519() (any, error) {
	x, err := k.bytes("x", k.X, ed25519.PublicKeySize)
	return ed25519.PublicKey(x), err
}

// bytes decodes a member of base64url without padding, of so many bytes if size is not 0.
func (k *jwk) bytes(name, s string, size int) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) == 0 || strings.ContainsAny(s, "\r\n") {
		return nil, fmt.Errorf("%s is missing or not base64url", name)
	}
	if size != 0 && len(b) != size {
		return nil, fmt.Errorf("%s has %d bytes, not %d", name, len(b), size)
	}
	return b, nil
}
