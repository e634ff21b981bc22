package scripting

import (
	goflag "flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lunamq/scripting/sandbox"
)

var update = goflag.Bool("update", false, "write REFERENCE.md anew")

func TestReferenceIsGenerated(t *testing.T) {
	want := Reference()
	if *update {
		if err := os.WriteFile("REFERENCE.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("REFERENCE.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("go generate ./scripting makes another REFERENCE.md (-generated +file):\n%s", diff)
	}
}

func TestEverythingIsDocumented(t *testing.T) {
	m, err := newManual()
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range m.undocumented() {
		t.Error(what)
	}
	m.libs[0].calls = append(m.libs[0].calls, manualCall{name: "later"})
	if got := m.undocumented(); len(got) != 1 || !strings.Contains(got[0], ".later has no text") {
		t.Errorf("of a function without a text it says %q", got)
	}
}

// The definitions are Lua, and have every function and field.
func TestLuaTypes(t *testing.T) {
	types := LuaTypes()
	if _, err := sandbox.Parse("lunamq.d.lua", []byte(types)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\n---@class lunamq.PublishEvent\n",
		"\n---@field client_id string the client identifier",
		"\n---@field receive_maximum integer? messages of QoS 1 and 2 that the client takes at once; nil for 3.x (read-only)\n",
		"\nfunction kv.set(key, value, ttl) end\n",
		"\n---@param ttl? number\n",
		"\nfunction UserProperties:get(name) end\n",
		`---@overload fun(event: "publish", filter: string, options: lunamq.HandlerOptions, handler: fun(ev: lunamq.PublishEvent): lunamq.Verdict|boolean|nil)`,
		`---@overload fun(event: "connected", handler: fun(ev: lunamq.ConnectedEvent))`,
		"\nmqtt.node = nil\n", "\nfunction expect(x) end\n", "\nfunction try.publish(event) end\n",
		"\n---@return lunamq.PublishResult\n", "\n---@class lunamq.TryPublish\n",
	} {
		if !strings.Contains(types, want) {
			t.Errorf("the definitions lack %q", want)
		}
	}
	if strings.Contains(types, `event: "connected", filter`) {
		t.Error("connected has a filter")
	}
	for class := range shapes() {
		if strings.Count(types, "---@class "+class+"\n") != 1 {
			t.Errorf("class %s is there %d times", class, strings.Count(types, "---@class "+class+"\n"))
		}
	}
}
