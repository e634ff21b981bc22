//go:build !linux

package sandbox

import "runtime"

// yield lets others run.
func yield() { runtime.Gosched() }
