package config

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"lunamq/core"
)

// manual is config.toml at the top of the repository.
const manual = "../../../config.toml"

func manualText(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var compare = cmp.Options{cmp.AllowUnexported(Listener{})}

// The manual and the built-in defaults are the same, but for the one intended
// difference: the folder of rules, which a fresh checkout has.
func TestManualIsDefaults(t *testing.T) {
	c, err := parse("config.toml", manualText(t))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	if want.Scripting.Dir != "" || c.Scripting.Dir != "examples/scripts" {
		t.Errorf("scripting.dir is %q built in and %q in the manual", want.Scripting.Dir, c.Scripting.Dir)
	}
	want.Scripting.Dir = "examples/scripts"
	if diff := cmp.Diff(want, c, compare); diff != "" {
		t.Errorf("built in (-) and manual (+) differ:\n%s", diff)
	}
}

// So do the values that stand in comments: switched on, all but those that a
// plain tcp listener refuses.
func TestManualComments(t *testing.T) {
	text := manualText(t)
	for _, key := range []string{"max_connections", "max_qos", "retain_available", "wildcard_subscriptions", "shared_subscriptions",
		"subscription_identifiers", "receive_maximum", "max_packet_size", "topic_alias_maximum", "topic_alias_maximum_out",
		"server_keep_alive", "max_keep_alive", "protocols", "publish_rate", "publish_bytes"} {
		if !strings.Contains(text, "\n# "+key+" = ") {
			t.Errorf("# %s is not in the manual", key)
		}
		text = strings.Replace(text, "\n# "+key+" = ", "\n"+key+" = ", 1)
	}
	c, err := parse("config.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default().Listeners, c.Listeners, compare); diff != "" {
		t.Errorf("built in (-) and comments (+) differ:\n%s", diff)
	}
	l := Default().Listeners[0]
	for _, line := range []string{`mode = "0660"`, `min_version = "` + l.MinVersion + `"`, "require_client_cert = false", "origins = []"} {
		if !strings.Contains(text, "\n# "+line+"\n") {
			t.Errorf("# %s is not in the manual", line)
		}
	}
}

// Every key stands in its section of the manual, under a comment.
func TestManualIsComplete(t *testing.T) {
	sections := make(map[string][]string)
	section := ""
	for line := range strings.Lines(manualText(t)) {
		line = strings.TrimSpace(line)
		if name := strings.Trim(line, "[]"); name != line && strings.HasPrefix(line, "[") {
			section = name
		}
		sections[section] = append(sections[section], line)
	}
	has := func(section, key string) bool {
		return slices.ContainsFunc(sections[section], func(line string) bool {
			return strings.HasPrefix(strings.TrimPrefix(line, "# "), key+" = ")
		})
	}
	for name, f := range fieldsOf(reflect.ValueOf(Config{})) {
		switch f.value.Kind() {
		case reflect.String:
			if !has("", name) {
				t.Errorf("%s is not in the manual", name)
			}
			continue
		case reflect.Slice:
			f.value = reflect.ValueOf(Listener{})
		}
		for key := range fieldsOf(f.value) {
			if !has(name, key) {
				t.Errorf("[%s] %s is not in the manual", name, key)
			}
		}
	}
}

func TestDefaultsAreCores(t *testing.T) {
	want := core.DefaultOptions()
	want.Log, want.Version = nil, ""
	if diff := cmp.Diff(want, Default().Core(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("core (-) and config (+) differ:\n%s", diff)
	}
	if diff := cmp.Diff(want.Listener, Default().Listeners[0].Options(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("core (-) and listener (+) differ:\n%s", diff)
	}
}

// Every field of core's options moves with some key: a value of the file that
// reaches nothing would be a promise not kept.
func TestEveryOptionIsReached(t *testing.T) {
	c, err := parse("t.toml", `
node = "n2"
[mqtt]
max_qos = 1
retain_available = false
wildcard_subscriptions = false
shared_subscriptions = false
subscription_identifiers = false
receive_maximum = 7
max_packet_size = "2KiB"
topic_alias_maximum = 3
topic_alias_maximum_out = 4
server_keep_alive = "50s"
max_keep_alive = "1m"
protocols = ["5", "3.1.1"]
session_expiry_v3 = "1d"
max_session_expiry = "unlimited"
queue_qos0_offline = true
queue_drops = "oldest"
deny_publish_v3 = "disconnect"
[limits]
handshake_timeout = "1s"
handshake_packet_size = 100
write_timeout = "2s"
shutdown_timeout = "3s"
max_connections = 11
connections_per_listener = 12
max_pending = 13
max_sessions = 14
inflight = 15
queued = 16
queued_bytes = 17
outbox_bytes = "8KiB"
subscriptions = 19
publish_rate = 2.5
publish_bytes = 21
total_queued_bytes = "unlimited"
total_subscriptions = "unlimited"
retained = 24
retained_bytes = 25
topic_levels = 26
messages_per_event = 27
[auth]
default = "deny"
recheck = false
[scripting]
packets = true
[sys]
interval = "off"
[process]
driver = "goroutine"
`)
	if err != nil {
		t.Fatal(err)
	}
	want := core.Options{
		Listener: core.ListenerOptions{
			MaxQoS: 1, ReceiveMaximum: 7, MaxPacketSize: 2048, TopicAliasMaximum: 3, TopicAliasMaximumOut: 4, ServerKeepAlive: 50,
			MaxKeepAlive: 60, MaxConnections: 12, PublishRate: 2.5, PublishBytes: 21, Protocols: []int{4, 5},
		},
		HandshakeTimeout: time.Second, HandshakePacketSize: 100, WriteTimeout: 2 * time.Second, ShutdownTimeout: 3 * time.Second,
		MaxConnections: 11, MaxPending: 13, MaxSessions: 14, Inflight: 15, Queued: 16, QueuedBytes: 17, OutboxBytes: 8192,
		Subscriptions: 19, TotalQueued: 1<<63 - 1, TotalSubscriptions: core.Unlimited, Retained: 24, RetainedBytes: 25,
		TopicLevels: 26, MessagesPerEvent: 27, DropOldest: true, QueueQoS0Offline: true, SessionExpiryV3: 24 * time.Hour,
		MaxSessionExpiry: 0xFFFFFFFF * time.Second, DenyPublishV3Disconnects: true, AuthDefaultDeny: true, Packets: true, Node: "n2",
		Driver: core.DriverGoroutine,
	}
	if diff := cmp.Diff(want, c.Core()); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	if diff := cmp.Diff(want.Listener, c.Listeners[0].Options()); diff != "" {
		t.Errorf("the default listener does not offer what [mqtt] says: want (-), got (+):\n%s", diff)
	}
	unreached := []string{"Version", "Log", "Store", "SysInterval", "Recheck"} // the program's, and those set to zero above
	base, got := reflect.ValueOf(core.DefaultOptions()), reflect.ValueOf(c.Core())
	for i := range base.NumField() {
		name := base.Type().Field(i).Name
		if !slices.Contains(unreached, name) && reflect.DeepEqual(base.Field(i).Interface(), got.Field(i).Interface()) {
			t.Errorf("core.Options.%s has its default in a file that changes everything", name)
		}
	}
}

func TestListenerOverrides(t *testing.T) {
	c, err := parse("t.toml", `
[mqtt]
max_qos = 1
receive_maximum = 7
[[listener]]
url = "ws://:9001/broker"
origins = ["*.works.test"]
max_qos = 0
max_connections = 5
[[listener]]
name = "devices"
url = "tls://[::1]:8883"
cert = "a.pem"
key = "a.key"
client_ca = "ca.pem"
require_client_cert = true
min_version = "1.3"
publish_rate = 10
[[listener]]
url = "unix:///run/lunamq.sock"
mode = "0600"
`)
	if err != nil {
		t.Fatal(err)
	}
	c.resolve("/etc/lunamq")
	base := Default()
	base.MQTT.MaxQoS, base.MQTT.ReceiveMaximum = 1, 7
	want := []Listener{base.newListener("ws://:9001/broker"), base.newListener("tls://[::1]:8883"), base.newListener("unix:///run/lunamq.sock")}
	web, secure, socket := &want[0], &want[1], &want[2]
	web.Name, web.scheme, web.address = web.URL, "ws", ":9001"
	web.Path, web.Origins, web.MaxQoS, web.MaxConnections = "/broker", []string{"*.works.test"}, 0, 5
	secure.Name, secure.scheme, secure.address = "devices", "tls", "[::1]:8883"
	secure.Cert, secure.Key, secure.ClientCA = "/etc/lunamq/a.pem", "/etc/lunamq/a.key", "/etc/lunamq/ca.pem"
	secure.RequireClientCert, secure.MinVersion, secure.PublishRate = true, "1.3", 10
	socket.Name, socket.scheme, socket.address, socket.Mode = socket.URL, "unix", "/run/lunamq.sock", 0o600
	if diff := cmp.Diff(want, c.Listeners, compare); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	if c.Storage.Path != "/etc/lunamq/data" {
		t.Errorf("storage.path is %q, want it in the folder of the file", c.Storage.Path)
	}
}

func TestListenFlag(t *testing.T) {
	c := Default()
	if err := c.Listen([]string{"tcp://:1884", "ws://127.0.0.1:9001"}); err != nil {
		t.Fatal(err)
	}
	if len(c.Listeners) != 2 || c.Listeners[0].Address() != ":1884" || c.Listeners[1].Scheme() != "ws" || c.Listeners[1].Name != "ws://127.0.0.1:9001" {
		t.Errorf("listeners: %+v", c.Listeners)
	}
	err := c.Listen([]string{"tcp://:1884", "tls://:8883", "tpc://x:1", "tcp://:1884"})
	want := `--listen: listener.name: another listener has the name "tcp://:1884": events and logs tell them apart by it
--listen: listener.url = "tls://:8883": tls:// needs a certificate: write a [[listener]] with cert and key, two PEM files
--listen: listener.url = "tpc://x:1": has an unknown scheme: did you mean tcp://?`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "c.toml")
	if err := os.WriteFile(file, []byte("[scripting]\ndir = \"rules\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "rules"); c.Scripting.Dir != want {
		t.Errorf("scripting.dir is %q, want %q", c.Scripting.Dir, want)
	}
	if _, err := Load(file + "x"); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a file that is not there: %v", err)
	}
}
