package scripting

import (
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"lunamq/core"
	"lunamq/scripting/sandbox"
)

func bcryptOf(t *testing.T, cost int) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("x"), cost)
	must(t, err)
	return string(hash)
}

// TestWaitLimit: a call that waits too long ends, whatever pcall it is in, and the
// rules go on.
func TestWaitLimit(t *testing.T) {
	r := rules(t, `mqtt.on("publish", function(m)
		if m.payload == "" then return true end
		while true do pcall(crypto.verify_password, "x", m.payload) end
	end)`, func(o *Options) { o.WaitLimit = time.Millisecond })
	if d, _ := r.publish("a", bcryptOf(t, 12)); d.Verdict != core.Deny {
		t.Errorf("%+v", d)
	}
	r.failedWith("10.lua:3: in publish handler: the call waited for more than 1ms in all")
	if d, _ := r.publish("a", ""); d.Verdict != core.Allow {
		t.Errorf("afterwards: %+v", d)
	}
	if c := r.HandlerCounts()[0]; c.Errors != 1 || c.Overruns != 0 {
		t.Errorf("waiting is no overrun: %+v", c)
	}
}

// TestPasswordsAreCheckedInTurns: a flood of one client's is behind another's.
func TestPasswordsAreCheckedInTurns(t *testing.T) {
	r := rules(t, `local order = {}
		mqtt.on("publish", function(m)
			local ok = crypto.verify_password("x", m.payload)
			order[#order + 1] = m.client.id
			kv.set("order", table.concat(order, " "))
			return ok
		end)`)
	r.desks = r.desks[:1]
	must(t, r.desks[0].Enter(sandbox.Ticket{}))
	hash := bcryptOf(t, 7)
	var events sync.WaitGroup
	for n, client := range strings.Fields("a a a b") {
		events.Go(func() {
			if d := r.onPublish(from(client, hash)); d.Verdict != core.Allow {
				t.Errorf("%+v", d)
			}
		})
		for r.desks[0].Awaited() != n+1 {
			runtime.Gosched()
		}
	}
	r.desks[0].Leave(0, 0)
	events.Wait()
	if order, _ := r.kv.Bucket("").Get("order"); order != "a b a a" {
		t.Errorf("checked in the order %v", order)
	}
	r.clean()
}
