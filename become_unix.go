//go:build unix

package main

import (
	"os"
	"os/exec"
	"syscall"
)

// become replaces this process by the command: same pid, same environment. All
// that dnsloop opened is closed or closes by itself (close-on-exec).
func become(server []string) error {
	path, err := exec.LookPath(server[0])
	if err != nil {
		return err
	}
	return os.NewSyscallError("exec "+path, syscall.Exec(path, server, os.Environ()))
}
