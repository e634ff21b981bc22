package scripting

// What the reference and the definitions for editors say of functions. Which
// functions there are is what is bound in a world; a test holds that each has
// its row and each row its function. Fields of objects are documented where
// they are defined (field.doc).
//
// A signature is "name: type, name?: type -> type, type", the types as LuaLS
// writes them; ? marks what may be left out.

// callDoc is what is said of one function or constant.
type callDoc struct {
	sig  string // of a constant its type alone
	text string
}

// eventDocs say when events come.
var eventDocs = map[string]string{
	"connect":      "A CONNECT was decoded; nothing is registered yet.",
	"connected":    "The CONNACK was sent.",
	"disconnected": "A connection has ended.",
	"publish":      "A message was published: after validation and topic alias, before it is retained, stored and routed. Once for each QoS 0 and QoS 1 PUBLISH and each QoS 2 exchange.",
	"will":         "A will is about to be sent, after its delay. It then goes on to publish, with origin will.",
	"deliver":      "A message leaves the receiver's queue for its connection, also a retained or formerly queued one. Changes are for this receiver alone.",
	"dropped":      "A message was lost on purpose.",
	"subscribe":    "One requested filter, before anything is stored. Handlers run where their filter overlaps the requested one; an allow counts only where it covers it.",
	"unsubscribe":  "One filter that a client leaves. Handlers run where their filter overlaps it.",
	"subscribed":   "A subscription took effect.",
	"unsubscribed": "A subscription has ended by UNSUBSCRIBE.",

	"authenticate":  "One step of an enhanced authentication of MQTT 5, at CONNECT or later. Handlers also return mqtt.continue(data) or mqtt.allow(data).",
	"acked":         "A receiver completed a message of QoS 1 or 2.",
	"session_ended": "A session expired or was removed.",
	"packet":        "A control packet came, or is about to leave; off unless [scripting] packets = true. Handlers also return mqtt.delay(seconds) or mqtt.duplicate(n).",
	"load":          "This generation takes over. The handler gets what the old generation's unload of the same file returned; an error refuses the set.",
	"unload":        "This generation gives up. What the handler returns, plain values, goes to load of the same file.",
}

// libDocs say what libraries are for.
var libDocs = map[string]string{
	"mqtt":   "Handlers, verdicts, and what rules do to the broker.",
	"kv":     "Values that all worlds share and that outlive a reload; bounded in bytes.",
	"json":   "JSON. Integers past 2^53 decode to strings; what was not changed is written as it came.",
	"log":    "Lines of the broker's log, each with the place that wrote it.",
	"time":   "The clock.",
	"rate":   "Rates, shared by all worlds.",
	"crypto": "Passwords, digests and comparing secrets.",

	"bit":     "Operations on 32 bits; results are 0 to 2^32-1.",
	"bytes":   "Binary data, in the formats of Lua 5.3's string.pack.",
	"re":      "Regular expressions of Go's RE2, in linear time; compiled once.",
	"env":     "Environment variables.",
	"metrics": "Metrics, exported under lunamq_script_.",

	"try":   "Tests only: put an event to the rules. The table holds the fields of the event; what is not said is as sensible as can be.",
	"clock": "Tests only: the clock of the test, which stands until it is moved.",
}

const (
	kvValue  = "string|number|boolean"
	kvOption = "kv.bucket(name) gives a bucket with the same calls, written with a colon."
)

