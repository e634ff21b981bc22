//go:build !linux

package main

import "net"

// peerUID: the standard library does not tell who is at the other end.
func peerUID(*net.UnixConn) (uid uint32, ok bool) { return 0, false }
