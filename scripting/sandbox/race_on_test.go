//go:build race

package sandbox

// raceEnabled: the detector makes sync.Pool forget at random.
const raceEnabled = true
