package config

import (
	"strings"
	"testing"
)

// Each case is a whole file and all that is said about it.
func TestErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"out of range", "\n[mqtt]\nmax_qos = 3", "c.toml:3: mqtt.max_qos = 3: must be 0, 1 or 2"},
		{"below a range", "[mqtt]\nreceive_maximum = 0", "c.toml:2: mqtt.receive_maximum = 0: must be from 1 to 65535"},
		{"a mistyped key", "[limits]\n# so\ninflght = 3", "c.toml:3: unknown key limits.inflght: did you mean inflight?"},
		{"a mistyped section", "[limit]\ninflight = 3", "c.toml:1: unknown key limit: did you mean limits?"},
		{"a key of another section", "[auth]\nretained = 3", "c.toml:2: unknown key auth.retained: it belongs into [limits]"},
		{"a key of nothing", "[auth]\nqqqqqq = 3", "c.toml:2: unknown key auth.qqqqqq: known here are default, open, recheck"},
		{"a key of later", "[scripting]\nhttp = true", "c.toml:2: unknown key scripting.http: known here are budget, deadline, dir, env, handover, keep, kv_bytes, memory, on_error, packets, poll, queue, queue_time, rollback_errors, rollback_window, test_before_reload, wait_limit, workers"},
		{"a text for a truth", "[mqtt]\nretain_available = \"yes\"", `c.toml:2: mqtt.retain_available = "yes": must be true or false`},
		{"a number for a text", "[scripting]\ndir = 5", "c.toml:2: scripting.dir = 5: must be a text in quotes"},
		{"a fraction for a count", "[limits]\nqueued = 1.5", `c.toml:2: limits.queued = 1.5: must be a whole number, or "unlimited"`},
		{"another word", "[limits]\nqueued = \"none\"", `c.toml:2: limits.queued = "none": must be a whole number, or "unlimited"`},
		{"0 for unlimited", "[limits]\nmax_connections = 0", `c.toml:2: limits.max_connections = 0: must be from 1 to 2000000000, or "unlimited"`},
		{"unlimited where there must be a bound", "[mqtt]\nmax_packet_size = \"unlimited\"", `c.toml:2: mqtt.max_packet_size = "unlimited": must be a number of bytes, or a size such as "64KiB", "1MiB", "2GiB"`},
		{"a size too large", "[mqtt]\nmax_packet_size = \"1GiB\"", `c.toml:2: mqtt.max_packet_size = "1GiB": must be from 64 to 268435460`},
		{"a size in powers of 1000", "[limits]\nqueued_bytes = \"1MB\"", `c.toml:2: limits.queued_bytes = "1MB": must be a number of bytes, or a size such as "64KiB", "1MiB", "2GiB", or "unlimited"`},
		{"a duration without unit", "[sys]\ninterval = 10", `c.toml:2: sys.interval = 10: must be a duration with its unit, such as "100ms", "30s", "15m", "12h", "7d", or "off"`},
		{"a negative duration", "[sys]\ninterval = \"-1s\"", `c.toml:2: sys.interval = "-1s": must be from 1s to 1d, or "off"`},
		{"fractions of a second", "[mqtt]\nmax_keep_alive = \"1500ms\"", `c.toml:2: mqtt.max_keep_alive = "1500ms": must be whole seconds: MQTT carries no fractions`},
		{"a rate of nothing", "[limits]\npublish_rate = 0", `c.toml:2: limits.publish_rate = 0: must be from 0.001 to 1000000000, or "unlimited"`},
		{"none of the words", "[mqtt]\ndeny_publish_v3 = \"drop\"", `c.toml:2: mqtt.deny_publish_v3 = "drop": must be "ack" or "disconnect"`},
		{"a number for a word", "[log]\nlevel = 3", `c.toml:2: log.level = 3: must be "debug", "info", "warn" or "error"`},
		{"a version that is none", "[mqtt]\nprotocols = [\"3.1\", \"4\"]", `c.toml:2: mqtt.protocols = [3.1 4]: each must be "3.1", "3.1.1" or "5"`},
		{"no version", "[mqtt]\nprotocols = []", `c.toml:2: mqtt.protocols = []: must name at least one of "3.1", "3.1.1" and "5"`},
		{"no list", "[mqtt]\nprotocols = \"5\"", `c.toml:2: mqtt.protocols = "5": must be a list of texts: ["…", "…"]`},
		{"a section that is none", "mqtt = 3", "c.toml:1: mqtt = 3: must be a section: write [mqtt] on a line of its own"},
		{"a node with a slash", "node = \"a/b\"", `c.toml:1: node = "a/b": must be a name without / + #: it stands in topics of $SYS`},
		{"no folder of data", "[storage]\npath = \"\"", `c.toml:2: storage.path = "": must be a folder`},
		{"single brackets", "[listener]\nurl = \"tcp://:1\"", "c.toml:1: listener: write [[listener]] on a line of its own, in double brackets"},
		{"no url", "\n[[listener]]\nname = \"a\"", `c.toml:2: listener: has no url: set one such as url = "tcp://127.0.0.1:1883"`},
		{"no scheme", "[[listener]]\nurl = \"127.0.0.1:1883\"", `c.toml:2: listener.url = "127.0.0.1:1883": is no URL: first path segment in URL cannot contain colon`},
		{"another scheme", "[[listener]]\nurl = \"mqtt://127.0.0.1:1883\"", `c.toml:2: listener.url = "mqtt://127.0.0.1:1883": has an unknown scheme: write tcp://, tls://, ws://, wss://, unix://`},
		{"no port", "[[listener]]\nurl = \"tcp://127.0.0.1\"", `c.toml:2: listener.url = "tcp://127.0.0.1": has no port: write tcp://HOST:PORT`},
		{"a port too high", "[[listener]]\nurl = \"tcp://:70000\"", `c.toml:2: listener.url = "tcp://:70000": has the port 70000: it must be from 0 to 65535`},
		{"a path at tcp", "[[listener]]\nurl = \"tcp://:1883/mqtt\"", `c.toml:2: listener.url = "tcp://:1883/mqtt": has the path "/mqtt": paths are for ws:// and wss://`},
		{"two paths", "[[listener]]\nurl = \"ws://:1883/a\"\npath = \"/b\"", `c.toml:2: listener.url = "ws://:1883/a": has another path than path = "/b"`},
		{"a query", "[[listener]]\nurl = \"ws://:1883/a?b\"", `c.toml:2: listener.url = "ws://:1883/a?b": must be a scheme, a host and a port, such as "tcp://127.0.0.1:1883"`},
		{"two slashes at unix", "[[listener]]\nurl = \"unix://run/x\"", `c.toml:2: listener.url = "unix://run/x": must be unix:///the/path/of/the/socket, with three slashes`},
		{"tls without certificate", "[[listener]]\nurl = \"tls://:8883\"", `c.toml:2: listener.url = "tls://:8883": tls:// needs a certificate: write a [[listener]] with cert and key, two PEM files`},
		{"a certificate at tcp", "[[listener]]\nurl = \"tcp://:8883\"\ncert = \"a.pem\"", `c.toml:3: listener.cert = "a.pem": is for tls:// and wss:// listeners, this one is tcp://`},
		{"required without authorities", "[[listener]]\nurl = \"wss://:1\"\ncert = \"a\"\nkey = \"b\"\nrequire_client_cert = true", "c.toml:5: listener.require_client_cert = true: needs client_ca, the PEM file of authorities to check certificates by"},
		{"a path without slash", "[[listener]]\nurl = \"ws://:1\"\npath = \"mqtt\"", `c.toml:3: listener.path = "mqtt": must begin with /`},
		{"an origin that is no pattern", "[[listener]]\nurl = \"ws://:1\"\norigins = [\"[\"]", `c.toml:3: listener.origins = [[]: "[" is not a pattern: * stands for any text without /, ? for one character`},
		{"a mode that is no octal", "[[listener]]\nurl = \"unix:///x\"\nmode = \"0990\"", `c.toml:3: listener.mode = "0990": must be octal permissions in quotes, such as "0660"`},
		{"a mode as a number", "[[listener]]\nurl = \"unix:///x\"\nmode = 660", `c.toml:3: listener.mode = 660: must be octal permissions in quotes, such as "0660"`},
		{"a mode too wide", "[[listener]]\nurl = \"unix:///x\"\nmode = \"7777\"", `c.toml:3: listener.mode = "7777": must be from 0000 to 0777`},
		{"one name twice", "[[listener]]\nurl = \"tcp://:1\"\nname = \"a\"\n[[listener]]\nurl = \"tcp://:2\"\nname = \"a\"", `c.toml:6: listener.name = "a": another listener has the name "a": events and logs tell them apart by it`},
		{"in the second listener", "[[listener]]\nurl = \"tcp://:1\"\n\n[[listener]]\nurl = \"tcp://:2\"\nmax_qos = 9\nmax_qoos = 1",
			"c.toml:6: listener.max_qos = 9: must be 0, 1 or 2\nc.toml:7: unknown key listener.max_qoos: did you mean max_qos?"},
		{"a share beyond all", "[scripting]\nrollback_errors = 1.5\nkeep = 0", "c.toml:2: scripting.rollback_errors = 1.5: must be from 0.001 to 1, or \"off\"\nc.toml:3: scripting.keep = 0: must be from 1 to 100"},
		{"an error of TOML", "[mqtt]\nmax_qos = = 1", "c.toml:2: expected value but found '=' instead"},
		{"a key twice", "[mqtt]\nmax_qos = 1\nmax_qos = 1", "c.toml:3: Key 'mqtt.max_qos' has already been defined."},
		{"behind texts and lists of several lines", "node = '''\nb'''\n[[listener]]\nurl = \"ws://:1\"\norigins = [ # ]\n \"a[b]\",\n]\n[mqtt]\nmax_qos = 3", "c.toml:9: mqtt.max_qos = 3: must be 0, 1 or 2"},
		{"dotted and quoted keys", "mqtt.\"max_qos\" = 3\n[limits]\n'inflight'=0", "c.toml:1: mqtt.max_qos = 3: must be 0, 1 or 2\nc.toml:3: limits.inflight = 0: must be from 1 to 65535"},
		{"an inline section", "\nmqtt = { retain_available = true, max_qos = 3 }", "c.toml:2: mqtt.max_qos = 3: must be 0, 1 or 2"},
		{"several, in the order of lines", "[sys]\ninterval = 1\n[mqtt]\nmax_qos = 3\n[auth]\ndefault = \"\"",
			"c.toml:2: sys.interval = 1: must be a duration with its unit, such as \"100ms\", \"30s\", \"15m\", \"12h\", \"7d\", or \"off\"\n" +
				"c.toml:4: mqtt.max_qos = 3: must be 0, 1 or 2\nc.toml:6: auth.default = \"\": must be \"allow\" or \"deny\""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse("c.toml", tt.text)
			if err == nil {
				t.Fatalf("no error, want\n%s", tt.want)
			}
			if err.Error() != tt.want {
				t.Errorf("got\n%v\nwant\n%s", err, tt.want)
			}
		})
	}
}

