package lib

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// The examples of RFC 7515 appendices A.1 (HS256), A.2 (RS256) and A.3 (ES256): one set of claims.
const (
	rfcClaims = "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"
	rfcBody   = ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."

	rfcHS256  = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9" + rfcBody + "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	rfcSecret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"

	rfcRS256 = "eyJhbGciOiJSUzI1NiJ9" + rfcBody + "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
	rfcRSA   = `{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}`

	rfcES256 = "eyJhbGciOiJFUzI1NiJ9" + rfcBody + "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
	rfcEC    = `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}`
)

var rfcNow = time.Unix(1300819379, 0)

func secretOf(t testing.TB, s string) string {
	t.Helper()
	b, err := Unbase64(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestJWTOfRFC7515(t *testing.T) {
	for token, key := range map[string]string{rfcHS256: secretOf(t, rfcSecret), rfcRS256: rfcRSA, rfcES256: rfcEC} {
		if got, err := JWTVerify(token, key, rfcNow); got != rfcClaims || err != nil {
			t.Errorf("%.40s: %q, %v", token, got, err)
		}
		for _, other := range []string{secretOf(t, rfcSecret), rfcRSA, rfcEC} {
			if got, err := JWTVerify(token, other, rfcNow); other != key && err == nil {
				t.Errorf("%.40s: another key gives %q", token, got)
			}
		}
	}
}

// signers are one key of each kind.
var signers = sync.OnceValue(func() map[string]crypto.Signer {
	s := make(map[string]crypto.Signer)
	s["RSA"], _ = rsa.GenerateKey(rand.Reader, 2048)
	for name, curve := range curves {
		s[name], _ = ecdsa.GenerateKey(curve, rand.Reader)
	}
	_, s["Ed25519"], _ = ed25519.GenerateKey(rand.Reader)
	return s
})

const testSecret = "a secret that is long enough for every HMAC, 64 bytes in all ...."

func signJWT(t testing.TB, alg string, key any, header, claims map[string]any) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.GetSigningMethod(alg), jwt.MapClaims(claims))
	for k, v := range header {
		token.Header[k] = v
	}
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(alg, err)
	}
	return s
}

func sign(t testing.TB, alg string, header, claims map[string]any) string {
	if kind := algorithms[alg]; kind != "secret" {
		return signJWT(t, alg, signers()[kind], header, claims)
	}
	return signJWT(t, alg, []byte(testSecret), header, claims)
}

