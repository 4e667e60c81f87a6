package acceptance

import (
	"database/sql"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite" // the server's database

	"poise/internal/testhost"
)

// snapshot is everything on the host that a load balancer could leave something in.
type snapshot struct {
	Networks  map[string][]string // interfaces, addresses, routes and rules by namespace; "" is the host
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
	again := time.NewTicker(glance)
	defer again.Stop()
	deadline := time.After(patience)
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
	networks, err := testhost.Networks()
	if err != nil {
		h.t.Fatal(err)
	}
	listening, err := testhost.Listening()
	if err != nil {
		h.t.Fatal(err)
	}
	s := snapshot{Networks: networks, Listening: listening, Rows: map[string]int{}}
	for table, rows := range h.rows() {
		s.Rows[table] = len(rows)
	}
	return s
}

func namespaceNames(h *host) []string {
	h.t.Helper()
	names, err := testhost.Namespaces()
	if err != nil {
		h.t.Fatal(err)
	}
	return names
}

// rows reads the server's database, but for the tokens, which come with every command, and the rows by which the network service
// counts what a project has, which stay with the project, and the sources from which users have signed in.
func (h *host) rows() map[string][]string {
	h.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(h.dataDir, "poise.db")+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		h.t.Fatal(err)
	}
	defer db.Close()
	tables, err := texts(db, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%token%' AND "+
		"name NOT LIKE 'sqlite_%' AND name NOT IN ('neutron_quotas', 'keystone_origin')")
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
