//go:build !unix

package core

import (
	"errors"
	"net"
	"syscall"
)

// Other systems read and write through net.Conn alone.
func rawConn(net.Conn) syscall.RawConn { return nil }

var errNoRaw = errors.New("no raw sockets on this system")

func writeNonBlocking(uintptr, []byte) (int, error) { return 0, errNoRaw }

func readNonBlocking(uintptr, []byte) (int, bool, error) { return 0, false, errNoRaw }