func TestValues(t *testing.T) {
	c, err := parse("c.toml", "[limits]\nqueued_bytes = \"1.5KiB\"\nretained_bytes = 77\nwrite_timeout = \"0.5d\"\nqueued = \"unlimited\"\n[scripting]\nworkers = \"auto\"\nbudget = 2_000")
	if err != nil {
		t.Fatal(err)
	}
	o := c.Core()
	if o.QueuedBytes != 1536 || o.RetainedBytes != 77 || o.WriteTimeout.Hours() != 12 || o.Queued != 1<<31-1 {
		t.Errorf("read %+v", o)
	}
	if c.Scripting.Worlds() < 1 || c.Scripting.Budget != 2000 {
		t.Errorf("read %+v", c.Scripting)
	}
}

// FuzzParse holds that no file, however broken, panics, and that every line in
// an error is one of the file.
func FuzzParse(f *testing.F) {
	f.Add("[[listener]]\nurl = \"tcp://:1\"\n[mqtt]\nmax_qos = 3 # x\nprotocols = [\n'5',\n]\n")
	f.Add("a.'b'.\"c\\\"\" = \"\"\"x\"\"\"\"\nnode = '''\n'''\n")
	f.Fuzz(func(t *testing.T, text string) {
		for path, line := range lines(text) {
			if last := strings.Count(text, "\n") + 1; line < 1 || line > last {
				t.Errorf("%q is in line %d of %d", path, line, last)
			}
		}
		if c, err := parse("c.toml", text); (c == nil) != (err != nil) {
			t.Errorf("configuration %v with error %v", c, err)
		}
	})
}
