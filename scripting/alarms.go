package scripting

import (
	"context"
	"time"
)

// alarmsEvery is how often the topics of alarms that last are looked at.
const alarmsEvery = time.Second

// alarm makes alarmLoop look now.
func (e *Engine) alarm() {
	select {
	case e.alarms <- struct{}{}:
	default: // it is about to
	}
}

// alarmLoop publishes what is wrong with the running rules until ctx ends.
func (e *Engine) alarmLoop(ctx context.Context) {
	again := time.NewTimer(alarmsEvery)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.alarms:
		case <-again.C:
		}
		if e.showAlarms() {
			again.Reset(alarmsEvery)
		}
	}
}

// showAlarms publishes them, and says whether there are any.
func (e *Engine) showAlarms() bool {
	e.loadMu.Lock()
	defer e.loadMu.Unlock()
	return e.publishAlarms()
}

// publishAlarms publishes those of the running generation. Guarded by loadMu.
func (e *Engine) publishAlarms() (some bool) {
	if e.current == nil {
		return false
	}
	paused, memory := e.current.pausesText(), e.current.memoryText()
	e.publish("$SYS/broker/scripts/paused", paused)
	e.publish("$SYS/broker/scripts/memory", memory)
	return paused != "" || memory != ""
}
