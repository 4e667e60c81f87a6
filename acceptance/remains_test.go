package acceptance

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	_ "modernc.org/sqlite" // the server's database
)

// namespaces is where named network namespaces are.
const namespaces = "/run/netns"

// snapshot is everything on the host that a load balancer could leave something in.
type snapshot struct {
	Networks  map[string][]string // interfaces, addresses and rules by namespace; "" is the host
	Listening []string            // TCP sockets of the host
	Rows      map[string]int      // of the server's database, by table
}

// lookAtDeletion deletes the load balancer as the guide's reader would, and wants the host to be as it was before.
func (h *host) lookAtDeletion(before snapshot) {
	h.t.Helper()
	ids := h.ids()
	h.run("openstack loadbalancer delete --cascade mylb")
	h.retry(func() error { return h.mentions(ids) })
	h.run("openstack floating ip delete $FLOAT_IP_ID")
	h.retry(func() error {
		if diff := cmp.Diff(before, h.snapshot()); diff != "" {
			return fmt.Errorf("the host is not as it was (-before +after):\n%s", diff)
		}
		return nil
	})
}

// ids are those of the load balancer, everything below it, and its port.
func (h *host) ids() []string {
	return strings.Fields(h.run(strings.Join([]string{
		"openstack loadbalancer show mylb -f value -c id -c vip_port_id",
		"openstack loadbalancer listener list -f value -c id",
		"openstack loadbalancer pool list -f value -c id",
		"openstack loadbalancer member list mylb-pool -f value -c id",
		"openstack loadbalancer healthmonitor list -f value -c id",
	}, " && ")))
}

// retry calls check until it is content.
func (h *host) retry(check func() error) {
	h.t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	deadline := time.After(10 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			h.t.Fatal(err)
		}
	}
}

func (h *host) snapshot() snapshot {
	h.t.Helper()
	s := snapshot{Networks: map[string][]string{}, Rows: map[string]int{}}
	for _, name := range append(namespaceNames(h), "") {
		things, err := network(name)
		if err != nil {
			h.t.Fatalf("network %q: %v", name, err)
		}
		s.Networks[name] = things
	}
	s.Listening = listening(h)
	for table, rows := range h.rows() {
		s.Rows[table] = len(rows)
	}
	return s
}

func namespaceNames(h *host) (names []string) {
	entries, err := os.ReadDir(namespaces)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// network lists what is in a network namespace.
func network(name string) (things []string, err error) {
	space, err := netns.Get()
	if name != "" {
		_ = space.Close()
		space, err = netns.GetFromPath(filepath.Join(namespaces, name))
	}
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
	rules, err := ruleset(space)
	things = append(things, rules...)
	slices.Sort(things)
	return things, err
}

// ruleset lists the nftables rules and set elements of a namespace.
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
		sets, setErr := c.GetSets(table)
		err = errors.Join(err, setErr)
		for _, set := range sets {
			elements, elementErr := c.GetSetElements(set)
			err = errors.Join(err, elementErr)
			for _, e := range elements {
				things = append(things, fmt.Sprintf("element of %s %s: %x %x", table.Name, set.Name, e.Key, e.Val))
			}
		}
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

// listening lists the local addresses of the host's listening TCP sockets, as the kernel writes them.
func listening(h *host) (addresses []string) {
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		h.t.Fatal(err)
	}
	const listen = "0A" // include/net/tcp_states.h
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 3 && fields[3] == listen {
			addresses = append(addresses, fields[1])
		}
	}
	slices.Sort(addresses)
	return addresses
}

// rows reads the server's database, but for the tokens, which come with every command.
func (h *host) rows() map[string][]string {
	h.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(h.dataDir, "poise.db")+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		h.t.Fatal(err)
	}
	defer db.Close()
	tables, err := texts(db, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%token%' AND name NOT LIKE 'sqlite_%'")
	if err != nil {
		h.t.Fatal(err)
	}
	all := map[string][]string{}
	for _, table := range tables {
		if all[table], err = texts(db, "SELECT * FROM "+table); err != nil {
			h.t.Fatalf("table %s: %v", table, err)
		}
	}
	return all
}

// texts reads the rows of a query, each as one text.
func texts(db *sql.DB, query string) (found []string, err error) {
	rows, err := db.Query(query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		cells := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range cells {
			into[i] = &cells[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		row := make([]string, len(cells))
		for i, c := range cells {
			row[i] = c.String
		}
		found = append(found, strings.Join(row, " "))
	}
	return found, rows.Err()
}

// mentions says where one of the ids still stands: in a row, or in the name of a namespace.
func (h *host) mentions(ids []string) error {
	rows := h.rows()
	rows["namespaces"] = namespaceNames(h)
	for _, place := range slices.Sorted(maps.Keys(rows)) {
		for _, row := range rows[place] {
			for _, id := range ids {
				if strings.Contains(row, id) {
					return fmt.Errorf("%s still holds %s: %s", place, id, row)
				}
			}
		}
	}
	return nil
}

// wantNothingLeft wants a host on which the server has stopped to have no more than its loopback interface.
func (h *host) wantNothingLeft() {
	if names := namespaceNames(h); len(names) > 0 {
		h.t.Errorf("namespaces are left: %v", names)
	}
	links, err := net.Interfaces()
	if err != nil || len(links) != 1 {
		h.t.Errorf("interfaces are left: %v, %v", links, err)
	}
}
