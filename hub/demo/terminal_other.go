//go:build !unix

package demo

import "os"

// rowsOf is how many lines a terminal shows; it is not asked for here.
func rowsOf(*os.File) int { return 0 }
