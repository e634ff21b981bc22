package scripting

import (
	"sync/atomic"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/scripting/sandbox"
)

// world is one Lua state of a generation, with the functions of its handlers
// and what is lent to them. Guarded by the sandbox.World's lock, but for what
// does not change after loading.
type world struct {
	*sandbox.World
	generation *generation
	nr         int // from 0
	functions  []*lua.LFunction
	slabs      []any // of each kind, by its id
	calls      []*call
	names      names
	random     uint32 // of chance

	busy atomic.Int64 // nanoseconds that calls held the world, as far as they were timed

	verdictMeta *lua.LTable
	allow       *lua.LUserData
	limiterMeta *lua.LTable
	bucketMeta  *lua.LTable
	timerMeta   *lua.LTable
	metricMetas [len(metricMethods)]*lua.LTable

	metrics []*metric // of the file scope, until the set takes over

	loading *loading // nil once loaded
}

// loading is what is known only while the files of a world load.
type loading struct {
	handlers []*handler
	limiters map[string]int // made so far, by file
	timers   []pendingTimer // made in the first world
}

func (g *generation) newWorld(nr int) *world {
	w := &world{generation: g, nr: nr, random: uint32(nr) + 1, loading: &loading{limiters: make(map[string]int)}}
	o := &g.engine.options
	w.World = sandbox.NewWorld(sandbox.Limits{Budget: o.Budget, Deadline: o.Deadline, WaitLimit: o.WaitLimit, Print: w.print, Now: o.Now})
	for _, k := range kinds {
		w.slabs = append(w.slabs, k.bind())
	}
	w.verdictMeta = protectedMeta("verdict", nil)
	w.limiterMeta = protectedMeta("limiter", limiterMethods)
	w.bucketMeta = protectedMeta("bucket", bucketMethods)
	w.timerMeta = protectedMeta("timer", timerMethods)
	for kind, methods := range metricMethods {
		w.metricMetas[kind] = protectedMeta(core.MetricKind(kind).String(), methods)
	}
	w.allow = w.verdict(core.Decision{Verdict: core.Allow})
	w.SetLoader(g.module)
	w.openMQTT()
	w.openLibs()
	return w
}

// openMQTT makes the table mqtt.
func (w *world) openMQTT() {
	o := &w.generation.engine.options
	w.Register("mqtt", w.verdictCalls())
	w.Register("mqtt", map[string]lua.LGFunction{
		"on":      w.on,
		"publish": mqttPublish,
		"kick":    mqttKick,
		"match":   mqttMatch,
	})
	w.Register("mqtt", w.packetVerdicts())
	w.Register("mqtt", w.timerCalls())
	w.Register("mqtt", clientCalls)
	w.Register("mqtt", retainedCalls)
	w.SetConst("mqtt", "node", lua.LString(o.Node))
	w.SetConst("mqtt", "version", lua.LString(o.Version))
	w.SetConst("mqtt", "generation", lua.LNumber(w.generation.number))
}

// protectedMeta is the metatable of userdata that a script cannot look into.
func protectedMeta(name string, methods map[string]lua.LGFunction) *lua.LTable {
	meta, table := newTable(), newTable()
	var names []string
	for n, m := range methods {
		table.RawSetString(n, newFunction(m))
		names = append(names, n)
	}
	meta.RawSetString("__metatable", lua.LString("protected"))
	meta.RawSetString("__index", newFunction(func(L *lua.LState) int {
		m := table.RawGet(L.Get(2))
		if m == lua.LNil {
			key := L.Get(2).String()
			L.RaiseError("%s has no field %q%s", name, clip(key), meant(key, names))
		}
		L.Push(m)
		return 1
	}))
	meta.RawSetString("__newindex", newFunction(func(L *lua.LState) int {
		L.RaiseError("%s is read-only", name)
		return 0
	}))
	meta.RawSetString("__tostring", newFunction(func(L *lua.LState) int {
		L.Push(lua.LString(name))
		return 1
	}))
	return meta
}

// module is what require(name) loads: lib/name.lua, a dot for each folder.
func (g *generation) module(name string) (*sandbox.Chunk, error) {
	return g.set.module(g.chunks, name)
}
