package lib

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// MaxJWT is the longest token, in bytes: an MQTT password, user name or authentication data has
	// at most as many (MQTT 5.0 sections 1.5.4 and 1.5.6).
	MaxJWT = math.MaxUint16
	// MaxJWTKey is the longest key or set, in bytes. A set of a dozen RSA keys with certificates
	// has 40 KiB.
	MaxJWTKey = 256 << 10
	// JWTLeeway is how far the clocks of who signed and of the broker may be apart; RFC 7519
	// section 4.1.4: "usually no more than a few minutes".
	JWTLeeway = 30 * time.Second
)

// JWTVerify checks the signature and the times of a JSON Web Token (RFC 7519) in the compact form
// and returns its claims, the JSON of an object as it was signed. keyOrSet decides what is accepted:
//
//   - a PEM block: a public key or a certificate (whose dates and issuer are not looked at);
//   - JSON: a JWK or a JWK set (RFC 7517), where the token's kid selects the key;
//   - anything else: the secret of HS256, HS384 and HS512, as it is. RFC 7518 section 3.2 asks for
//     32, 48 or 64 bytes; a shorter one can be guessed from a token, but is accepted.
//
// RSA keys (2048 to 8192 bits) verify RS256 to RS512 and PS256 to PS512, P-256 ES256, P-384 ES384,
// P-521 ES512, Ed25519 EdDSA. The key says which algorithms there are, never the token alone: no
// public key verifies an HS token, "none" is refused, and so are tokens with crit (RFC 7515 section
// 4.1.11). exp, nbf and iat are checked where they are there, with JWTLeeway; iss, aud and whether
// exp is there at all are for the caller to judge.
//
// Errors say what is wrong and begin with "jwt: ". The work is a parsing of both arguments and one
// signature: 20 µs for HMAC, 40 µs for RSA-2048, 90 µs for P-256 and
// Ed25519, 5 ms for P-521 (BenchmarkJWT).
func JWTVerify(token, keyOrSet string, now time.Time) (claims string, err error) {
	if claims, err = verifyJWT(token, keyOrSet, now); err != nil {
		return "", fmt.Errorf("jwt: %w", err)
	}
	return claims, nil
}

func verifyJWT(token, keyOrSet string, now time.Time) (string, error) {
	if err := checkCompact(token); err != nil {
		return "", err
	}
	keys, err := parseKeys(keyOrSet)
	if err != nil {
		return "", err
	}
	parser := jwt.NewParser(jwt.WithoutClaimsValidation(), jwt.WithStrictDecoding())
	claims := jwt.MapClaims{}
	t, parts, err := parser.ParseUnverified(token, claims)
	if err != nil && (t == nil || t.Header["alg"] == nil || errors.Is(err, jwt.ErrTokenMalformed)) {
		return "", malformedToken(err)
	}
	key, keyErr := keyFor(t.Header, keys)
	if keyErr != nil {
		return "", keyErr
	}
	if err != nil {
		return "", malformedToken(err)
	}
	signed := token[:len(parts[0])+1+len(parts[1])]
	if t.Method.Verify(signed, t.Signature, key) != nil {
		return "", fmt.Errorf("the %s signature is not that of the key", t.Method.Alg())
	}
	if err := checkTimes(claims, now); err != nil {
		return "", err
	}
	payload, err := parser.DecodeSegment(parts[1])
	if err != nil || bytes.Equal(bytes.TrimSpace(payload), []byte("null")) { // which encoding/json takes for a map
		return "", errClaims
	}
	return string(payload), nil
}

// checkCompact refuses what is no compact form (RFC 7515 section 7.1): three parts of base64url
// without padding. encoding/base64 would skip line breaks.
func checkCompact(token string) error {
	switch {
	case len(token) > MaxJWT:
		return fmt.Errorf("a token of %d bytes, at most %d are read", len(token), MaxJWT)
	case strings.Count(token, ".") != 2:
		return errors.New("not a token of three parts with points between them")
	case strings.ContainsFunc(token, isNoCompact):
		return errors.New("a token with a character that is not base64url")
	}
	return nil
}

// isNoCompact says whether a character is none of base64url and no point.
func isNoCompact(r rune) bool {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return r != '.' && !strings.ContainsRune(alphabet, r)
}

var errClaims = errors.New("the token's claims are not a JSON object in base64url")

func malformedToken(err error) error {
	switch text := err.Error(); {
	case strings.Contains(text, "header"):
		return errors.New("the token's header is not a JSON object in base64url")
	case strings.Contains(text, "claim"):
		return errClaims
	case strings.Contains(text, "signature"):
		return errors.New("the token's signature is not base64url")
	}
	return errors.New("the token's header has no alg")
}

// keyFor returns the key that verifies a token with this header, as its algorithm wants it.
func keyFor(header map[string]any, keys *jwtKeys) (any, error) {
	if _, ok := header["crit"]; ok { // RFC 7515 section 4.1.11: nothing critical is understood
		return nil, errors.New("the token has critical header parameters (crit)")
	}
	alg, ok := header["alg"].(string)
	if !ok {
		return nil, errors.New("the token's alg is not a string")
	}
	if algorithms[alg] == "" {
		return nil, fmt.Errorf("the algorithm %q is not accepted", clip(alg, maxKeyShown))
	}
	kid, hasKid := header["kid"].(string)
	if header["kid"] != nil && !hasKid {
		return nil, errors.New("the token's kid is not a string") // RFC 7515 section 4.1.4
	}
	key, err := keys.pick(alg, kid, hasKid)
	if err != nil {
		return nil, err
	}
	return key.public()
}

// checkTimes judges exp, nbf and iat, RFC 7519 sections 4.1.4 to 4.1.6: exp excludes its instant.
func checkTimes(claims jwt.MapClaims, now time.Time) error {
	at, leeway := seconds(now), JWTLeeway.Seconds()
	for _, c := range []struct {
		name, fault string
		isWrong     func(t float64) bool
	}{
		{"exp", "expired at", func(t float64) bool { return at >= t+leeway }},
		{"nbf", "is not valid before", func(t float64) bool { return at < t-leeway }},
		{"iat", "was issued in the future, at", func(t float64) bool { return at < t-leeway }},
	} {
		v, ok := claims[c.name]
		if !ok {
			continue
		}
		t, ok := v.(float64)
		if !ok {
			return fmt.Errorf("the claim %s is not a number", c.name)
		}
		if c.isWrong(t) {
			return fmt.Errorf("the token %s %s; now it is %s", c.fault, instant(t), instant(at))
		}
	}
	return nil
}

func instant(t float64) string {
	s, err := Format(t, "", "")
	if err != nil {
		return fmt.Sprint(t)
	}
	return s
}
