package testhost

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// NamespaceDir is where named network namespaces are.
const NamespaceDir = "/run/netns"

// Namespaces are the names of the host's network namespaces.
func Namespaces() (names []string, err error) {
	entries, err := os.ReadDir(NamespaceDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// OpenNamespace opens a network namespace by its name, the host's by "". The caller closes it.
func OpenNamespace(name string) (netns.NsHandle, error) {
	if name == "" {
		return netns.Get()
	}
	return netns.GetFromPath(filepath.Join(NamespaceDir, name))
}

// Networks lists what is in each network namespace, in order: interfaces, addresses, routes, and rules and set elements of
// nftables, without their counters. The host's own is named "".
func Networks() (map[string][]string, error) {
	names, err := Namespaces()
	if err != nil {
		return nil, err
	}
	all := map[string][]string{}
	for _, name := range append(names, "") {
		if all[name], err = network(name); err != nil {
			return nil, fmt.Errorf("network namespace %q: %w", name, err)
		}
	}
	return all, nil
}

func network(name string) ([]string, error) {
	space, err := OpenNamespace(name)
	if err != nil {
		return nil, err
	}
	defer space.Close()
	h, err := netlink.NewHandleAt(space)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	things, err := links(h)
	if err != nil {
		return nil, err
	}
	routes, err := h.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, err
	}
	for _, r := range routes {
		things = append(things, fmt.Sprintf("route to %v by %v", r.Dst, r.Gw))
	}
	filters, err := ruleset(space)
	things = append(things, filters...)
	slices.Sort(things)
	return things, err
}

func links(h *netlink.Handle) (things []string, err error) {
	all, err := h.LinkList()
	if err != nil {
		return nil, err
	}
	for _, l := range all {
		things = append(things, "link "+l.Attrs().Name)
		addresses, err := h.AddrList(l, netlink.FAMILY_V4)
		if err != nil {
			return nil, err
		}
		for _, a := range addresses {
			things = append(things, fmt.Sprintf("address %s on %s", a.IPNet, l.Attrs().Name))
		}
	}
	return things, nil
}

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
			things = append(things, fmt.Sprintf("rule in %s %s:%s", chain.Table.Name, chain.Name, expressions(rule)))
		}
	}
	tables, err := c.ListTables()
	for _, table := range tables {
		found, setErr := elements(c, table)
		things, err = append(things, found...), errors.Join(err, setErr)
	}
	return things, err
}

// expressions writes a rule without its counters.
func expressions(rule *nftables.Rule) string {
	text := strings.Builder{}
	for _, e := range rule.Exprs {
		if _, counts := e.(*expr.Counter); !counts {
			fmt.Fprintf(&text, " %T%+v", e, e)
		}
	}
	return text.String()
}

// elements lists what is in the sets of a table.
func elements(c *nftables.Conn, table *nftables.Table) (things []string, err error) {
	sets, err := c.GetSets(table)
	for _, set := range sets {
		all, elementErr := c.GetSetElements(set)
		err = errors.Join(err, elementErr)
		for _, e := range all {
			things = append(things, fmt.Sprintf("element of %s %s: %x %x", table.Name, set.Name, e.Key, e.Val))
		}
	}
	return things, err
}
