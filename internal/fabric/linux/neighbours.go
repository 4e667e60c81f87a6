package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// The kernel has one limit of neighbour (ARP, NDP) entries for all namespaces together, 1,024 by default. Each load
// balancer needs one for each of its members and its gateway, and each router one for each load balancer: a few
// hundred load balancers overflow it, and then addresses are forgotten while they are used.
// (Documentation/networking/ip-sysctl.rst, neigh/default/gc_thresh*.)
var neighbourLimits = []struct {
	name  string
	value int
}{
	// The highest first: the kernel's collector expects them in order.
	{"gc_thresh3", 262_144}, // never more
	{"gc_thresh2", 131_072}, // collected after five seconds above it
	{"gc_thresh1", 65_536},  // not collected below it
}

// RaiseNeighbourLimits makes room for the neighbours of thousands of load balancers. Limits that are higher stay. They can
// only be set from the host's first network namespace; elsewhere nothing happens. restore puts back what was
// raised and has not been changed since.
func RaiseNeighbourLimits() (restore func() error, err error) {
	var undo []func() error
	restore = func() error {
		var failures []error
		for _, one := range undo {
			failures = append(failures, one())
		}
		return errors.Join(failures...)
	}
	for _, family := range []string{"ipv4", "ipv6"} {
		for _, limit := range neighbourLimits {
			path := "/proc/sys/net/" + family + "/neigh/default/" + limit.name
			old, err := readNumber(path)
			if errors.Is(err, fs.ErrNotExist) || old >= limit.value {
				continue
			}
			if err == nil {
				err = writeNumber(path, limit.value)
			}
			if err != nil {
				return restore, fmt.Errorf("limit of neighbours: %w", err)
			}
			undo = append(undo, func() error {
				if now, err := readNumber(path); err != nil || now != limit.value {
					return err
				}
				return writeNumber(path, old)
			})
		}
	}
	return restore, nil
}

func readNumber(path string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

func writeNumber(path string, n int) error {
	return os.WriteFile(path, []byte(strconv.Itoa(n)), 0o644)
}
