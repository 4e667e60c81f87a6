package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// cgroup bounds how much of the processors a group of processes may use (kernel: admin-guide/cgroup-v1 and cgroup-v2.rst).
type cgroup struct {
	dir   string // "" when there is none: then processes get the lowest priority
	mount string // "" unless we have mounted it
}

const (
	// period is the kernel's period of processor quotas in µs.
	period = 100_000
	// unifiedMount is where version 2 is mounted. With version 1 it is a tmpfs, in which any directory and file can be made.
	unifiedMount = "/sys/fs/cgroup"
)

// newCgroup makes a group that may use so many processors.
func newCgroup(cpu float64) (*cgroup, error) {
	quota := int(cpu * period)
	var fs unix.Statfs_t
	if unix.Statfs(unifiedMount, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC { // version 2
		if dir, err := os.MkdirTemp(unifiedMount, "poise-bench-"); err == nil {
			if os.WriteFile(filepath.Join(dir, "cpu.max"), fmt.Appendf(nil, "%d %d", quota, period), 0) == nil {
				return &cgroup{dir: dir}, nil
			}
			_ = os.Remove(dir)
		}
	}
	mount, err := os.MkdirTemp("", "poise-bench-cgroup-") // version 1, also where /sys shows none
	if err != nil {
		return nil, err
	}
	g := &cgroup{mount: mount, dir: filepath.Join(mount, filepath.Base(mount))}
	if err := unix.Mount("cgroup", mount, "cgroup", 0, "cpu"); err != nil {
		_ = os.Remove(mount)
		fmt.Println("There is no CPU cgroup to be had (", err, "): attackers run at the lowest priority.")
		return &cgroup{}, nil
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		g.dir = ""
		return nil, errors.Join(err, g.close())
	}
	err = os.WriteFile(filepath.Join(g.dir, "cpu.cfs_quota_us"), []byte(strconv.Itoa(quota)), 0)
	if err != nil {
		return nil, errors.Join(err, g.close())
	}
	return g, nil
}

// add puts a process into the group.
func (g *cgroup) add(pid int) error {
	if g.dir == "" {
		return unix.Setpriority(unix.PRIO_PROCESS, pid, 19)
	}
	return os.WriteFile(filepath.Join(g.dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
}

// close removes the group, whose processes have ended.
func (g *cgroup) close() (err error) {
	if g.dir != "" {
		err = os.Remove(g.dir)
	}
	if g.mount != "" {
		err = errors.Join(err, unix.Unmount(g.mount, 0), os.Remove(g.mount))
	}
	return err
}