// callDocs are the functions by "lib.name", the methods by "class:name", and
// the globals.
var callDocs = map[string]callDoc{
	"mqtt.on":           {"event: string, ...: any", "Registers a handler: mqtt.on(event [, filter] [, {on_error=, budget=}], handler), while the file loads. The filter is matched at the handler's turn against the current topic."},
	"mqtt.allow":        {"-> lunamq.Verdict", "Authorised. Later handlers still run, and may still refuse."},
	"mqtt.deny":         {"reason?: string|integer, text?: string -> lunamq.Verdict", "Refused, stop here. The client is told where its protocol can say it; the reason is not_authorized unless named."},
	"mqtt.drop":         {"text?: string -> lunamq.Verdict", "Accepted and discarded, stop here: the sender gets its normal acknowledgement."},
	"mqtt.disconnect":   {"reason?: string|integer, text?: string -> lunamq.Verdict", "Refused, and the client is disconnected."},
	"mqtt.publish":      {"message: lunamq.PublishTable", "Publishes a message once the event is decided; with handlers = true through the publish handlers; with always = true also when the event is refused."},
	"mqtt.kick":         {"id: string, reason?: string|integer, options?: {text?: string, always?: boolean}", "Disconnects a client once the event is decided, with administrative_action unless another reason is named."},
	"mqtt.match":        {"filter: string, topic: string -> boolean", "Whether a topic matches a filter."},
	"mqtt.delay":        {"seconds: number -> lunamq.Verdict", "In packet: lets the packet go later; others overtake it."},
	"mqtt.duplicate":    {"n?: integer -> lunamq.Verdict", "In packet: lets it go n times more, once if not said."},
	"mqtt.continue":     {"data?: string -> lunamq.Verdict", "In authenticate: asks the client for more."},
	"mqtt.client":       {"id: string -> lunamq.Client?", "A connected client, by its identifier within the mount of the event's client, or in full."},
	"mqtt.clients":      {"-> fun(): lunamq.Client?", "For loops: for c in mqtt.clients() do … end, in no order."},
	"mqtt.subscribe":    {"id: string, filter: string, qos?: integer, options?: {always?: boolean}", "Subscribes on behalf of a client once the event is decided. The filter is full."},
	"mqtt.unsubscribe":  {"id: string, filter: string, options?: {always?: boolean}", "Ends a subscription on behalf of a client once the event is decided."},
	"mqtt.retained":     {"topic: string -> lunamq.RetainedMessage?", "The retained message of a full topic."},
	"mqtt.retained_all": {"filter: string -> fun(): lunamq.RetainedMessage?", "For loops: the retained messages that a full filter matches."},
	"mqtt.every":        {"seconds: number, fn: fun() -> lunamq.Timer", "Calls a function again and again, until the set is replaced."},
	"mqtt.after":        {"seconds: number, fn: fun() -> lunamq.Timer", "Calls a function once."},
	"Timer:cancel":      {"-> boolean", "Ends the timer, and says whether it would have fired again."},

	"bit.band":   {"...: integer -> integer", "The bits that all numbers have."},
	"bit.bor":    {"...: integer -> integer", "The bits that any number has."},
	"bit.bxor":   {"...: integer -> integer", "The bits that an odd count of numbers have."},
	"bit.bnot":   {"a: integer -> integer", "The bits that a number does not have."},
	"bit.lshift": {"a: integer, n: integer -> integer", "Shifts to the left."},
	"bit.rshift": {"a: integer, n: integer -> integer", "Shifts to the right, zeros come in."},

	"bytes.pack":     {"format: string, ...: any -> string", "Values as bytes."},
	"bytes.unpack":   {"format: string, s: string, at?: integer -> any ...", "Values out of bytes, and behind them where the rest begins."},
	"bytes.hex":      {"s: string -> string", "Bytes as hexadecimal digits."},
	"bytes.unhex":    {"s: string -> string", "Hexadecimal digits as bytes."},
	"bytes.base64":   {"s: string -> string", "Bytes in base64."},
	"bytes.unbase64": {"s: string -> string", "Base64 as bytes."},

	"re.match":    {"pattern: string, text: string -> table?", "The first match: [0] is all of it, [1] and on, and names, its groups."},
	"re.find_all": {"pattern: string, text: string, limit?: integer -> table[]", "All matches."},
	"re.replace":  {"pattern: string, text: string, template: string -> string, integer", "The text with its matches replaced, and how many there were."},
	"re.split":    {"pattern: string, text: string, limit?: integer -> string[]", "The pieces between the matches."},

	"crypto.sha256":     {"s: string -> string", "The SHA-256 of a text."},
	"crypto.jwt_verify": {"token: string, key_or_set: string -> table?, string?", "The claims of a JSON Web Token whose signature and times hold, or nil and why they do not. The key is a secret, a PEM or a JWK set. It waits, within [scripting] wait_limit."},
	"crypto.sha512":     {"s: string -> string", "The SHA-512 of a text."},
	"crypto.md5":        {"s: string -> string", "The MD5 of a text; no protection against anybody."},
	"crypto.hmac":       {"alg: string, key: string, s: string -> string", "The HMAC of a text."},
	"crypto.random":     {"n: integer -> string", "n random bytes."},

	"env.get": {"name: string -> string?", "An environment variable, of those that [scripting] env names."},

	"metrics.counter":   {"name: string, help: string -> lunamq.Counter", "A number that only grows."},
	"metrics.gauge":     {"name: string, help: string -> lunamq.Gauge", "A number that goes up and down."},
	"metrics.histogram": {"name: string, help: string, bounds?: number[] -> lunamq.Histogram", "How often values fall between bounds."},
	"Counter:inc":       {"n?: number", "Adds n, 1 unless told otherwise."},
	"Gauge:set":         {"x: number", "Sets the value."},
	"Gauge:add":         {"n: number", "Adds to the value."},
	"Histogram:observe": {"x: number", "Counts a value."},

	"mqtt.node":       {"string", "The name of this broker."},
	"mqtt.version":    {"string", "Its version."},
	"mqtt.generation": {"integer", "The number of this set of rules, 1 for the first."},

	"json.decode": {"text: string -> any", "The value of a JSON text; a script error if it is none."},
	"json.encode": {"value: any -> string", "The JSON text of a value."},
	"json.array":  {"list?: table -> table", "Marks a table as a list, which counts while it is empty."},
	"json.null":   {"any", "JSON's null."},

	"kv.get":    {"key: string -> " + kvValue + "|nil", "The value of a key, nil if there is none."},
	"kv.set":    {"key: string, value: " + kvValue + ", ttl?: number", "Keeps a value, for ttl seconds where it is given."},
	"kv.add":    {"key: string, value: " + kvValue + ", ttl?: number -> boolean", "Keeps a value if the key has none, and says whether it did."},
	"kv.incr":   {"key: string, by?: number, ttl?: number -> number", "Adds to a number, 1 unless told otherwise, and returns the sum."},
	"kv.delete": {"key: string -> boolean", "Removes a key, and says whether it was there."},
	"kv.keys":   {"prefix?: string, limit?: integer -> string[]", "The keys that begin with prefix, sorted."},
	"kv.bucket": {"name: string, options?: {durable?: boolean} -> lunamq.Bucket", "Keys of their own. " + kvOption},

	"log.debug": {"text: string, fields?: table<string, any>", "Logs at level debug."},
	"log.info":  {"text: string, fields?: table<string, any>", "Logs at level info."},
	"log.warn":  {"text: string, fields?: table<string, any>", "Logs at level warn."},
	"log.error": {"text: string, fields?: table<string, any>", "Logs at level error."},

	"time.now":    {"-> number", "Seconds since 1970, fractional."},
	"time.mono":   {"-> number", "Seconds since some moment, never set back."},
	"time.format": {"t: number, layout?: string, zone?: string -> string", "A moment as text: RFC 3339 in UTC unless told otherwise, or by a layout as of strftime."},
	"time.parse":  {"text: string, layout?: string -> number", "The moment that a text means; a script error if it means none."},

	"rate.limiter":  {"per_second: number, burst: number -> lunamq.Limiter", "A limiter, made at file scope. Its tokens outlive a reload."},
	"Limiter:allow": {"key: string, n?: number -> boolean", "Takes n tokens, 1 unless told otherwise, of a key; false if there are not so many."},

	"crypto.verify_password": {"password: string, hash: string -> boolean", "Whether a password has a hash (bcrypt, argon2id, mosquitto's $6$ and $7$). It waits, within [scripting] wait_limit: other events run meanwhile."},
	"crypto.equal":           {"a: string, b: string -> boolean", "Whether two texts are equal, in a time that tells nothing of them."},

	"Bucket:get":    {"key: string -> " + kvValue + "|nil", "As kv.get."},
	"Bucket:set":    {"key: string, value: " + kvValue + ", ttl?: number", "As kv.set."},
	"Bucket:add":    {"key: string, value: " + kvValue + ", ttl?: number -> boolean", "As kv.add."},
	"Bucket:incr":   {"key: string, by?: number, ttl?: number -> number", "As kv.incr."},
	"Bucket:delete": {"key: string -> boolean", "As kv.delete."},
	"Bucket:keys":   {"prefix?: string, limit?: integer -> string[]", "As kv.keys."},

	"UserProperties:get":    {"name: string -> string?", "The first value of a name."},
	"UserProperties:all":    {"name: string -> string[]", "All values of a name, in order."},
	"UserProperties:add":    {"name: string, value: string", "One more, at the end."},
	"UserProperties:set":    {"name: string, value: string", "In place of the first of that name; the others of it go."},
	"UserProperties:remove": {"name: string -> integer", "Removes all of a name, and returns how many."},
	"UserProperties:each":   {"-> fun(): string, string", "For loops: for name, value in p:each() do … end."},

	"test":   {"name: string, body: fun()", "Tests only: one test. Each runs in a world where nothing else has run."},
	"expect": {"x: any -> lunamq.Expectation", "Tests only: what is expected of a value, or of what try returned. The first expectation that is not met ends the test."},

	"clock.now":     {"-> number", "Seconds since 1970. Every test begins at 2026-01-01T00:00:00Z."},
	"clock.advance": {"seconds: number -> lunamq.Result", "Moves the clock on: kv, rates, time.now and timers go by it. Returns what the timers did."},

	"Expectation:equals":       {"y: any -> lunamq.Expectation", "Equal to y; tables by what is in them."},
	"Expectation:differs":      {"y: any -> lunamq.Expectation", "Not equal to y."},
	"Expectation:is_nil":       {"-> lunamq.Expectation", "nil."},
	"Expectation:exists":       {"-> lunamq.Expectation", "Anything but nil."},
	"Expectation:is_near":      {"y: number, within?: number -> lunamq.Expectation", "A number that differs from y by at most within (1e-9)."},
	"Expectation:matches":      {"pattern: string -> lunamq.Expectation", "A string that a Lua pattern finds something in."},
	"Expectation:contains":     {"y: any -> lunamq.Expectation", "A string with y in it, or a list with an item equal to y."},
	"Expectation:fails":        {"text?: string -> lunamq.Expectation", "A function that raises an error, or an event in which a handler failed; text is a part of the error, or a Lua pattern."},
	"Expectation:passed":       {"-> lunamq.Expectation", "No handler had an opinion."},
	"Expectation:allowed":      {"-> lunamq.Expectation", "Allowed, and not refused."},
	"Expectation:dropped":      {"-> lunamq.Expectation", "Accepted and discarded."},
	"Expectation:denied":       {"reason?: string|integer -> lunamq.Expectation", "Refused, with that reason if one is named."},
	"Expectation:disconnected": {"reason?: string|integer -> lunamq.Expectation", "Refused with a disconnect, with that reason if one is named."},
}
