//go:build e2e

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// witnessEvery is how often the disk is asked to sync a few bytes.
const witnessEvery = 5 * time.Millisecond

// diskStalls reports whether one sync of a few bytes takes longer than so long before ctx ends. A disk that other
// machines share does so, once a second and for hundreds of milliseconds, while nothing here asks it for anything.
func diskStalls(ctx context.Context, t *testing.T, longer time.Duration) bool {
	file, err := os.Create(filepath.Join(t.TempDir(), "witness"))
	if err != nil {
		t.Error(err)
		return false
	}
	defer file.Close()
	for ctx.Err() == nil {
		began := time.Now()
		if _, err := file.WriteAt([]byte("witness"), 0); err != nil {
			t.Error(err)
			return false
		}
		if err := file.Sync(); err != nil {
			t.Error(err)
			return false
		}
		if time.Since(began) > longer {
			return true
		}
		pause(witnessEvery)
	}
	return false
}
