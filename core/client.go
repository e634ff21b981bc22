package core

import (
	"fmt"
	"sync"
	"time"

	"lunamq/core/packet"
)

// Client is what is known of a peer for the life of its connection. It is
// immutable but for Vars; messages of rules, bridges and the administrator have
// a Client with only an ID.
type Client struct {
	ID          string
	Username    string
	HasUsername bool
	Protocol    packet.Version
	Remote      string   // "ip:port"
	Listener    string   // the listener's name
	TLS         *TLSInfo // nil without TLS
	ConnectedAt time.Time
	Mount       string // "" or a prefix that ends in "/"
	Vars        *Vars  // nil for clients with only an ID
}

// TLSInfo holds the facts of a TLS connection and of the client's certificate.
type TLSInfo struct {
	Version     string // "1.2", "1.3"
	Cipher      string
	ServerName  string
	CommonName  string // of the client certificate; "" without one
	Subject     string
	Serial      string // hexadecimal
	Fingerprint string // SHA-256 of the certificate, hexadecimal
}

// MaxVars bounds the variables of one session, MaxVarBytes each text in them.
const (
	MaxVars     = 64
	MaxVarBytes = 1024
)

// Vars is a small table of strings, float64 numbers and booleans that the
// broker keeps for the life of a session. Its methods may be called from any
// goroutine; the zero value is ready.
type Vars struct {
	sess *session // whose they are; nil before there is one

	mu sync.Mutex
	m  map[string]any
}

// Get returns the value of name, nil if there is none.
func (v *Vars) Get(name string) any {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.m[name]
}

// Set keeps a string, float64 or bool under name; nil removes it. It refuses
// other types and what exceeds MaxVars or MaxVarBytes.
func (v *Vars) Set(name string, value any) error {
	err := v.set(name, value)
	if err == nil && v.sess != nil {
		v.sess.onVars()
	}
	return err
}

func (v *Vars) set(name string, value any) error {
	switch s := value.(type) {
	case nil, float64, bool:
	case string:
		if len(s) > MaxVarBytes {
			return fmt.Errorf("vars.%s has %d bytes, at most %d are kept", name, len(s), MaxVarBytes)
		}
	default:
		return fmt.Errorf("vars.%s must be a string, a number, a boolean or nil", name)
	}
	if len(name) > MaxVarBytes {
		return fmt.Errorf("a name in vars has %d bytes, at most %d are kept", len(name), MaxVarBytes)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if value == nil {
		delete(v.m, name)
		return nil
	}
	if _, exists := v.m[name]; !exists && len(v.m) >= MaxVars {
		return fmt.Errorf("vars.%s would be number %d, at most %d are kept", name, len(v.m)+1, MaxVars)
	}
	if v.m == nil {
		v.m = make(map[string]any)
	}
	v.m[name] = value
	return nil
}

// All returns a copy of the table.
func (v *Vars) All() map[string]any {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := make(map[string]any, len(v.m))
	for k, x := range v.m {
		out[k] = x
	}
	return out
}

// merge takes over what from holds.
func (v *Vars) merge(from *Vars) {
	if from == nil || from == v {
		return
	}
	for k, x := range from.All() {
		_ = v.set(k, x) // checked when it was put into from; a full table keeps what it has
	}
}
