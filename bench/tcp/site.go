package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"poise/internal/fabric"
	"poise/internal/fabric/linux"
)

// tag is the fabric's, also for the poise process, which adopts what is there.
const tag = "be"

const network = "bench"

// Who is there, and at which address. Members answer two ports.
const (
	clientIP  = "10.9.0.9"
	haproxyIP = "10.9.0.11"
	poiseIP   = "10.9.0.12"
	memberA   = "10.9.0.21"
	memberB   = "10.9.0.22"
)

// site is everything that takes part in a comparison.
type site struct {
	fabric         *linux.Fabric
	dir            string
	spaces         map[string]string // namespaces by address
	members        []*process
	haproxy, poise *process
}

func openSite() (*site, error) {
	s := &site{spaces: map[string]string{}}
	if err := s.build(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *site) build() (err error) {
	if s.dir, err = os.MkdirTemp("", "bench-tcp-"); err != nil {
		return err
	}
	if s.fabric, err = linux.New(context.Background(), linux.Config{Tag: tag}); err != nil {
		return err
	}
	err = s.fabric.Apply(context.Background(), fabric.Topology{Networks: []fabric.Network{{ID: network, MTU: 1500}}})
	if err != nil {
		return err
	}
	for _, ip := range []string{clientIP, memberA, memberB} {
		if err := s.plugServer(ip); err != nil {
			return err
		}
	}
	for _, ip := range []string{haproxyIP, poiseIP} {
		if err := s.plugBalancer(ip); err != nil {
			return err
		}
	}
	for _, ip := range []string{memberA, memberB} {
		m, err := s.startSelf(s.spaces[ip], ip, "member", ip)
		if err != nil {
			return err
		}
		s.members = append(s.members, m)
	}
	if s.haproxy, err = s.startHAProxy(); err != nil {
		return fmt.Errorf("haproxy: %w", err)
	}
	s.poise, err = s.startPoise()
	return err
}

func (s *site) plugServer(ip string) error {
	server, err := s.fabric.PlugServer(context.Background(), ip, []fabric.Port{port(ip)})
	s.spaces[ip] = server.Namespace
	return err
}

// plugBalancer makes a load balancer's namespace; its name is the one that the fabric's package comment says.
func (s *site) plugBalancer(ip string) error {
	s.spaces[ip] = "poise-" + tag + "-lb-" + ip
	_, err := s.fabric.Plug(context.Background(), ip, []fabric.Port{port(ip)})
	return err
}

// port is a card with that address; its MAC follows from it.
func port(ip string) fabric.Port {
	addr := netip.MustParseAddr(ip)
	last := addr.As4()[3]
	return fabric.Port{
		ID: ip, NetworkID: network, MTU: 1500, MAC: net.HardwareAddr{0xfa, 0x16, 0x3e, 0, 0, last},
		Addresses: []netip.Prefix{netip.PrefixFrom(addr, 24)},
	}
}

func (s *site) close() {
	for _, p := range append([]*process{s.poise, s.haproxy}, s.members...) {
		if p != nil {
			p.stop()
		}
	}
	if s.fabric != nil {
		if err := s.fabric.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "error: taking the networks away:", err)
		}
	}
	_ = os.RemoveAll(s.dir)
}

func (s *site) startHAProxy() (*process, error) {
	var config strings.Builder
	config.WriteString("global\n nbthread 2\n maxconn 9600\ndefaults\n mode tcp\n retries 3\n option redispatch\n" +
		" timeout client 50s\n timeout server 50s\n timeout connect 5s\n")
	for _, port := range ports {
		fmt.Fprintf(&config, "listen l%d\n bind %s:%d\n balance roundrobin\n server a %s:%d\n server b %s:%d\n",
			port, haproxyIP, port, memberA, port, memberB, port)
	}
	path := filepath.Join(s.dir, "haproxy.cfg")
	if err := os.WriteFile(path, []byte(config.String()), 0o600); err != nil {
		return nil, err
	}
	return s.start(s.spaces[haproxyIP], haproxyIP, exec.Command("haproxy", "-db", "-f", path))
}

// startPoise starts poise on the host; only its sockets are in the load balancer's namespace.
func (s *site) startPoise() (*process, error) { return s.startSelf("", poiseIP, "poise") }

// startSelf starts this program with other arguments.
func (s *site) startSelf(space, address string, args ...string) (*process, error) {
	return s.start(space, address, exec.Command("/proc/self/exe", args...))
}

// inNamespace calls f on a thread that is in the namespace, "" for the host's. A process that f starts stays there.
func inNamespace(space string, f func() error) error {
	if space == "" {
		return f()
	}
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer home.Close()
	there, err := os.Open(filepath.Join("/run/netns", space))
	if err != nil {
		return err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering %s: %w", space, err)
	}
	err = f()
	if backErr := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); backErr != nil {
		return errors.Join(err, backErr) // the thread stays locked and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return err
}
