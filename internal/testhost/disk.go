package testhost

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// SmallDisk is an empty file system of 32 MiB, until the test ends. It needs root; without, the
// test is skipped.
func SmallDisk(t testing.TB) (dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a file system needs root")
	}
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=32m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// Fill takes all space that a [SmallDisk] has left, and returns what gives it back.
func Fill(t testing.TB, disk string) (free func()) {
	t.Helper()
	path := filepath.Join(disk, "ballast")
	err := os.WriteFile(path, make([]byte, 64<<20), 0o600)
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk took 64 MiB: %v", err)
	}
	return func() {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}
