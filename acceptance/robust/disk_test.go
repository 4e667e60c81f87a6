package robust

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// smallDisk is a file system of a few MiB.
func smallDisk(t *testing.T) (dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a fresh host needs root")
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

// fill takes all space that is left, and returns what gives it back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	err := os.WriteFile(path, make([]byte, 64<<20), 0o600)
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk took 64 MiB: %v", err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// TestFullDisk lets clients go on while the disk is full. Each change is acknowledged and there, or refused and not there,
// and once there is room again the same server works on.
func TestFullDisk(t *testing.T) {
	const full = time.Second
	r := random(t)
	disk := smallDisk(t)
	s := newServer(t, filepath.Join(disk, "data"))
	workers := s.newWorkers(r)
	work := func(limit time.Duration) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		group := errgroup.Group{}
		for _, w := range workers {
			group.Go(func() error { return w.workUntil(ctx) })
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	work(longestRun)
	free := fill(t, disk)
	refused := 0
	for _, w := range workers {
		w.diskIsFull = true
	}
	for deadline := time.Now().Add(patience); refused == 0 && time.Now().Before(deadline); {
		work(full)
		for _, w := range workers {
			refused += w.refused
		}
	}
	for _, w := range workers {
		w.diskIsFull = false
	}
	free()
	if refused == 0 {
		t.Error("the full disk was not felt")
	}
	t.Logf("%d changes were refused", refused)
	s.wantSettled(workers)
	work(longestRun)
	s.wantSettled(workers)
}

// TestStartOnUnusableDisk starts the server where it cannot write. It says why, and leaves nothing on the host; where
// there is data already, that serves again afterwards.
func TestStartOnUnusableDisk(t *testing.T) {
	disk := smallDisk(t)
	s := newServer(t, filepath.Join(disk, "data"))
	workers := s.newWorkers(random(t))
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(t *testing.T) (mend func()){
		"full": func(t *testing.T) func() { return fill(t, disk) },
		"read-only": func(t *testing.T) func() {
			remount(t, disk, unix.MS_RDONLY)
			return func() { remount(t, disk, 0) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			mend := spoil(t)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			out, err := exec.CommandContext(ctx, binary, "serve", "--listen", s.listen, "--data-dir", s.dataDir, "--fabric", "linux", "--purge").CombinedOutput()
			mend()
			if err == nil || ctx.Err() != nil {
				t.Errorf("it starts: %v", err)
			}
			t.Logf("%s", out)
			s.wantNothingLeft()
		})
	}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	s.wantSettled(workers)
}

func remount(t *testing.T, dir string, flags uintptr) {
	t.Helper()
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|flags, "size=32m"); err != nil {
		t.Error(fmt.Errorf("remount: %w", err))
	}
}
