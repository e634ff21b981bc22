//go:build !linux

package core

// Other systems have the goroutine driver alone.

type (
	poller     struct{}
	pollSocket struct{}
	loop       struct{}
)

func (b *Broker) servePolled(*listening) (bool, error) { return false, nil }

func closeDescriptor(int) {}

func (*poller) add(*conn)               {}
func (*poller) close()                  {}
func (*loop) beforeHooks()              {}
func (*loop) beforeMany(int)            {}
func (*loop) stepAside()                {}
func (*pollSocket) resumeIfMay()        {}
func (*pollSocket) init(*conn, arrival) {}
func (*pollSocket) isPolled() bool      { return false }
func (*pollSocket) isPaused() bool      { return false }
