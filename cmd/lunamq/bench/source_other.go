//go:build !linux

package bench

// canBindLoopback: other systems have 127.0.0.1 alone.
const canBindLoopback = false

func bindNoPort(int) {}
