package linux

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// setting is one value below /proc/sys/net.
type setting struct{ path, value string }

type settings []setting

// settings says how the kernel behaves in a namespace of the role. All that matters is written: a new namespace
// takes its IPv4 defaults from the host (kernel documentation, ip-sysctl: devconf_inherit_init_net), which may forward.
func (r role) settings() settings {
	switch r {
	case roleSwitch:
		// Bridges only: no addresses, so no protocol state for every port either. Where br_netfilter is loaded, a new
		// namespace shows the rules of its IP layer every frame that is bridged; there are none, and the walk costs some
		// 2 % of what a request takes (kernel documentation, ip-sysctl: bridge-nf-call-*).
		return settings{
			{"bridge/bridge-nf-call-iptables", "0"},
			{"bridge/bridge-nf-call-ip6tables", "0"},
			{"bridge/bridge-nf-call-arptables", "0"},
			{"ipv4/ip_forward", "0"},
			{"ipv6/conf/all/disable_ipv6", "1"},
			{"ipv6/conf/default/disable_ipv6", "1"},
		}
	case roleRouter:
		// Forwarding first: writing it resets other settings.
		return append(settings{
			{"ipv4/ip_forward", "1"},
			{"ipv6/conf/all/forwarding", "1"},
			// No limit of messages to one target, such as that a host is unreachable: with the kernel's one a second, a load
			// balancer would not hear of each of its dead members. A thousand in all stay (ip-sysctl: icmp_msgs_per_sec).
			{"ipv4/icmp_ratelimit", "0"},
			{"ipv6/icmp/ratelimit", "0"},
		}, everyInterface...)
	default:
		return append(settings{
			{"ipv4/ip_forward", "0"},
			{"ipv6/conf/all/forwarding", "0"},
			{"ipv4/ip_local_port_range", "1024\t65535"},
			{"ipv4/tcp_tw_reuse", "1"},
			{"ipv4/ip_unprivileged_port_start", "0"},
			{"ipv4/ping_group_range", "0\t2147483647"}, // health checks of type PING
		}, everyInterface...)
	}
}

// everyInterface holds for the interfaces there are (all) and those to come (default).
var everyInterface = inAllAndDefault(settings{
	{"ipv4/conf/%s/rp_filter", "0"},           // a router's legs may see asymmetric paths
	{"ipv4/conf/%s/accept_redirects", "0"},    // neighbours are other tenants: believe nobody
	{"ipv4/conf/%s/send_redirects", "0"},      // or hairpin traffic is told to leave its router
	{"ipv4/conf/%s/arp_ignore", "1"},          // answer only on the card that has the address
	{"ipv4/conf/%s/arp_announce", "2"},        // and ask only with an address of that card
	{"ipv4/conf/%s/promote_secondaries", "1"}, // removing one address must not take its neighbours along
	{"ipv6/conf/%s/accept_ra", "0"},
	{"ipv6/conf/%s/accept_redirects", "0"},
	{"ipv6/conf/%s/accept_dad", "0"}, // addresses are assigned, so they work at once
})

// legSettings have a router say after 1.5 s that a host is unreachable, for which health checks wait: that is three questions.
// The kernel's time between them is a second (arp(7): retrans_time_ms, mcast_solicit).
func legSettings(link string) settings {
	return settings{
		{"ipv4/neigh/" + link + "/retrans_time_ms", "500"},
		{"ipv6/neigh/" + link + "/retrans_time_ms", "500"},
	}
}

// hostSettings protect the host from what it may hear on the external network, as everyInterface does others.
func hostSettings(link string) settings {
	return settings{
		{"ipv4/conf/" + link + "/accept_redirects", "0"},
		{"ipv6/conf/" + link + "/accept_redirects", "0"},
		{"ipv6/conf/" + link + "/accept_ra", "0"},
		{"ipv6/conf/" + link + "/accept_dad", "0"},
	}
}

func inAllAndDefault(patterns settings) settings {
	var all settings
	for _, p := range patterns {
		all = append(all,
			setting{fmt.Sprintf(p.path, "all"), p.value},
			setting{fmt.Sprintf(p.path, "default"), p.value})
	}
	return all
}

// set puts settings in force in the namespace.
func (n *namespace) set(s settings) error {
	if len(s) == 0 {
		return nil
	}
	return n.enter(func() error { return s.write(n.proc) })
}

// write puts the settings in force in the namespace of the calling thread. A file that does not exist stands
// for a protocol that the kernel does not have (IPv6 may be switched off). What is in force already is only read: to write
// takes a lock that all namespaces share (rtnl), some 80 µs each.
func (s settings) write(p *procfs) error {
	return p.use(func(proc string) error {
		for _, one := range s {
			path := filepath.Join(proc, "sys/net", one.path)
			value, err := os.ReadFile(path)
			if err == nil && string(bytes.TrimSpace(value)) == one.value {
				continue
			}
			if err == nil {
				err = os.WriteFile(path, []byte(one.value), 0)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("kernel setting %s: %w", one.path, err)
			}
		}
		return nil
	})
}

// procfs is an instance of procfs of our own. In /proc the kernel keeps the settings of all namespaces as entries of the
// same name in one directory, and compares them one after the other (fs/proc/proc_sysctl.c, proc_sys_compare): with 9,000
// namespaces that was 60 % of the processor time of making one more. An instance keeps what it has shown until it is closed.
type procfs struct {
	mu   sync.Mutex // guards what follows
	fd   int        // -1: not open
	uses int        // since it was opened
}

// procfsUses is how many namespaces one instance serves. Opening one costs as much as some ten settings.
const procfsUses = 100

// use calls do with the path of an instance's root. Only one caller at a time: the kernel takes most settings under one lock.
func (p *procfs) use(do func(proc string) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.uses++; p.uses > procfsUses {
		p.closeLocked()
	}
	if p.fd < 0 {
		fd, err := openProcfs()
		if err != nil { // not allowed in some containers
			return do("/proc")
		}
		p.fd, p.uses = fd, 1
	}
	return do(fmt.Sprintf("/proc/thread-self/fd/%d", p.fd))
}

// openProcfs mounts an instance that no directory shows.
func openProcfs() (fd int, err error) {
	context, err := unix.Fsopen("proc", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(context)
	if err := unix.FsconfigCreate(context); err != nil {
		return -1, err
	}
	return unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
}

func (p *procfs) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closeLocked()
}

func (p *procfs) closeLocked() {
	if p.fd >= 0 {
		_ = unix.Close(p.fd)
		p.fd = -1
	}
}
