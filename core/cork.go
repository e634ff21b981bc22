package core

// cork holds back what a client is sent, from its CONNACK on, until the store
// has kept what that says: that there is a session, or that the one before has
// ended. The connection goes about its business meanwhile; nobody waits.
type cork struct {
	held    []byte
	refused bool // the client is told something else
}

// putCork is called before CONNACK is appended.
func (o *outbox) putCork() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cork = new(cork)
}

// pullCork sends what was held back.
func (o *outbox) pullCork() {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.cork
	if k == nil || k.refused {
		return
	}
	o.cork = nil
	if len(k.held) > 0 {
		o.take(k.held)
	}
	o.flushLocked()
	o.sock.progressed(o)
}

// takeBack says that what is held back will not be sent; false if nothing is.
// What follows is shut, with a last packet in its place.
func (o *outbox) takeBack() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cork == nil {
		return false
	}
	o.cork.refused = true
	return true
}

// abortCorked closes the socket if what is held back can not be sent any more.
func (o *outbox) abortCorked() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cork != nil {
		o.failLocked()
	}
}

// waits is how much is held back.
func (k *cork) waits() int {
	if k == nil {
		return 0
	}
	return len(k.held)
}
