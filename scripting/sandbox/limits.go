package sandbox

import "time"

// Limits bound one world and each call in it. A zero field means its default.
type Limits struct {
	Budget     int64         // instructions per call; 1 000 000
	Deadline   time.Duration // a call may hold the world; 100 ms
	WaitLimit  time.Duration // a call may wait in library calls, in all; 5 s
	MaxString  int           // bytes of any string a script builds; 8 MiB
	MaxThreads int           // unfinished coroutines that one call may have made; 64
	MaxNesting int           // coroutines resumed inside each other; 16

	// Now is the time that os.time and os.date tell; nil is the system's.
	Now func() time.Time

	// Print gets the lines of print, without the newline; nil drops them.
	Print func(line string)
}

const (
	defaultBudget     = 1_000_000
	defaultDeadline   = 100 * time.Millisecond
	defaultWaitLimit  = 5 * time.Second
	defaultMaxString  = 8 << 20
	defaultMaxThreads = 64
	defaultMaxNesting = 16

	callDepth        = 200       // Lua calls inside each other, per thread
	coroutineDepth   = 64        // the same in a coroutine
	registryStart    = 1 << 10   // values on a thread's stack at first
	registryMax      = 256 << 10 // and at most: 4 MiB
	registryKeep     = 16 << 10  // a thread that grew further is not kept
	coroutineStart   = 1 << 8
	coroutineMax     = 16 << 10
	registryGrowStep = 4 << 10
	freeThreads      = 64 // threads kept for reuse, per world

	maxListIndex = 1<<16 - 1 // the last index of a list, one below lua.MaxArrayIndex
	maxUnpack    = 8000      // results of unpack and string.byte, as LUAI_MAXCSTACK of Lua 5.1
)

// The rates at which Go work is charged as instructions; doc.go explains them.
const (
	bytesPerInstruction  = 64 // read
	builtPerInstruction  = 16 // built: fresh memory, and collecting it
	stepsPerInstruction  = 8
	movesPerInstruction  = 16
	slotsPerInstruction  = 4
	comparesPerCharge    = 2
	coroutineCost        = 200
	errorCost            = 500 // unwinding and the traceback take 10 to 25 µs
	visitsPerInstruction = 16
)

func (l Limits) withDefaults() Limits {
	if l.Budget <= 0 {
		l.Budget = defaultBudget
	}
	if l.Deadline <= 0 {
		l.Deadline = defaultDeadline
	}
	if l.WaitLimit <= 0 {
		l.WaitLimit = defaultWaitLimit
	}
	if l.MaxString <= 0 {
		l.MaxString = defaultMaxString
	}
	if l.MaxThreads <= 0 {
		l.MaxThreads = defaultMaxThreads
	}
	if l.MaxNesting <= 0 {
		l.MaxNesting = defaultMaxNesting
	}
	if l.Now == nil {
		l.Now = time.Now
	}
	return l
}
