package robust

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"poise/internal/clouds"
	"poise/internal/testhost"
)

// TestFullDisk lets clients go on while the disk is full. Each change is acknowledged and there, or
// refused and not there, and once there is room again the same server works on.
func TestFullDisk(t *testing.T) {
	const full = time.Second
	r := random(t)
	disk := testhost.SmallDisk(t)
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
	free := testhost.Fill(t, disk)
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

// TestStartOnReadOnlyDisk starts the server where it may not write. It says why, and leaves nothing
// on the host; what data is there serves again afterwards.
func TestStartOnReadOnlyDisk(t *testing.T) {
	disk := testhost.SmallDisk(t)
	s := newServer(t, filepath.Join(disk, "data"))
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	remount(t, disk, unix.MS_RDONLY)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, "serve", "--listen", s.listen, "--data-dir", s.dataDir, "--fabric", "linux", "--purge").CombinedOutput()
	remount(t, disk, 0)
	if err == nil || ctx.Err() != nil || !strings.Contains(string(out), "read-only file system") {
		t.Errorf("it starts: %v\n%s", err, out)
	}
	s.wantNothingLeft()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	s.demo.list(t, kindOf("loadbalancer").path, "loadbalancers")
}

// TestStartOnFullDisk starts the server on a full disk, after a clean end and after a crash.
// Traffic passes, people sign in and look, /healthcheck says why it is not well; changes are
// refused. Once there is room, the same server and the same tokens do everything.
func TestStartOnFullDisk(t *testing.T) {
	disk := testhost.SmallDisk(t)
	s := newServer(t, filepath.Join(disk, "data"))
	b := s.newSubject("served")
	s.demo.must(t, "POST", fmt.Sprintf(kindOf("member").path, b.pool), "member", object{"member": object{
		"address": s.members[0].address, "protocol_port": labPort,
	}})
	vip := s.demo.must(t, "GET", kindOf("loadbalancer").path+"/"+b.balancer, "loadbalancer", nil).text("vip_address")
	visit := func() error {
		_, err := ask(s.members[2].namespace, net.JoinHostPort(vip, "80"), time.Second)
		return err
	}
	eventually(t, "traffic", patience, visit)
	s.unwell = true
	for _, end := range []struct {
		name string
		end  func() error
	}{{"clean end", s.stop}, {"crash", func() error { s.kill(); return nil }}} {
		t.Run(end.name, func(t *testing.T) {
			if err := end.end(); err != nil {
				t.Fatal(err)
			}
			free := sync.OnceFunc(testhost.Fill(t, disk))
			defer free()
			if err := s.start(); err != nil {
				t.Fatal(err)
			}
			health := func() string {
				a, err := s.demo.send(t.Context(), http.MethodGet, "/healthcheck", nil)
				return fmt.Sprint(a, err)
			}
			eventually(t, "traffic", patience, visit)
			if got := health(); !strings.HasPrefix(got, "503 ") || !strings.Contains(got, "is full") {
				t.Errorf("health on the full disk: %s", got)
			}
			now := s.signIn(clouds.User)
			now.list(t, kindOf("loadbalancer").path, "loadbalancers")
			rename := func(name string) answer {
				a, err := now.send(t.Context(), http.MethodPut, kindOf("loadbalancer").path+"/"+b.balancer, object{"loadbalancer": object{"name": name}})
				if err != nil {
					t.Fatal(err)
				}
				return a
			}
			if a := rename("refused"); a.status != http.StatusServiceUnavailable {
				t.Errorf("a change on the full disk: %v", a)
			}
			if err := visit(); err != nil {
				t.Errorf("traffic: %v", err)
			}
			free()
			eventually(t, "a change", patience, func() error {
				if a := rename("changed"); !a.ok() {
					return errors.New(a.String())
				}
				return nil
			})
			eventually(t, "health", patience, func() error {
				if got := health(); !strings.HasPrefix(got, "200 ") {
					return errors.New(got)
				}
				return nil
			})
		})
	}
}

func remount(t *testing.T, dir string, flags uintptr) {
	t.Helper()
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|flags, "size=32m"); err != nil {
		t.Error(fmt.Errorf("remount: %w", err))
	}
}
