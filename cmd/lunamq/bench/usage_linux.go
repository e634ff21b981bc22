package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of the times in /proc/PID/stat: USER_HZ, 100 per second on
// every architecture that Go has (proc(5), sysconf(3)).
const tick = time.Second / 100

// usage is what a process has used and holds.
type usage struct {
	cpu     time.Duration // of all its threads, user and system
	rss     int64         // bytes
	threads int
}

// readUsage asks the kernel about a process.
func readUsage(pid int) (usage, error) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return usage{}, fmt.Errorf("process %d of the broker: %w", pid, err)
	}
	// the name in parentheses may hold anything
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 18 {
		return usage{}, fmt.Errorf("%sstat has only %d fields", dir, len(fields))
	}
	utime, err1 := strconv.ParseInt(fields[11], 10, 64)
	stime, err2 := strconv.ParseInt(fields[12], 10, 64)
	threads, err3 := strconv.Atoi(fields[17])
	if err1 != nil || err2 != nil || err3 != nil {
		return usage{}, fmt.Errorf("%sstat: %q", dir, stat)
	}
	u := usage{cpu: time.Duration(utime+stime) * tick, threads: threads}
	// finer, but without the threads that have ended; both run below the truth
	u.cpu = max(u.cpu, threadTimes(dir))
	u.rss, err = residentSize(dir)
	return u, err
}

// threadTimes is the sum of the nanoseconds that the threads have run.
func threadTimes(dir string) time.Duration {
	threads, err := os.ReadDir(dir + "task")
	if err != nil {
		return 0
	}
	var sum time.Duration
	for _, t := range threads {
		text, err := os.ReadFile(dir + "task/" + t.Name() + "/schedstat")
		if err != nil {
			continue // it has ended, or this kernel does not count
		}
		first, _, _ := strings.Cut(string(text), " ")
		if ns, err := strconv.ParseInt(first, 10, 64); err == nil {
			sum += time.Duration(ns)
		}
	}
	return sum
}

// residentSize is VmRSS, in bytes.
func residentSize(dir string) (int64, error) {
	text, err := os.ReadFile(dir + "status")
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(text), "VmRSS:")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 1 {
		return 0, fmt.Errorf("%sstatus has no VmRSS: has the process ended?", dir)
	}
	kib, err := strconv.ParseInt(fields[0], 10, 64)
	return kib << 10, err
}

// ownCPU is what this program has used.
func ownCPU() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// allowFiles raises the bound of open files to what n connections need.
func allowFiles(n int) error {
	need := uint64(n) + 64 // listeners, logs, the runtime's own
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil || l.Cur >= need {
		return err
	}
	l.Cur, l.Max = max(l.Max, need), max(l.Max, need) // above the old maximum needs a privilege
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("%d connections need %d open files, and this process may have fewer (ulimit -Hn): %w", n, need, err)
	}
	return nil
}
