//go:build unix

package demo

import (
	"os"

	"golang.org/x/sys/unix"
)

// rowsOf is how many lines a terminal shows; 0 if it is none or not known.
func rowsOf(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Row)
}
