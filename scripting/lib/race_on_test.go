//go:build race

package lib

// raceEnabled: the detector makes sync.Pool forget at random.
const raceEnabled = true
