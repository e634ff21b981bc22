package storetest

import (
	"testing"

	"lunamq/core"
)

func TestMemoryStore(t *testing.T) {
	Run(t, func(testing.TB) (core.Store, func() core.Store) {
		s := core.NewMemoryStore()
		return s, func() core.Store { return s }
	})
}
