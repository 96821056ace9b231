//go:build !linux

package powercut

import "errors"

func shutdown(string) error { return errors.ErrUnsupported }
