package bench

import "syscall"

// canBindLoopback: all of 127.0.0.0/8 is this machine's, without configuration.
const canBindLoopback = true

// ipBindAddressNoPort is IP_BIND_ADDRESS_NO_PORT (ip(7)), which syscall lacks.
const ipBindAddressNoPort = 24

// bindNoPort leaves the port to connect; where the kernel refuses, bind takes one.
func bindNoPort(fd int) { syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, ipBindAddressNoPort, 1) }