func pemOf(t testing.TB, kind string) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(signers()[kind].Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func certificateOf(t testing.TB, kind string) string {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "issuer"}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, signers()[kind].Public(), signers()[kind])
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// jwkOf is the public JWK of a kind with further members.
func jwkOf(t testing.TB, kind string, more map[string]any) string {
	t.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	m := map[string]any{}
	switch k := signers()[kind].Public().(type) {
	case *rsa.PublicKey:
		m["kty"], m["n"], m["e"] = "RSA", b64(k.N.Bytes()), b64(big.NewInt(int64(k.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		half := len(point) / 2
		m["kty"], m["crv"], m["x"], m["y"] = "EC", kind, b64(point[1:1+half]), b64(point[1+half:])
	case ed25519.PublicKey:
		m["kty"], m["crv"], m["x"] = "OKP", kind, b64(k)
	}
	for name, v := range more {
		m[name] = v
	}
	s, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(s)
}

func setOf(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

// Every algorithm with every form of every key: what fits verifies, nothing else does.
func TestJWTAlgorithmsAndKeys(t *testing.T) {
	keys := map[string][]string{"secret": {testSecret}}
	for kind := range signers() {
		keys[kind] = []string{pemOf(t, kind), certificateOf(t, kind) + pemOf(t, kind), jwkOf(t, kind, nil), setOf(jwkOf(t, kind, nil))}
	}
	keys["RSA"] = append(keys["RSA"], string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(signers()["RSA"].Public().(*rsa.PublicKey))})))
	for alg, wanted := range algorithms {
		token := sign(t, alg, nil, map[string]any{"sub": "gw-7"})
		for kind, forms := range keys {
			for _, key := range forms {
				claims, err := JWTVerify(token, key, rfcNow)
				if kind == wanted && (err != nil || claims != `{"sub":"gw-7"}`) {
					t.Errorf("%s with %s %.30q: %q, %v", alg, kind, key, claims, err)
				}
				if kind != wanted {
					wantError(t, err, "jwt: ", alg+" takes a key of kind "+wanted)
				}
			}
		}
	}
}

// RFC 8725 section 2.1: nobody signs HS256 with a public key, in whatever form it is given.
func TestJWTAlgorithmConfusion(t *testing.T) {
	for kind, signer := range signers() {
		der, err := x509.MarshalPKIXPublicKey(signer.Public())
		if err != nil {
			t.Fatal(err)
		}
		key := pemOf(t, kind)
		lines := strings.Split(strings.TrimSpace(key), "\n")
		for _, public := range []string{
			key, "\n  " + key, "x" + key, key[:len(key)/2], certificateOf(t, kind), jwkOf(t, kind, nil), " " + jwkOf(t, kind, nil), setOf(jwkOf(t, kind, nil)),
			string(der), base64.StdEncoding.EncodeToString(der), strings.Join(lines[1:len(lines)-1], "\n"), jwkOf(t, kind, map[string]any{"kty": "oct", "k": "c2VjcmV0"}),
			"ssh-ed25519 AAAA", "ecdsa-sha2-nistp256 AAAA",
		} {
			token := signJWT(t, "HS256", []byte(public), nil, map[string]any{"sub": "admin"})
			if claims, err := JWTVerify(token, public, rfcNow); err == nil {
				t.Errorf("%s as %.40q verifies %s", kind, public, claims)
			}
		}
	}
}

// TestJWTKeyThatEndsInSpace: the last byte of a key in DER may be one of white
// space, and trimming it must not make a secret of the rest.
func TestJWTKeyThatEndsInSpace(t *testing.T) {
	for {
		public, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if public[len(public)-1] != '\n' {
			continue
		}
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			t.Fatal(err)
		}
		token := signJWT(t, "HS256", der, nil, map[string]any{"sub": "admin"})
		if claims, err := JWTVerify(token, string(der), rfcNow); err == nil {
			t.Errorf("a public key verifies %s", claims)
		}
		return
	}
}

