package core

import (
	"runtime"
	"testing"
)

// drivers are those that serve TCP on this system.
func drivers() map[string]Driver {
	all := map[string]Driver{"goroutine": DriverGoroutine}
	if runtime.GOOS == "linux" {
		all["poller"] = DriverPoller
	}
	return all
}

// onDrivers runs a test whose clients come over TCP with each driver. What
// speaks over pipes has the goroutine driver in any case.
func onDrivers(t *testing.T, test func(*testing.T, Driver)) {
	t.Helper()
	for name, d := range drivers() {
		t.Run(name, func(t *testing.T) { test(t, d) })
	}
}
