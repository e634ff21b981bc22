package bench

import (
	"os"
	"testing"
)

// TestSyncRate: it is some, and leaves nothing behind.
func TestSyncRate(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	rate, err := SyncRate(1)
	if err != nil || rate <= 0 {
		t.Errorf("%g a second, %v", rate, err)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
}
