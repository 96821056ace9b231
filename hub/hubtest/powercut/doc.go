// Package powercut gives tests a disk whose power can be cut, and a child
// process that works on it.
//
// The disk is an ext4 file system on a loop device. [Disk.Cut] shuts it down
// without flushing its journal, as a power cut would: what was not synced is
// gone, what was synced must be there after [Disk.Remount]. A kill -9 alone shows nothing of
// this, because the page cache survives it.
//
// It needs Linux, root, loop devices and mkfs.ext4. Where one is missing the
// test is skipped and says which; with CI=true a missing mkfs.ext4 is a failure.
//
// A child is the test's own binary, running the same test again: see [Start].
// How often to cut or kill comes from RACCORDO_CUTS and RACCORDO_KILLS.
package powercut
