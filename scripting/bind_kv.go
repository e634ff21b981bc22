package scripting

import (
	"errors"
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"

	"lunamq/scripting/lib"
	"lunamq/scripting/sandbox"
)

// kvCost is what a call of kv costs in instructions (some 200 ns), beside the
// bytes it moves.
const kvCost = 10

// Bucket is a name space of kv: lib.Bucket, or a durable one.
type Bucket interface {
	Get(key string) (value any, ok bool)
	Set(key string, value any, ttl time.Duration) error
	Add(key string, value any, ttl time.Duration) (added bool, err error)
	Incr(key string, by float64, ttl time.Duration) (sum float64, err error)
	Delete(key string) bool
	Keys(prefix string, limit int) []string
}

// KVStore gives the buckets that outlive the process. Buckets of one name are
// the same bucket; values are strings, float64 and booleans. A bucket's methods
// may be called from any goroutine, and do not wait.
type KVStore interface {
	Bucket(name string) Bucket
}

// kvArgs are the arguments of one call of kv.name(…) or bucket:name(…).
type kvArgs struct {
	L      *lua.LState
	bucket Bucket
	call   string // for error texts
	skip   int    // 1 where the bucket is the first argument
}

func (a *kvArgs) at(n int) lua.LValue { return a.L.Get(n + a.skip) }

func (a *kvArgs) fail(err error) {
	a.L.RaiseError("%s: %v", a.call, err)
}

// key is argument 1.
func (a *kvArgs) key() string {
	key := argBytes(a.L, 1+a.skip, a.call, "the key")
	sandbox.Charge(a.L, kvCost+int64(len(key))/64)
	return key
}

// value is argument 2: a string, number or boolean.
func (a *kvArgs) value() any {
	switch x := a.at(2).(type) {
	case lua.LString:
		sandbox.Charge(a.L, int64(len(x))/64)
		return string(x)
	case lua.LNumber:
		return float64(x)
	case lua.LBool:
		return bool(x)
	}
	if a.at(2) == lua.LNil {
		a.fail(errors.New("the value is nil: write delete(key)"))
	}
	a.fail(fmt.Errorf("the value must be a string, a number or a boolean, not %s (json.encode makes a string of a table)", describe(a.at(2))))
	return nil
}

// ttl is argument 3: seconds, or nil for none.
func (a *kvArgs) ttl() time.Duration {
	if a.at(3) == lua.LNil {
		return 0
	}
	d, ok := duration(argNumber(a.L, 3+a.skip, a.call, "ttl"))
	if !ok {
		a.fail(fmt.Errorf("ttl must be a number of seconds above 0, not %s", describe(a.at(3))))
	}
	return d
}

// writes refuses calls that change something while a file loads.
func (a *kvArgs) writes() { inHandler(a.L, a.call) }

func (a *kvArgs) none(n int) { argNone(a.L, n+a.skip, a.call) }

// kvOperations are the calls of kv and of each bucket.
var kvOperations = map[string]func(*kvArgs) int{
	"get": func(a *kvArgs) int {
		a.none(1)
		v, _ := a.bucket.Get(a.key())
		if s, ok := v.(string); ok {
			sandbox.Charge(a.L, int64(len(s))/64)
		}
		a.L.Push(fromVar(v))
		return 1
	},
	"set": func(a *kvArgs) int {
		a.writes()
		a.none(3)
		if err := a.bucket.Set(a.key(), a.value(), a.ttl()); err != nil {
			a.fail(err)
		}
		return 0
	},
	"add": func(a *kvArgs) int {
		a.writes()
		a.none(3)
		added, err := a.bucket.Add(a.key(), a.value(), a.ttl())
		if err != nil {
			a.fail(err)
		}
		a.L.Push(boolean(added))
		return 1
	},
	"incr": func(a *kvArgs) int {
		a.writes()
		a.none(3)
		key, by := a.key(), 1.0
		if a.at(2) != lua.LNil {
			by = argNumber(a.L, 2+a.skip, a.call, "the step")
		}
		sum, err := a.bucket.Incr(key, by, a.ttl())
		if err != nil {
			a.fail(err)
		}
		a.L.Push(lua.LNumber(sum))
		return 1
	},
	"delete": func(a *kvArgs) int {
		a.writes()
		a.none(1)
		a.L.Push(boolean(a.bucket.Delete(a.key())))
		return 1
	},
	"keys": func(a *kvArgs) int {
		a.none(2)
		prefix, limit := "", float64(lib.MaxKVListed)
		if a.at(1) != lua.LNil {
			prefix = argBytes(a.L, 1+a.skip, a.call, "the prefix")
		}
		if a.at(2) != lua.LNil {
			var err error
			if limit, err = toInteger(a.at(2), 1, lib.MaxKVListed); err != nil {
				a.fail(fmt.Errorf("the limit %w", err))
			}
		}
		keys := a.bucket.Keys(prefix, int(limit))
		sandbox.Charge(a.L, kvCost+int64(len(keys)))
		out := newTable()
		for _, k := range keys {
			out.Append(lua.LString(k))
		}
		a.L.Push(out)
		return 1
	},
}

// kvCalls are the functions of the table kv: those of the default bucket, and bucket.
func (w *world) kvCalls() map[string]lua.LGFunction {
	kv := w.generation.engine.kv
	plain := kv.Bucket("")
	calls := map[string]lua.LGFunction{"bucket": w.kvBucket}
	for name, op := range kvOperations {
		calls[name] = func(L *lua.LState) int {
			return op(&kvArgs{L: L, bucket: plain, call: "kv." + name})
		}
	}
	return calls
}

// kvBucket is kv.bucket(name [, options]).
func (w *world) kvBucket(L *lua.LState) int {
	argNone(L, 2, "kv.bucket")
	name := argBytes(L, 1, "kv.bucket", "the name")
	if len(name) == 0 || len(name) > lib.MaxKVKey {
		L.RaiseError("kv.bucket: the name has %d bytes, want 1 to %d", len(name), lib.MaxKVKey)
	}
	durable := false
	if t, ok := L.Get(2).(*lua.LTable); ok {
		from, err := stringKeys(t, []string{"durable"})
		if err != nil {
			L.RaiseError("kv.bucket: the table %v", err)
		}
		durable = flag(L, from, "kv.bucket", "durable")
	} else if L.Get(2) != lua.LNil {
		L.RaiseError("kv.bucket: the options must be a table, not %s", describe(L.Get(2)))
	}
	L.Push(&lua.LUserData{Value: w.generation.engine.bucket(name, durable), Metatable: w.bucketMeta})
	return 1
}

// bucket is a bucket of kv. A durable one is another than the one in memory of
// the same name; without a store for it, it is that one, and forgotten with the
// process.
func (e *Engine) bucket(name string, durable bool) Bucket {
	if durable && e.options.Durable != nil {
		return e.options.Durable.Bucket(name)
	}
	return e.kv.Bucket(name)
}

// bucketMethods are the calls of a bucket, written with a colon.
var bucketMethods = func() map[string]lua.LGFunction {
	methods := make(map[string]lua.LGFunction)
	for name, op := range kvOperations {
		methods[name] = func(L *lua.LState) int {
			if ud, ok := L.Get(1).(*lua.LUserData); ok {
				if b, ok := ud.Value.(Bucket); ok {
					return op(&kvArgs{L: L, bucket: b, call: "bucket:" + name, skip: 1})
				}
			}
			L.RaiseError("bucket.%s: call it with a colon, bucket:%s(…)", name, name)
			return 0
		}
	}
	return methods
}()