func TestJWTNone(t *testing.T) {
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "", "HS1", "ES256K", "hs256"} {
		header, _ := json.Marshal(map[string]string{"alg": alg})
		token := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"admin"}`)) + "."
		for _, key := range []string{testSecret, pemOf(t, "RSA"), jwkOf(t, "P-256", nil), "none"} {
			_, err := JWTVerify(token, key, rfcNow)
			wantError(t, err, "jwt: ", fmt.Sprintf("algorithm %q is not accepted", alg))
		}
	}
}

func TestJWTTimes(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	leeway := JWTLeeway.Seconds()
	tests := []struct {
		claim string
		value any
		want  string
	}{
		{"exp", 1.7e9, ""}, {"exp", 1.7e9 - leeway + 1, ""}, {"exp", 1.7e9 - leeway, "expired at 2023-11-14T22:12:50Z; now it is 2023-11-14T22:13:20Z"}, {"exp", 0, "expired at 1970-01-01"}, {"exp", 1e300, ""}, {"exp", -1e300, "expired at -1e+300"},
		{"nbf", 1.7e9, ""}, {"nbf", 1.7e9 + leeway, ""}, {"nbf", 1.7e9 + leeway + 1, "is not valid before 2023-11-14T22:13:51Z"}, {"nbf", 1e300, "is not valid before 1e+300"}, {"nbf", -1, ""},
		{"iat", 1.7e9 + leeway, ""}, {"iat", 1.7e9 + leeway + 0.5, "was issued in the future"}, {"iat", 0, ""},
		{"exp", "1700000000", "exp is not a number"}, {"nbf", nil, "nbf is not a number"}, {"iat", true, "iat is not a number"}, {"exp", []int{1}, "exp is not a number"},
		{"EXP", 0, ""}, // names are case-sensitive, RFC 7519 section 4
	}
	for _, tt := range tests {
		token := sign(t, "HS256", nil, map[string]any{tt.claim: tt.value})
		claims, err := JWTVerify(token, testSecret, now)
		if tt.want != "" {
			wantError(t, err, "jwt: ", tt.want)
		} else if err != nil || claims == "" {
			t.Errorf("%s %v: %v", tt.claim, tt.value, err)
		}
	}
}

func TestJWTSetByKid(t *testing.T) {
	named := func(kind, kid string) string { return jwkOf(t, kind, map[string]any{"kid": kid}) }
	other := strings.Replace(rfcRSA, "{", `{"kid":"old",`, 1)
	set := setOf(other, named("RSA", "new"), named("P-256", "new"), `{"kty":"unheard-of","kid":"x"}`, `"no object"`, `{"kty":7}`)
	tests := []struct {
		alg, kid, key, want string
	}{
		{"RS256", "new", set, ""}, {"PS512", "new", set, ""}, {"ES256", "new", set, ""}, {"ES256", "", set, ""},
		{"RS256", "old", set, "signature is not that of the key"},
		{"RS256", "gone", set, `no key has the token's kid "gone"`},
		{"RS256", "", set, "several keys fit RS256"},
		{"ES384", "new", set, "ES384 takes a key of kind P-384"},
		{"RS256", "x", set, `this one is a JWK "unheard-of"`},
		{"RS256", "new", setOf(named("RSA", "new"), named("RSA", "new")), "several keys fit"},
		{"RS256", "new", setOf(jwkOf(t, "RSA", nil)), "no key has"}, {"RS256", "", setOf(jwkOf(t, "RSA", nil)), ""}, {"RS256", "", setOf(), "no keys"}, {"RS256", "a", setOf(), "no keys"},
		{"RS256", "new", named("RSA", "new"), ""}, {"RS256", "new", named("RSA", "old"), "no key has"}, {"RS256", "", named("RSA", "old"), ""}, {"RS256", "any", jwkOf(t, "RSA", nil), ""}, {"RS256", "any", pemOf(t, "RSA"), ""}, {"HS256", "any", testSecret, ""},
	}
	for _, tt := range tests {
		header := map[string]any{"kid": tt.kid}
		if tt.kid == "" {
			header = nil
		}
		_, err := JWTVerify(sign(t, tt.alg, header, map[string]any{"a": 1}), tt.key, rfcNow)
		if tt.want != "" {
			wantError(t, err, "jwt: ", tt.want)
		} else if err != nil {
			t.Errorf("%s, kid %q, %.60s: %v", tt.alg, tt.kid, tt.key, err)
		}
	}
}

