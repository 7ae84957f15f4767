package forwarders

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// count keeps the bounds of all files together.
func (r *reader) count(at Pos, data []byte) error {
	r.files++
	r.size += len(data)
	switch {
	case r.files > maxFiles:
		return fmt.Errorf("%s: %w: over %d files", at, ErrLimit, maxFiles)
	case r.size > maxSize:
		return fmt.Errorf("%s: %w: over %d bytes", at, ErrLimit, maxSize)
	}
	return nil
}

// read returns a file that the line at names.
func (r *reader) read(at Pos, path string) ([]byte, error) {
	if r.env.ReadFile == nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	data, err := r.env.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return data, r.count(at, data)
}

// mustRead is read for a file without which the server does not start.
func (r *reader) mustRead(at Pos, path string) ([]byte, error) {
	data, err := r.read(at, path)
	switch {
	case err == nil, errors.Is(err, ErrLimit):
		return data, err
	case errors.Is(err, fs.ErrNotExist):
		return nil, errorf(at, "expected a file that exists, got %s", path)
	}
	return nil, errorf(at, "%v", err)
}

// deeper bounds how deep files and braces are nested.
func deeper(at Pos, depth int, what string) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: %w: %s over %d deep", at, ErrLimit, what, maxDepth)
	}
	return nil
}

// rooted is a name as a server has it that works in dir; an empty dir is the
// working directory.
func rooted(dir, path string) string {
	if dir == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
