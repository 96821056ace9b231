package powercut

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// diskBytes is the size of the file system; the file behind it is sparse.
const diskBytes = 512 << 20

// Disk is one mounted file system.
type Disk struct {
	t       testing.TB
	image   string
	dir     string
	mounted bool
}

// New makes and mounts a disk; it is unmounted at the end of the test. The
// test is skipped where this machine does not allow it.
func New(t testing.TB) *Disk {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("no power cut here: it needs Linux and root, to mount a loop device")
	}
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("mkfs.ext4 is missing (Debian: e2fsprogs)")
		}
		t.Skip("no power cut here: mkfs.ext4 is missing (Debian: e2fsprogs)")
	}
	tmp := t.TempDir()
	d := &Disk{t: t, image: filepath.Join(tmp, "disk.img"), dir: filepath.Join(tmp, "disk")}
	if err := errors.Join(os.Mkdir(d.dir, 0o700), os.WriteFile(d.image, nil, 0o600), os.Truncate(d.image, diskBytes)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", d.image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	t.Cleanup(d.unmount)
	if out, err := d.mount(); err != nil {
		t.Skipf("no power cut here: a loop device cannot be mounted: %v: %s", err, out)
	}
	if err := shutdown(d.dir); err != nil {
		t.Skipf("no power cut here: the file system cannot be shut down: %v", err)
	}
	d.Remount()
	return d
}

// Dir is where the disk is mounted; the same path after every Remount.
func (d *Disk) Dir() string { return d.dir }

// Cut takes the power away. From now on every access fails.
func (d *Disk) Cut() {
	d.t.Helper()
	if err := shutdown(d.dir); err != nil {
		d.t.Fatalf("cut the power: %v", err)
	}
}

// Remount brings the disk back with what had reached it. Processes that had
// files open on it must have ended.
func (d *Disk) Remount() {
	d.t.Helper()
	d.unmount()
	if out, err := d.mount(); err != nil {
		d.t.Fatalf("mount again: %v: %s", err, out)
	}
}

func (d *Disk) mount() ([]byte, error) {
	out, err := exec.Command("mount", "-o", "loop", "-t", "ext4", d.image, d.dir).CombinedOutput()
	d.mounted = err == nil
	return out, err
}

// unmount waits for the last files of an ended process to be let go.
func (d *Disk) unmount() {
	if !d.mounted {
		return
	}
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		out, err := exec.Command("umount", d.dir).CombinedOutput()
		if err == nil {
			d.mounted = false
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("umount: %v: %s", err, out)
		}
		<-tick.C
	}
}
