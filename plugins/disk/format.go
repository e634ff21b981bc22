package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// Format is the version of what a store has on the disk: keys, and what the
// database underneath writes. It lies in a file of its own, so that it is known
// before anything is opened.
const Format = 1

const formatHead = "lunamq store, format "

// migrations lead from the format of their key to the next one; each leaves a
// store in which it may be begun again.
var migrations = map[int]func(s *Store) error{}

// ErrNewer: the store was written by a newer program.
var ErrNewer = errors.New("the store was written by a newer LunaMQ")

// readFormat reads which format the store has; 0: nothing tells.
func (s *Store) readFormat() (int, error) {
	text, err := readFile(s.o.FS, s.o.FS.PathJoin(s.o.Dir, formatName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the store's format: %w", err)
	}
	digits, ok := strings.CutPrefix(strings.TrimSpace(string(text)), formatHead)
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 1 {
		s.o.Log.Error("the file that tells the store's format is damaged: the present one is assumed", "path", s.o.Dir)
		return 0, nil
	}
	return n, nil
}

// checkFormat refuses what is newer, brings what is older to the present format,
// and notes that.
func (s *Store) checkFormat() error {
	n, err := s.readFormat()
	if err != nil || n == Format {
		return err
	}
	if n > Format {
		return s.newerError(n)
	}
	for ; n > 0 && n < Format; n++ {
		if err := migrations[n](s); err != nil {
			return fmt.Errorf("bring the store from format %d to %d: %w", n, n+1, err)
		}
	}
	return s.writeFormat(s.o.Dir)
}

func (s *Store) writeFormat(dir string) error {
	return writeFile(s.o.FS, dir, formatName, []byte(formatHead+strconv.Itoa(Format)+"\n"))
}

func (s *Store) newerError(n int) error {
	return fmt.Errorf("%s: %w: it has format %d, this program knows %d: use that program, or lunamq store export there and lunamq store import here", s.o.Dir, ErrNewer, n, Format)
}
