package bench

import (
	"os"
	"time"
)

// SyncRate is how many syncs a second the disk does where brokers have their
// folders, each of a write of 4 KiB to the end of a file, one after another.
func SyncRate(d time.Duration) (float64, error) {
	f, err := os.CreateTemp("", "lunamq-bench-sync-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block := make([]byte, 4096)
	began := time.Now()
	for n := 1; ; n++ {
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		if took := time.Since(began); took >= d {
			return float64(n) / took.Seconds(), nil
		}
	}
}
