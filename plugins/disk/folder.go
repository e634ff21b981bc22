package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Names in the store's folder.
const (
	lockName     = "LOCK"
	pidName      = "pid"
	formatName   = "format"
	databaseName = "db"
)

// ErrTaken: another process has the store open.
var ErrTaken = errors.New("the folder of the store is used by another broker")

// lockFolder makes the folder and locks it against other processes.
func lockFolder(fs vfs.FS, dir string) (io.Closer, error) {
	if err := makeFolder(fs, fs.PathJoin(dir, databaseName)); err != nil {
		return nil, fmt.Errorf("the store's folder: %w", err)
	}
	lock, err := fs.Lock(fs.PathJoin(dir, lockName))
	var path *os.PathError
	switch {
	case errors.As(err, &path):
		return nil, fmt.Errorf("lock the store: %w", err)
	case err != nil:
		who := ""
		if pid := owner(fs, dir); pid != "" {
			who = " (process " + pid + ")"
		}
		return nil, fmt.Errorf("%s: %w%s", dir, ErrTaken, who)
	}
	if err := writeFile(fs, dir, pidName, []byte(strconv.Itoa(os.Getpid())+"\n")); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// Owner is the identifier of the process that has, or had, the store in the data
// folder of a broker; "" where nothing tells.
func Owner(data string) string { return owner(vfs.Default, Folder(data)) }

func owner(fs vfs.FS, dir string) string {
	pid, _ := readFile(fs, fs.PathJoin(dir, pidName))
	return strings.TrimSpace(string(pid))
}

// makeFolder makes a folder and those above it, and forces their names to the disk.
func makeFolder(fs vfs.FS, dir string) error {
	var missing []string
	for at := dir; !exists(fs, at) && fs.PathDir(at) != at; at = fs.PathDir(at) {
		missing = append(missing, at)
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, made := range missing {
		if err := syncFolder(fs, fs.PathDir(made)); err != nil {
			return err
		}
	}
	return nil
}

func readFile(fs vfs.FS, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// writeFile replaces a file of the folder, whole.
func writeFile(fs vfs.FS, dir, name string, text []byte) error {
	temporary := fs.PathJoin(dir, name+".new")
	f, err := fs.Create(temporary, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = fs.Rename(temporary, fs.PathJoin(dir, name))
	}
	if err == nil {
		err = syncFolder(fs, dir)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// syncFolder forces the names in a folder to the disk.
func syncFolder(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// exists says whether there is something under a name.
func exists(fs vfs.FS, name string) bool {
	_, err := fs.Stat(name)
	return err == nil
}
