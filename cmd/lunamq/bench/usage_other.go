//go:build !linux

package bench

import (
	"errors"
	"time"
)

// usage is what a process has used and holds.
type usage struct {
	cpu     time.Duration
	rss     int64
	threads int
}

func readUsage(int) (usage, error) {
	return usage{}, errors.New("the cost of a broker is read from /proc, which only Linux has: leave --pid away")
}

func ownCPU() time.Duration { return 0 }

func allowFiles(int) error { return nil }
