//go:build race

package e2e

// raceDetector says that the tests run with the race detector: so does the
// program then.
const raceDetector = true
