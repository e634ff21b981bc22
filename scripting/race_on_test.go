//go:build race

package scripting

// raceEnabled: the detector makes sync.Pool forget at random.
const raceEnabled = true
