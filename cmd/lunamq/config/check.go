package config

import (
	"fmt"
	"net"
	"path"
	"strings"
	"time"
)

// check finds what no single key can tell, and what a tag cannot say.
func (d *decoder) check(c *Config) {
	if c.Node == "" || strings.ContainsAny(c.Node, "+#/\x00") {
		d.errorf("node", "must be a name without / + #: it stands in topics of $SYS")
	}
	if c.Storage.Path == "" {
		d.errorf("storage.path", "must be a folder")
	}
	d.checkPprof(c.Process.Pprof)
	d.checkOffer("mqtt", &c.MQTT.Offer)
	for _, expiry := range []struct {
		key   string
		value Duration
	}{{"mqtt.session_expiry_v3", c.MQTT.SessionExpiryV3}, {"mqtt.max_session_expiry", c.MQTT.MaxSessionExpiry}} {
		d.checkSeconds(expiry.key, expiry.value)
	}
	d.checkListeners(c.Listeners)
}

// checkOffer checks what a server announces, at the section's path.
func (d *decoder) checkOffer(section string, o *Offer) {
	d.checkSeconds(section+".server_keep_alive", o.ServerKeepAlive)
	d.checkSeconds(section+".max_keep_alive", o.MaxKeepAlive)
	if d.isSet(section+".protocols") && len(o.Protocols) == 0 {
		d.errorf(section+".protocols", `must name at least one of "3.1", "3.1.1" and "5"`)
	}
}

// checkPprof lets profiles be read on this machine alone: they show what clients send.
func (d *decoder) checkPprof(address string) {
	if address == "off" {
		return
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil || host != "localhost" && !net.ParseIP(host).IsLoopback() {
		d.errorf("process.pprof", `must be "off", or a loopback address with its port, such as "127.0.0.1:6060"`)
	}
}

// isSet says whether the file has the key: what is inherited is checked once.
func (d *decoder) isSet(path string) bool {
	_, set := d.raw[path]
	return set
}

// checkSeconds: what the wire carries in whole seconds is configured so.
func (d *decoder) checkSeconds(path string, v Duration) {
	if d.isSet(path) && time.Duration(v)%time.Second != 0 {
		d.errorf(path, "must be whole seconds: MQTT carries no fractions")
	}
}

// checkListeners checks each and fills in its name.
func (d *decoder) checkListeners(all []Listener) {
	names := make(map[string]bool)
	for i := range all {
		l, at := &all[i], fmt.Sprintf("listener[%d]", i)
		if l.URL == "" {
			d.errorf(at, "has no url: set one such as url = %q", defaultURL)
			continue
		}
		if err := l.parseURL(); err != nil {
			d.errorf(at+".url", "%v", err)
			continue
		}
		if l.Name == "" {
			l.Name = l.URL
		}
		if names[l.Name] {
			d.errorf(at+".name", "another listener has the name %q: events and logs tell them apart by it", l.Name)
		}
		names[l.Name] = true
		d.checkFor(at, l)
		d.checkOffer(at, &l.Offer)
	}
}

// checkFor finds keys that mean nothing at the listener's scheme, and those
// that are needed there.
func (d *decoder) checkFor(at string, l *Listener) {
	secure, web := l.scheme == "tls" || l.scheme == "wss", l.scheme == "ws" || l.scheme == "wss"
	only := func(on bool, schemes string, keys ...string) {
		for _, key := range keys {
			if !on && d.isSet(at+"."+key) {
				d.errorf(at+"."+key, "is for %s listeners, this one is %s://", schemes, l.scheme)
			}
		}
	}
	only(secure, "tls:// and wss://", "cert", "key", "client_ca", "require_client_cert", "min_version")
	only(web, "ws:// and wss://", "path", "origins")
	only(l.scheme == "unix", "unix://", "mode")
	if secure && (l.Cert == "" || l.Key == "") {
		d.errorf(at+".url", "%s:// needs a certificate: write a [[listener]] with cert and key, two PEM files", l.scheme)
	}
	if secure && l.RequireClientCert && l.ClientCA == "" {
		d.errorf(at+".require_client_cert", "needs client_ca, the PEM file of authorities to check certificates by")
	}
	if l.Path != "" && !strings.HasPrefix(l.Path, "/") {
		d.errorf(at+".path", "must begin with /")
	}
	for _, pattern := range l.Origins {
		if _, err := path.Match(pattern, ""); err != nil {
			d.errorf(at+".origins", "%q is not a pattern: * stands for any text without /, ? for one character", pattern)
		}
	}
}
