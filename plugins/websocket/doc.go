// Package websocket is the way in for MQTT over WebSocket (RFC 6455; MQTT 5.0
// and 3.1.1, chapter 6): a net.Listener around another one, which may be TLS.
//
// Accept never waits for a peer. The HTTP request is read by core.Handshaker on
// the connection's own goroutine, after the handshake of the connection under
// it, so that one deadline spans all of it and the broker's bound of pending
// handshakes counts it; there is no http.Server and no goroutine of ours. After
// that the connection is a stream of bytes: frames may cut MQTT packets
// anywhere and hold several [MQTT-6.0.0-2].
//
// It knows HTTP, github.com/coder/websocket and core's two interfaces; it does
// not know MQTT or TLS.
package websocket
