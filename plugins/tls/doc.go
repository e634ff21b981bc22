// Package tls is the way in over TLS 1.2 and 1.3: a net.Listener around
// another one. Accept never waits for a peer: the handshake is done by
// core.Handshaker on the connection's own goroutine, and what was agreed on is
// told by core.TLSConn.
//
// It knows core's two interfaces and crypto/tls; it does not know what is
// spoken inside (MQTT, or HTTP for WebSocket).
package tls
