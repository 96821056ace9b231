//go:build faults

package hub

import (
	"os"
	"runtime/debug"
	"strings"

	"raccordo/hub/exchange"
)

// failpointVar names the text that makes a record fatal. The variable is read
// in binaries built with -tags faults only; its name must not be found in any
// other.
const failpointVar = "FAILPOINT_FATAL_TEXT"

// failpoint overflows the stack on a record that holds the fatal text: nothing
// recovers from that (reliability.md F4).
func failpoint(t exchange.Tree) {
	fatal := os.Getenv(failpointVar)
	if fatal == "" || !holds(t.Value(), fatal) {
		return
	}
	debug.SetMaxStack(1 << 20) // soon
	overflow(0)
}

func overflow(n int) int { return overflow(n+1) + 1 }

func holds(v any, text string) bool {
	switch x := v.(type) {
	case string:
		return strings.Contains(x, text)
	case []any:
		for _, e := range x {
			if holds(e, text) {
				return true
			}
		}
	case map[string]any:
		for _, e := range x {
			if holds(e, text) {
				return true
			}
		}
	}
	return false
}
