package acceptance

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLabInLinuxFabric(t *testing.T) {
	if onFreshHost(t) {
		playInLab(t, newHost(t, "linux", nil))
	}
}

func TestLabInLoopbackFabricWithoutPrivileges(t *testing.T) {
	if onFreshHost(t) {
		playInLab(t, newHost(t, "auto", &syscall.Credential{Uid: nobody, Gid: nobody}))
	}
}

// playInLab makes the lab twice, looks at it from all sides, and wants nothing to be left when it is gone.
func playInLab(t *testing.T, h *host) {
	before := h.snapshot()
	h.wantRefusal("poise lab status", "the lab is not up", "poise lab up")
	h.wantRefusal("poise lab up --cloud poise", "HTTP 403", "--cloud poise-admin")
	first := h.run("poise lab up")
	if again := h.run("poise lab up"); again != first {
		t.Errorf("the second time, the lab is another one:\n%s", again)
	}

	greeting := "poise lab exec srv-lbaas-2 -- wget -q --tries=1 -O - " + h.place.Member() + ":61234"
	for _, program := range []string{"--ncat", ""} {
		h.run("poise lab up " + program)
		h.retry(func() error { return h.prints(greeting, "Yello from srv-lbaas-1!") })
	}
	h.run("poise lab server stop srv-lbaas-1")
	h.retry(func() error {
		if output, err := h.shell.Type(t.Context(), greeting); err == nil {
			return fmt.Errorf("a stopped service says %q", output)
		}
		return nil
	})
	h.run("poise lab server start srv-lbaas-1")
	h.retry(func() error { return h.prints(greeting, "Yello from srv-lbaas-1!") })
	h.wantRefusal("poise lab server stop srv-lbaas-9", "no server srv-lbaas-9", "")

	h.run("openstack loadbalancer create --name mylb --vip-subnet-id subnet-regionone")
	h.run("openstack floating ip create --port $(openstack loadbalancer show mylb -c vip_port_id -f value) ext-net")
	status := h.run("poise lab status")
	for _, wanted := range []string{"network-regionone", "srv-lbaas-3", h.place.Member(), "mylb", h.place.FloatingIP()} {
		if !strings.Contains(status, wanted) {
			t.Errorf("the status does not show %s:\n%s", wanted, status)
		}
	}
	down := h.run("poise lab down")
	for _, wanted := range []string{"mylb", h.place.FloatingIP(), "srv-lbaas-1", "router-regionone", "ext-net"} {
		if !strings.Contains(down, wanted) {
			t.Errorf("down does not say that it removed %s:\n%s", wanted, down)
		}
	}
	h.run("poise lab down") // there is nothing, which is fine
	h.retry(func() error {
		if diff := cmp.Diff(before, h.snapshot()); diff != "" {
			return fmt.Errorf("the host is not as it was (-before +after):\n%s", diff)
		}
		return nil
	})
}

// prints wants a command to succeed and to print a line.
func (h *host) prints(command, wanted string) error {
	if output, err := h.shell.Type(h.t.Context(), command); err != nil || strings.TrimSpace(output) != wanted {
		return fmt.Errorf("$ %s\n%s\n%v", command, output, err)
	}
	return nil
}

// wantRefusal wants a command to fail with words that say why and, unless hint is "", what to type next.
func (h *host) wantRefusal(command, why, hint string) {
	h.t.Helper()
	output, err := h.shell.Type(h.t.Context(), command)
	said, next, hinted := strings.Cut(output, "hint: ")
	if err == nil || !strings.HasPrefix(said, "error: ") || !strings.Contains(said, why) ||
		hinted != (hint != "") || !strings.Contains(next, hint) {
		h.t.Errorf("$ %s\n%s\nwant a failure because of %q, with the hint %q", command, output, why, hint)
	}
}
