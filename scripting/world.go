package scripting

import (
	"hash/maphash"
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
	w.World = sandbox.NewWorld(sandbox.Limits{Budget: o.Budget, Deadline: o.Deadline, Print: w.print})
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

// enter locks a world for one handler of an event: the one that its last
// handler had, the only one, the client's own if it is free, or any that is.
// When it has to wait, what the connection wrote goes out first.
func (g *generation) enter(w *world, turn *core.Turn, kind eventType, ev any) *world {
	if w == nil {
		first := 0
		if len(g.worlds) > 1 {
			first = homeOf(kind.clientOf(ev), len(g.worlds))
		}
		for i := range g.worlds {
			if w := g.worlds[(first+i)%len(g.worlds)]; w.TryLock() {
				return w
			}
		}
		w = g.worlds[first]
	} else if w.TryLock() {
		return w
	}
	turn.BeforeWait()
	w.Lock()
	return w
}

// leave ends a call and unlocks its world.
func (w *world) leave(c *call) {
	w.end(c)
	w.Unlock()
}

// module is what require(name) loads: lib/name.lua, a dot for each folder.
func (g *generation) module(name string) (*sandbox.Chunk, error) {
	return g.set.module(g.chunks, name)
}

var seed = maphash.MakeSeed()

// homeOf is the world that a client's events go to when it is free.
func homeOf(client *core.Client, worlds int) int {
	if client == nil {
		return 0
	}
	return int(maphash.String(seed, client.ID) % uint64(worlds))
}