func TestJWKRestrictions(t *testing.T) {
	tests := []struct {
		kind, alg string
		more      map[string]any
		want      string
	}{
		{"RSA", "RS256", map[string]any{"alg": "RS256", "use": "sig", "key_ops": []string{"verify"}}, ""},
		{"RSA", "PS256", map[string]any{"alg": "RS256"}, "the key is for RS256, the token has PS256"},
		{"RSA", "RS256", map[string]any{"use": "enc"}, `use "enc"`}, {"RSA", "RS256", map[string]any{"key_ops": []string{"encrypt"}}, "key_ops"},
		{"RSA", "RS256", map[string]any{"n": ""}, "n is missing"}, {"RSA", "RS256", map[string]any{"n": "!"}, "n is missing or not base64url"}, {"RSA", "RS256", map[string]any{"e": "Ag"}, "odd number"}, {"RSA", "RS256", map[string]any{"e": "AQ"}, "odd number"}, {"RSA", "RS256", map[string]any{"e": "_____w"}, "2^31-1"},
		{"RSA", "RS256", map[string]any{"n": strings.Repeat("_", 172)}, "RSA key of 1032 bits"}, {"RSA", "RS256", map[string]any{"n": strings.Repeat("_", 1368)}, "RSA key of 8208 bits"},
		{"P-256", "ES256", map[string]any{"x": "AAAA"}, "x has 3 bytes, not 32"}, {"P-256", "ES256", map[string]any{"y": nil}, "y is missing"}, {"P-256", "ES256", map[string]any{"y": base64.RawURLEncoding.EncodeToString(make([]byte, 32))}, "the JWK: "},
		{"P-256", "ES256", map[string]any{"crv": "P-384"}, "kind P-256, this one is P-384"}, {"P-256", "ES256", map[string]any{"crv": "secp256k1"}, "this one is secp256k1"},
		{"Ed25519", "EdDSA", map[string]any{"x": "AAAA"}, "x has 3 bytes, not 32"}, {"Ed25519", "EdDSA", map[string]any{"crv": "Ed448"}, "this one is Ed448"},
	}
	for _, tt := range tests {
		_, err := JWTVerify(sign(t, tt.alg, nil, map[string]any{"a": 1}), jwkOf(t, tt.kind, tt.more), rfcNow)
		if tt.want != "" {
			wantError(t, err, "jwt: ", tt.want)
		} else if err != nil {
			t.Errorf("%s %v: %v", tt.alg, tt.more, err)
		}
	}
}

func TestJWTKeyErrors(t *testing.T) {
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	private, err := x509.MarshalPKCS8PrivateKey(signers()["P-256"])
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	small, err := x509.MarshalPKIXPublicKey(p224.Public())
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"": "empty", " \n": "empty", strings.Repeat("k", MaxJWTKey+1): "a key of 262145 bytes",
		"-----BEGIN PUBLIC KEY-----": "malformed PEM", block("PUBLIC KEY", []byte("no DER")): "the PEM key: ", block("PRIVATE KEY", private): `a PEM block "PRIVATE KEY"`, block("CERTIFICATE", nil): "the PEM key: ",
		block("PUBLIC KEY", small): "the key is not RSA", pemOf(t, "RSA") + pemOf(t, "P-256"): "more after the PEM key",
		"{": "begins like a JWK, but", `{"keys":{}}`: "begins like a JWK, but", `{}`: `this one is a JWK ""`, `{"keys":null}`: `this one is a JWK ""`, "{} {}": "begins like a JWK, but",
	} {
		_, err := JWTVerify(rfcRS256, key, rfcNow)
		wantError(t, err, "jwt: ", want)
	}
}

