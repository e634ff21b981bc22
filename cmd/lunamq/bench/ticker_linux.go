package bench

import (
	"encoding/binary"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// The constants of timerfd_create(2), which the package syscall does not have.
const (
	clockMonotonic = 1
	tfdNonblock    = syscall.O_NONBLOCK
	tfdCloexec     = syscall.O_CLOEXEC
)

// ticker ticks to the microsecond. time.Ticker does not: the runtime waits in
// epoll by the millisecond, so that 5 000 messages a second would leave in
// bursts of five. A timerfd is a file that the same epoll watches.
type ticker struct {
	file *os.File
	buf  [8]byte
}

func newTicker(every time.Duration) (*ticker, error) {
	fd, _, errno := syscall.Syscall(syscall.SYS_TIMERFD_CREATE, clockMonotonic, uintptr(tfdNonblock|tfdCloexec), 0)
	if errno != 0 {
		return nil, os.NewSyscallError("timerfd_create", errno)
	}
	spec := [2]syscall.Timespec{syscall.NsecToTimespec(int64(every)), syscall.NsecToTimespec(int64(every))}
	if _, _, errno := syscall.Syscall6(syscall.SYS_TIMERFD_SETTIME, fd, 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0); errno != 0 {
		syscall.Close(int(fd))
		return nil, os.NewSyscallError("timerfd_settime", errno)
	}
	return &ticker{file: os.NewFile(fd, "timer")}, nil
}

// wait returns how many ticks there were since the last, at least one.
func (t *ticker) wait() (uint64, error) {
	if _, err := t.file.Read(t.buf[:]); err != nil {
		return 0, err
	}
	return binary.NativeEndian.Uint64(t.buf[:]), nil
}

// stop makes wait return an error.
func (t *ticker) stop() { t.file.Close() }
