package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"

	"github.com/google/nftables"
	mdnetlink "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// directory is where `ip netns` keeps its names, and so do we.
const directory = "/run/netns"

// callersNetwork is the network namespace of the calling thread.
const callersNetwork = "/proc/thread-self/ns/net"

// role is what a namespace is for; it is part of its name.
type role string

const (
	roleSwitch       role = "switch"
	roleLoadBalancer role = "lb"
	roleServer       role = "srv"
	roleRouter       role = "rtr"
)

// idPattern is what may become a file name: UUIDs, and names that people give to tests.
var idPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

// maxWarm is how many namespaces keep their descriptor between two uses. Opening one costs some 5 µs, so that those with
// traffic are spared it, while the descriptors of thousands of load balancers are left for connections.
const maxWarm = 128

// namespace is a network namespace. Its descriptor is open while it is used, and a little longer.
type namespace struct {
	name  string
	inode uint64     // tells it from another one that gets the same name later
	home  *namespace // the namespace that threads return to
	warm  *warm      // nil: the descriptor stays open
	proc  *procfs    // where its settings are written

	// mu keeps the descriptor from being closed, and its number from being used again, while a thread goes in.
	mu   sync.RWMutex
	fd   int  // -1: not open
	gone bool // taken away: it is never opened again

	isFurnished bool // guarded by who has the namespace's lock (Fabric.lock)

	filtering sync.Mutex // guards filtered
	filtered  filters    // what is in force; nil: unknown
}

// use calls do with the namespace's descriptor, which is open until do returns. do must not use the namespace again.
func (n *namespace) use(do func(fd int) error) error {
	n.mu.RLock()
	for n.fd < 0 {
		n.mu.RUnlock()
		if err := n.reopen(); err != nil {
			return err
		}
		n.mu.RLock()
	}
	defer n.mu.RUnlock()
	return do(n.fd)
}

// reopen opens the descriptor again. A namespace that has another one's name by now is gone.
func (n *namespace) reopen() error {
	n.mu.Lock()
	if n.fd < 0 {
		fd, inode := -1, uint64(0)
		if !n.gone {
			var err error
			if fd, inode, err = openMounted(filepath.Join(directory, n.name)); err != nil {
				n.mu.Unlock()
				return err
			}
		}
		if fd >= 0 && inode != n.inode {
			_ = unix.Close(fd)
			fd = -1
		}
		if fd < 0 {
			n.mu.Unlock()
			return fmt.Errorf("namespace %s is gone: %w", n.name, unix.ENETDOWN)
		}
		n.fd = fd
	}
	n.mu.Unlock()
	n.warm.add(n)
	return nil
}

// warm are the namespaces whose descriptors are open.
type warm struct {
	limit int // beside those in use
	mu    sync.Mutex
	all   map[*namespace]bool // guarded by mu
}

func (w *warm) add(n *namespace) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all[n] = true
	for victim := range w.all { // in no order, so that whoever is used most is rarely hit and soon back
		if len(w.all) <= w.limit {
			return
		}
		if victim == n || !victim.mu.TryLock() { // in use
			continue
		}
		_ = unix.Close(victim.fd)
		victim.fd = -1
		victim.mu.Unlock()
		delete(w.all, victim)
	}
}

func (w *warm) remove(n *namespace) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.all, n)
}

// enter runs do on a thread that is inside the namespace. do must not start goroutines.
func (n *namespace) enter(do func() error) error {
	return n.use(func(fd int) error {
		runtime.LockOSThread()
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			return fmt.Errorf("entering namespace %s: %w", n.name, err)
		}
		err := do()
		return errors.Join(err, n.home.welcome())
	})
}

// welcome brings the thread back to where it came from. A thread that cannot return stays locked, so that it ends with
// its goroutine and nobody else's code ever runs in a foreign network.
func (n *namespace) welcome() error {
	if err := unix.Setns(n.fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("returning to namespace %s: %w", n.name, err)
	}
	runtime.UnlockOSThread()
	return nil
}

