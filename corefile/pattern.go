package corefile

import (
	"regexp"
	"sync"
)

// pattern compiles an expression when it is first asked for: most runs read no
// Corefile, and all of them start.
func pattern(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}
