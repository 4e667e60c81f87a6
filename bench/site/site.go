// Package site is the network in which load balancers are compared, and how they are.
//
//	client ●──┐                      ┌──● member a
//	          ├── bridge (switch) ───┤
//	         ┌┴┐                     └──● member b
//	    peers ● ● poise
//
// Each of them has a network namespace of its own, made by the linux fabric on a host of its own; poise is the real
// engine, one event loop for each processor, and creates its sockets through the fabric as in production. All load
// balancers stand there the whole time and carry the same work in turns; what counts is the ratio within a round.
//
// A program that compares is at once all of its processes: Open starts it again for the members, for poise and for the
// clients, with the role as its first argument.
package site

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"poise/internal/fabric"
	"poise/internal/fabric/linux"
)

// tag is the fabric's, also for the poise process, which adopts what is there.
const tag = "be"

const network = "bench"

// The addresses of those who are always there; load balancers have 10.9.0.11 and following.
const (
	clientIP = "10.9.0.9"
	MemberA  = "10.9.0.21"
	MemberB  = "10.9.0.22"
)

// Balancer is a load balancer that takes part.
type Balancer struct {
	Name  string
	Start func(s *Site, ip string) (*Process, error)
}

// Site is everything that takes part in a comparison.
type Site struct {
	Dir       string     // for files; goes with the site
	Balancers []*Process // in the order in which they were given

	fabric  *linux.Fabric
	spaces  map[string]string // namespaces by address
	members []*Process
}

// Open makes the network and starts everybody, and waits until they listen on readyPort. The caller closes the site.
func Open(readyPort int, balancers ...Balancer) (*Site, error) {
	s := &Site{spaces: map[string]string{}}
	if err := s.build(readyPort, balancers); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Site) build(readyPort int, balancers []Balancer) (err error) {
	if s.Dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return err
	}
	if s.fabric, err = linux.New(context.Background(), linux.Config{Tag: tag}); err != nil {
		return err
	}
	err = s.fabric.Apply(context.Background(), fabric.Topology{Networks: []fabric.Network{{ID: network, MTU: 1500}}})
	if err != nil {
		return err
	}
	for _, ip := range []string{clientIP, MemberA, MemberB} {
		if err := s.plugServer(ip); err != nil {
			return err
		}
	}
	for _, ip := range []string{MemberA, MemberB} {
		m, err := s.StartSelf(ip, "member", ip)
		if err == nil {
			err = s.await(m, readyPort)
		}
		if err != nil {
			return fmt.Errorf("member: %w", err)
		}
		s.members = append(s.members, m)
	}
	for i, b := range balancers {
		ip := fmt.Sprintf("10.9.0.%d", 11+i)
		if err := s.plugBalancer(ip); err != nil {
			return err
		}
		p, err := b.Start(s, ip)
		if err != nil {
			return fmt.Errorf("%s: %w", b.Name, err)
		}
		p.Name = b.Name
		s.Balancers = append(s.Balancers, p)
		if err := s.await(p, readyPort); err != nil {
			return fmt.Errorf("%s: %w", b.Name, err)
		}
	}
	return nil
}

func (s *Site) plugServer(ip string) error {
	server, err := s.fabric.PlugServer(context.Background(), ip, []fabric.Port{card(ip)})
	s.spaces[ip] = server.Namespace
	return err
}

// plugBalancer makes a load balancer's namespace; its name is the one that the fabric's package comment says.
func (s *Site) plugBalancer(ip string) error {
	s.spaces[ip] = "poise-" + tag + "-lb-" + ip
	_, err := s.fabric.Plug(context.Background(), ip, []fabric.Port{card(ip)})
	return err
}

// card is a port with that address; its MAC follows from it.
func card(ip string) fabric.Port {
	addr := netip.MustParseAddr(ip)
	last := addr.As4()[3]
	return fabric.Port{
		ID: ip, NetworkID: network, MTU: 1500, MAC: net.HardwareAddr{0xfa, 0x16, 0x3e, 0, 0, last},
		Addresses: []netip.Prefix{netip.PrefixFrom(addr, 24)},
	}
}

// Plug is for the process of poise: it gives what is plugged at the address.
func Plug(ip string) (fabric.Endpoint, error) {
	networks, err := linux.New(context.Background(), linux.Config{Tag: tag})
	if err != nil {
		return fabric.Endpoint{}, err
	}
	return networks.Plug(context.Background(), ip, []fabric.Port{card(ip)})
}

// Close ends everybody and takes the network away.
func (s *Site) Close() {
	for _, p := range append(s.Balancers, s.members...) {
		p.stop()
	}
	if s.fabric != nil {
		if err := s.fabric.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "error: taking the networks away:", err)
		}
	}
	_ = os.RemoveAll(s.Dir)
}

// InNamespace calls f on a thread that is in the namespace, "" for the host's. A process that f starts stays there.
func InNamespace(space string, f func() error) error {
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
