package main

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// race runs commands in turn, so that what else the machine does meets them
// all, and prints the median of their times and the most memory each held.
// How they exit does not matter.
func race(times string, args []string) error {
	n, err := strconv.Atoi(times)
	if err != nil || n < 1 {
		return fmt.Errorf("%q: expected how often to run", times)
	}
	var commands [][]string
	for len(args) > 0 {
		end := slices.Index(args, "--")
		if end < 0 {
			end = len(args)
		}
		commands = append(commands, args[:end])
		args = args[min(end+1, len(args)):]
	}
	took := make([][]time.Duration, len(commands))
	most := make([]int64, len(commands))
	for range n {
		for i, argv := range commands {
			c := exec.Command(argv[0], argv[1:]...)
			began := time.Now()
			var failed *exec.ExitError
			if err := c.Run(); err != nil && !errors.As(err, &failed) {
				return err
			}
			took[i] = append(took[i], time.Since(began))
			most[i] = max(most[i], c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
		}
	}
	for i := range commands {
		slices.Sort(took[i])
		fmt.Printf("%.2f %d\n", float64(took[i][n/2].Microseconds())/1000, most[i])
	}
	return nil
}
