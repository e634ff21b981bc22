//go:build race

package core

// raceEnabled: the detector makes sync.Pool forget at random.
const raceEnabled = true