func TestJWTMalformed(t *testing.T) {
	parts := strings.Split(rfcHS256, ".")
	b64 := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	signed := func(header, claims string) string {
		s := b64(header) + "." + b64(claims)
		mac, err := HMAC("sha256", testSecret, s)
		if err != nil {
			t.Fatal(err)
		}
		return s + "." + b64(mac)
	}
	const hs256 = `{"alg":"HS256"}`
	for token, want := range map[string]string{
		"": "three parts", "a.b": "three parts", rfcHS256 + ".x": "three parts", strings.Repeat(".", 1000): "three parts", strings.Repeat("a", MaxJWT+1): "a token of 65536 bytes",
		rfcHS256 + "=": "not base64url", rfcHS256 + "\n": "not base64url", " " + rfcHS256: "not base64url", "é" + rfcHS256: "not base64url",
		parts[0] + ".." + parts[2]: "claims are not", "." + parts[1] + "." + parts[2]: "header is not", "e30." + parts[1] + ".": "no alg", b64("null") + "." + parts[1] + ".": "no alg", b64("[]") + "." + parts[1] + ".": "header is not",
		parts[0] + "." + parts[1] + ".": "signature is not that", parts[0] + "." + parts[1] + "." + parts[2][:10]: "signature is not", parts[0] + "." + parts[1] + ".x": "signature is not base64url",
		strings.TrimSuffix(rfcHS256, "k") + "l": "signature is not base64url", // the same bytes, bits beyond the last
		signed(`{"alg":1}`, `{}`):               "alg is not a string", signed(`{"alg":"HS256","kid":1}`, `{}`): "kid is not a string", signed(`{"alg":"HS256","crit":["exp"]}`, `{}`): "crit", signed(`{"alg":"HS256","crit":null}`, `{}`): "crit",
		signed(hs256, `null`): "claims are not", signed(hs256, ` null `): "claims are not", signed(hs256, `[]`): "claims are not", signed(hs256, `"x"`): "claims are not", signed(hs256, `{}{}`): "claims are not", signed(hs256, ``): "claims are not", signed(hs256, `{"a":1e999}`): "claims are not",
		signed(`{"alg":"HS512"}`, `{}`): "signature is not that", signed(`{"Alg":"HS256"}`, `{}`): "no alg",
	} {
		_, err := JWTVerify(token, testSecret, rfcNow)
		wantError(t, err, "jwt: ", want)
	}
	const odd = ` { "b": 342161316540874753, "a":"é" , "a":1.10} `
	if got, err := JWTVerify(signed(hs256, odd), testSecret, rfcNow); got != odd || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// One bit changed anywhere in header, claims or signature is noticed.
func TestJWTBitFlips(t *testing.T) {
	key := secretOf(t, rfcSecret)
	for i := range rfcHS256 {
		b := []byte(rfcHS256)
		b[i] ^= 1
		if claims, err := JWTVerify(string(b), key, rfcNow); err == nil {
			t.Errorf("byte %d changed: %q", i, claims)
		}
	}
}

// No token but the one that was signed verifies.
func FuzzJWT(f *testing.F) {
	key := secretOf(f, rfcSecret)
	f.Add(rfcHS256)
	f.Add(rfcRS256)
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		for _, k := range []string{key, rfcRSA, rfcEC} {
			claims, err := JWTVerify(token, k, rfcNow)
			if err == nil && token != rfcHS256 && token != rfcRS256 && token != rfcES256 {
				t.Errorf("%q verifies as %q", token, claims)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "jwt: ") {
				t.Errorf("error %q", err)
			}
		}
	})
}

// What is read as a key verifies nothing that it did not sign; HS tokens are for secrets only.
func FuzzJWTKey(f *testing.F) {
	for _, key := range []string{rfcRSA, rfcEC, setOf(rfcRSA, rfcEC), "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----", "secret", `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		for token, alg := range map[string]string{rfcRS256: "RS256", rfcES256: "ES256"} {
			if claims, err := JWTVerify(token, key, rfcNow); err == nil && claims != rfcClaims {
				t.Errorf("%s: %q", alg, claims)
			}
		}
		keys, err := parseKeys(key)
		if err != nil {
			return
		}
		for _, k := range keys.keys {
			isText := strings.Contains(key, "-----BEGIN") || strings.HasPrefix(strings.TrimSpace(key), "{")
			if fits := k.checkFits("HS256") == nil; fits == isText {
				t.Errorf("%q is a secret: %v", key, fits)
			}
		}
	})
}

func BenchmarkJWT(b *testing.B) {
	for _, alg := range []string{"HS256", "RS256", "ES256", "ES512", "EdDSA"} {
		key := testSecret
		if kind := algorithms[alg]; kind != "secret" {
			key = jwkOf(b, kind, nil)
		}
		token := sign(b, alg, nil, map[string]any{"sub": "gw-7", "exp": 2e9})
		b.Run(alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := JWTVerify(token, key, rfcNow); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
