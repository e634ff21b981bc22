package scripting

import (
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"lunamq/core"
)

func TestJWTVerify(t *testing.T) {
	const secret = "a secret of thirty-two bytes ..."
	sign := func(claims jwt.MapClaims, key string) string {
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(key))
		must(t, err)
		return token
	}
	r := rules(t, `mqtt.on("publish", function(m)
		local claims, why = crypto.jwt_verify(m.payload, "`+secret+`")
		if claims then assert(why == nil and claims.sub == "gw-7" and claims.roles[1] == "writer") return true end
		assert(why:find("^jwt: "), why)
		return mqtt.deny("not_authorized", why)
	end)`)
	const now = 1_700_000_000 // the rig's clock
	for name, c := range map[string]struct {
		token string
		want  core.Verdict
	}{
		"good":          {sign(jwt.MapClaims{"sub": "gw-7", "roles": []string{"writer"}, "exp": now + 60}, secret), core.Allow},
		"expired":       {sign(jwt.MapClaims{"sub": "gw-7", "exp": now - 60}, secret), core.Deny},
		"another's key": {sign(jwt.MapClaims{"sub": "gw-7"}, "another secret of thirty-two byte"), core.Deny},
		"garbage":       {"a.b.c", core.Deny},
		"nothing":       {"", core.Deny},
	} {
		if d, _ := r.publish("a", c.token); d.Verdict != c.want {
			t.Errorf("%s: %+v", name, d)
		}
	}
	r.clean()
	for statement, want := range map[string]string{
		`crypto.jwt_verify()`:                           "crypto.jwt_verify: the token must be a string, not nil",
		`crypto.jwt_verify("a")`:                        "crypto.jwt_verify: the key must be a string, not nil",
		`crypto.jwt_verify("a", "b", 1)`:                "takes at most 2 arguments",
		`while true do crypto.jwt_verify("a", "b") end`: "budget",
	} {
		refusal(t, "publish", statement, want)
	}
}
