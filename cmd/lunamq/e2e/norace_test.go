//go:build !race

package e2e

// raceDetector says that the tests run with the race detector.
const raceDetector = false
