package corefile

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// Disk is the Env of this machine's files. It knows no interfaces: whether the
// Corefile will run here is not for it to say.
//
// ReadFile reads regular files alone, up to 1 MiB: no device, FIFO or socket
// that a name leads to is waited for, and none is read without an end.
func Disk() Env {
	return Env{ReadFile: readRegular, Glob: filepath.Glob}
}

func readRegular(path string) ([]byte, error) {
	// Non-blocking, since opening a FIFO waits for its writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFileSize {
		return nil, fmt.Errorf("%s: %w: larger than %d bytes", path, ErrLimit, maxFileSize)
	}
	return data, nil
}
