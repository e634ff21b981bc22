//go:build !linux

package sandbox

// yieldThread has nothing to do where the system lets a thread that has been woken run.
func yieldThread() {}