// netlink opens a route netlink socket in the namespace; the caller closes it.
func (n *namespace) netlink() (h *netlink.Handle, err error) {
	err = n.enter(func() (err error) {
		h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("netlink in %s: %w", n.name, err)
	}
	return h, nil
}

// nftables opens an nftables socket in the namespace; the caller closes it (CloseLasting).
func (n *namespace) nftables() (conn *nftables.Conn, err error) {
	err = n.use(func(fd int) error {
		conn, err = nftables.New(nftables.WithNetNSFd(fd), nftables.WithSockOptions(roomForRules), nftables.AsLasting())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("nftables in %s: %w", n.name, err)
	}
	return conn, nil
}

// transactionRoom is how many bytes of rules one transaction may have, and of the kernel's answers to them: each rule
// takes some 500. A socket's usual 208 KiB hold a few hundred.
const transactionRoom = 32 << 20

func roomForRules(c *mdnetlink.Conn) error {
	return errors.Join(c.SetWriteBuffer(transactionRoom), c.SetReadBuffer(transactionRoom))
}

// close closes the descriptor for good.
func (n *namespace) close() {
	if n.warm != nil {
		n.warm.remove(n)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gone = true
	if n.fd >= 0 {
		_ = unix.Close(n.fd)
		n.fd = -1
	}
}

// namespaces are all those with one prefix below /run/netns, and the one that the process started in.
type namespaces struct {
	prefix string
	home   *namespace
	warm   *warm

	mu    sync.Mutex
	known map[string]*namespace // by name; guarded by mu
}

func newNamespaces(prefix string) (*namespaces, error) {
	if err := shareDirectory(); err != nil {
		return nil, err
	}
	fd, err := unix.Open(callersNetwork, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("the host's network namespace: %w", err)
	}
	home := &namespace{name: "host", fd: fd, proc: &procfs{fd: -1}}
	home.home = home
	return &namespaces{
		prefix: prefix, home: home, warm: &warm{limit: maxWarm, all: map[*namespace]bool{}},
		known: map[string]*namespace{},
	}, nil
}

// shareDirectory makes /run/netns a shared mount point, so that every mount namespace of the host sees the
// namespaces made later: the protocol of iproute2 (ip/ipnetns.c), its lock included.
func shareDirectory() error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return fmt.Errorf("directory of network namespaces: %w", err)
	}
	lock, err := os.Open(directory)
	if err != nil {
		return fmt.Errorf("directory of network namespaces: %w", err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock of %s: %w", directory, err)
	}
	err = unix.Mount("", directory, "none", unix.MS_SHARED|unix.MS_REC, "")
	if errors.Is(err, unix.EINVAL) { // not a mount point yet
		if err := unix.Mount(directory, directory, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("bind mount of %s: %w", directory, err)
		}
		err = unix.Mount("", directory, "none", unix.MS_SHARED|unix.MS_REC, "")
	}
	if err != nil {
		return fmt.Errorf("sharing of %s: %w", directory, err)
	}
	return nil
}

func (s *namespaces) name(r role, id string) string {
	if r == roleSwitch {
		return s.prefix + string(r)
	}
	return s.prefix + string(r) + "-" + id
}

// make returns the namespace, which it finds or creates, with its settings in force and its loopback up.
// The caller holds the namespace's lock.
func (s *namespaces) make(r role, id string) (*namespace, error) {
	space, err := s.find(r, id)
	if space != nil || err != nil {
		return space, err
	}
	name := s.name(r, id)
	if err := s.create(name); err != nil {
		return nil, fmt.Errorf("new namespace %s: %w", name, err)
	}
	if space, err = s.find(r, id); space != nil {
		space.filtered = filters{} // a new one filters nothing
	}
	return space, err
}

// check refuses ids that would lead out of the directory.
func (r role) check(id string) error {
	if r != roleSwitch && !idPattern.MatchString(id) {
		return fmt.Errorf("id %q cannot name a namespace", id)
	}
	return nil
}

// find returns the namespace, or nil when there is none. One that this process has not looked at before is brought
// up to date, whoever made it.
func (s *namespaces) find(r role, id string) (*namespace, error) {
	space, err := s.lookup(r, id)
	if space == nil || err != nil || space.isFurnished {
		return space, err
	}
	if err := space.enter(func() error { return furnish(r, space.proc) }); err != nil {
		return nil, err
	}
	space.isFurnished = true
	return space, nil
}

// lookup returns the namespace as it is, or nil when there is none.
func (s *namespaces) lookup(r role, id string) (*namespace, error) {
	if err := r.check(id); err != nil {
		return nil, err
	}
	name := s.name(r, id)
	s.mu.Lock()
	space := s.known[name]
	s.mu.Unlock()
	if space != nil {
		return space, nil
	}
	fd, inode, err := openMounted(filepath.Join(directory, name))
	if fd < 0 || err != nil {
		return nil, err
	}
	space = &namespace{name: name, inode: inode, home: s.home, proc: s.home.proc, fd: fd}
	if r != roleSwitch {
		space.warm = s.warm
		s.warm.add(space)
	}
	s.mu.Lock()
	s.known[name] = space
	s.mu.Unlock()
	return space, nil
}

func (s *namespaces) isKnown(r role, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[s.name(r, id)] != nil
}

// nsfsMagic is what statfs says of a bind-mounted namespace (linux/magic.h).
const nsfsMagic = 0x6e736673

// openMounted opens a bind-mounted namespace; -1 stands for none, or for a file that a crash left without its mount.
func openMounted(path string) (fd int, inode uint64, err error) {
	fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return -1, 0, nil
	}
	if err != nil {
		return -1, 0, fmt.Errorf("namespace %s: %w", path, err)
	}
	var system unix.Statfs_t
	var file unix.Stat_t
	err = unix.Fstatfs(fd, &system)
	if err == nil {
		err = unix.Fstat(fd, &file)
	}
	if err != nil || system.Type != nsfsMagic {
		_ = unix.Close(fd)
		return -1, 0, err
	}
	return fd, file.Ino, nil
}

// create makes an empty namespace and gives it a name.
func (s *namespaces) create(name string) error {
	path := filepath.Join(directory, name)
	file, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o444)
	if err != nil {
		return err
	}
	_ = file.Close()

	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("unshare: %w", err)
	}
	err = unix.Mount(callersNetwork, path, "none", unix.MS_BIND, "")
	return errors.Join(err, s.home.welcome())
}

