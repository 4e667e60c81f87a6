package linux

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// comfortableNeighbours is a limit below which an operator should hear of it: a few thousand load balancers with a few
// members each in their own networks.
const comfortableNeighbours = 16_384

// Attributes of RTM_GETNEIGHTBL (linux/neighbour.h).
const (
	ndtaName    = 1
	ndtaThresh3 = 4
)

// neighbourTables are the kernel's limits of neighbours by table, in any namespace (rtnetlink(7), RTM_GETNEIGHTBL). The files
// below /proc/sys are in the host's first namespace only.
func neighbourTables() (map[string]int, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETNEIGHTBL, unix.NLM_F_DUMP)
	request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	messages, err := request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNEIGHTBL)
	if err != nil {
		return nil, fmt.Errorf("tables of neighbours: %w", err)
	}
	limits := map[string]int{}
	for _, m := range messages {
		attributes, err := nl.ParseRouteAttr(m[4:]) // after struct ndtmsg
		if err != nil {
			return nil, fmt.Errorf("tables of neighbours: %w", err)
		}
		name, limit := "", 0
		for _, a := range attributes {
			switch a.Attr.Type {
			case ndtaName:
				name = strings.TrimRight(string(a.Value), "\x00")
			case ndtaThresh3:
				limit = int(binary.NativeEndian.Uint32(a.Value))
			}
		}
		if limit > 0 {
			limits[name] = limit
		}
	}
	return limits, nil
}

// tightNeighbours says what the limits mean where they are low, and what raises them; "" where they are not.
func tightNeighbours(limits map[string]int) string {
	var low, commands []string
	for _, table := range []struct{ name, family string }{{"arp_cache", "ipv4"}, {"ndisc_cache", "ipv6"}} {
		if limit := limits[table.name]; limit > 0 && limit < comfortableNeighbours {
			low = append(low, fmt.Sprintf("%d of %s", limit, table.family))
			commands = append(commands, fmt.Sprintf("net.%s.neigh.default.gc_thresh3=%d", table.family, neighbourLimits[0].value))
		}
	}
	if len(low) == 0 {
		return ""
	}
	return fmt.Sprintf("the kernel keeps at most %s neighbours in all namespaces together, and load balancers need one for each "+
		"member in their own network: beyond it members seem unreachable; on the host, `sysctl -w %s` raises it",
		strings.Join(low, " and "), strings.Join(commands, " "))
}
