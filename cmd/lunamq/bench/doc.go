// Package bench puts load on an MQTT broker, any one, and measures what it
// does: messages per second, latency, and, of a broker on this machine, CPU,
// memory and threads. It knows core/packet and nothing else of ours.
//
// A message counts when its subscriber has it. Every payload begins with a
// stamp (stamp.go): the run, the publisher, a number, and when it was sent. The
// numbers that one subscriber gets from one publisher are a stream (stream.go)
// without gaps, so that what is lost, duplicated or out of order is known
// exactly, and, with QoS 1 and 2, is an error [MQTT-4.3.2], [MQTT-4.3.3],
// [MQTT-4.6.0-5].
//
// # Load
//
// Closed loop (closed.go): a publisher has at most a window of messages that
// are not acknowledged or not arrived, counted by meters (meter.go), so that no
// broker is flooded beyond its queues, with QoS 0 neither. Open loop (paced.go):
// messages are due at fixed times, and latency is counted from then, whenever
// they really left: waiting for a slow broker is not left out (coordinated
// omission).
//
// # Cost
//
// The tool shares the machine with the broker, so it must cost less: one
// goroutine reads each connection into a large buffer and looks at the heads of
// packets alone (reader.go), one sends for each publisher, a burst a write, from
// packets that are encoded once and patched (publisher.go). Clocks are read once
// a burst and once a read; nothing is allocated per message. Idle clients have
// no goroutine.
package bench