// furnish writes the settings of the role and brings lo up, in the namespace of the calling thread.
func furnish(r role, proc *procfs) error {
	if err := r.settings().write(proc); err != nil {
		return err
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("loopback interface: %w", err)
	}
	return h.LinkSetUp(lo)
}

// remove takes the name away; the kernel takes the namespace when its last socket is closed.
func (s *namespaces) remove(r role, id string) error {
	if err := r.check(id); err != nil {
		return err
	}
	name := s.name(r, id)
	s.mu.Lock()
	space := s.known[name]
	delete(s.known, name)
	s.mu.Unlock()
	if space != nil {
		space.close()
	}
	path := filepath.Join(directory, name)
	// EINVAL: not a mount point, what a crash left between making the file and mounting on it.
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmounting %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("name of a namespace: %w", err)
	}
	return nil
}

// list returns the ids of the namespaces of a role, half-made ones included.
func (s *namespaces) list(r role) ([]string, error) {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil, fmt.Errorf("list of namespaces: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if id, ok := strings.CutPrefix(e.Name(), s.name(r, "")); ok && idPattern.MatchString(id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// switchPattern is the name of any poise's switch.
var switchPattern = regexp.MustCompile(`^poise-([0-9a-f]{1,6})-switch$`)

// others are the tags of the other poises that have, or have left, namespaces here.
func (s *namespaces) others() (tags []string, err error) {
	entries, err := os.ReadDir(directory)
	for _, e := range entries {
		if m := switchPattern.FindStringSubmatch(e.Name()); m != nil && e.Name() != s.name(roleSwitch, "") {
			tags = append(tags, m[1])
		}
	}
	return tags, err
}

// close closes the descriptors and leaves the namespaces alone.
func (s *namespaces) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, space := range s.known {
		space.close()
	}
	clear(s.known)
	s.home.proc.close()
	s.home.close()
}
