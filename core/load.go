package core

import (
	"math"
	"time"
)

// loadMinutes are the spans of the moving averages, as mosquitto has them.
var loadMinutes = [3]int{1, 5, 15}

// load is the moving average of a counter's growth per minute.
type load struct {
	name  string
	total func() int64
	last  int64
	mean  [3]float64
}

// update takes in what was counted in the last elapsed.
func (l *load) update(elapsed time.Duration) {
	now := l.total()
	grown := now - l.last
	l.last = now
	if elapsed <= 0 {
		return
	}
	perMinute := float64(grown) / elapsed.Minutes()
	for i, span := range loadMinutes {
		keep := math.Exp(-elapsed.Minutes() / float64(span))
		l.mean[i] = perMinute + keep*(l.mean[i]-perMinute)
	}
}
