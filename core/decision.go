package core

import "lunamq/core/packet"

// Verdict is a hook's opinion on what it was asked about.
type Verdict uint8

// The verdicts. The zero value is "no opinion".
const (
	Pass       Verdict = iota // no opinion
	Allow                     // authorised; later hooks may still refuse
	Deny                      // refused; the client is told where the protocol can say it
	Drop                      // accepted and discarded; the sender gets its normal acknowledgement
	Disconnect                // refused, and the client is disconnected
)

// String returns the verdict's name as rules and logs write it.
func (v Verdict) String() string {
	return [...]string{"pass", "allow", "deny", "drop", "disconnect"}[v]
}

// Decision is the answer of a hook.
type Decision struct {
	Verdict Verdict
	// Reason is what a Deny or Disconnect tells the client; 0 means
	// packet.NotAuthorized.
	Reason packet.ReasonCode
	// Text becomes the reason string for clients that asked for one.
	Text string
	// By says who decided: "20-rewrite.lua:7", "acl", "broker".
	By string
}

// refuses says that nothing further is asked.
func (d Decision) refuses() bool { return d.Verdict >= Deny }

// code is the reason that the client is told.
func (d Decision) code() packet.ReasonCode {
	if d.Reason == 0 {
		return packet.NotAuthorized
	}
	return d.Reason
}
