package robust

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const namespaces = "/run/netns"

// bareHost is what a host has before any server starts.
var bareHost = []string{"link lo", "address 127.0.0.1/8 on lo"}

// hostState lists what is in each network namespace; that of the host is "".
func hostState(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, name := range append(namespaceNames(t), "") {
		things, err := networkState(name)
		if err != nil {
			t.Fatalf("namespace %q: %v", name, err)
		}
		all[name] = things
	}
	return all
}

func namespaceNames(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(namespaces)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// networkState lists the interfaces, addresses, routes and rules of a namespace, in order.
func networkState(name string) (things []string, err error) {
	space, err := openNamespace(name)
	if err != nil {
		return nil, err
	}
	defer space.Close()
	h, err := netlink.NewHandleAt(space)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	links, err := h.LinkList()
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		things = append(things, "link "+l.Attrs().Name)
		addresses, err := h.AddrList(l, netlink.FAMILY_V4)
		if err != nil {
			return nil, err
		}
		for _, a := range addresses {
			things = append(things, fmt.Sprintf("address %s on %s", a.IPNet, l.Attrs().Name))
		}
	}
	routes, err := h.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, err
	}
	for _, r := range routes {
		things = append(things, fmt.Sprintf("route to %v by %v", r.Dst, r.Gw))
	}
	rules, err := ruleset(space)
	things = append(things, rules...)
	slices.Sort(things)
	return things, err
}

func openNamespace(name string) (netns.NsHandle, error) {
	if name == "" {
		return netns.Get()
	}
	return netns.GetFromPath(filepath.Join(namespaces, name))
}

// ruleset lists the nftables rules and set elements of a namespace, without the rules' counters.
func ruleset(space netns.NsHandle) (things []string, err error) {
	c, err := nftables.New(nftables.WithNetNSFd(int(space)))
	if err != nil {
		return nil, err
	}
	chains, err := c.ListChains()
	if err != nil {
		return nil, err
	}
	for _, chain := range chains {
		rules, err := c.GetRules(chain.Table, chain)
		if err != nil {
			return nil, err
		}
		for _, rule := range rules {
			text := strings.Builder{}
			for _, e := range rule.Exprs {
				if _, counts := e.(*expr.Counter); !counts {
					fmt.Fprintf(&text, " %T%+v", e, e)
				}
			}
			things = append(things, fmt.Sprintf("rule in %s:%s", chain.Name, text.String()))
		}
	}
	tables, err := c.ListTables()
	if err != nil {
		return nil, err
	}
	for _, table := range tables {
		sets, err := c.GetSets(table)
		if err != nil {
			return nil, err
		}
		for _, set := range sets {
			elements, err := c.GetSetElements(set)
			if err != nil {
				return nil, err
			}
			for _, e := range elements {
				things = append(things, fmt.Sprintf("element of %s: %x %x", set.Name, e.Key, e.Val))
			}
		}
	}
	return things, nil
}

// ask connects to an address, from inside a namespace when its name is not "", and reads to the end.
func ask(namespace, address string, limit time.Duration) (string, error) {
	connection, err := dial(namespace, address, limit)
	if err != nil {
		return "", err
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	text, err := io.ReadAll(connection)
	return string(text), err
}

func dial(namespace, address string, limit time.Duration) (connection net.Conn, err error) {
	if namespace == "" {
		return net.DialTimeout("tcp4", address, limit)
	}
	type result struct {
		connection net.Conn
		err        error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		space, err := openNamespace(namespace)
		if err == nil {
			defer space.Close()
			err = unix.Setns(int(space), unix.CLONE_NEWNET)
		}
		var c net.Conn
		if err == nil {
			c, err = net.DialTimeout("tcp4", address, limit)
		}
		done <- result{c, err}
	}()
	r := <-done
	return r.connection, r.err
}
