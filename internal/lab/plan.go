package lab

import (
	"fmt"
	"net/netip"
)

// plan is where the lab's addresses are.
type plan struct{ inside, external netip.Prefix }

// plans are tried in this order: the first whose ranges the server's fabric carries is taken. The first is the guide's.
var plans = []plan{
	{netip.MustParsePrefix("10.15.25.0/24"), netip.MustParsePrefix("198.51.100.0/24")},
	{netip.MustParsePrefix("127.15.25.0/24"), netip.MustParsePrefix("127.51.100.0/24")},
}

// planOf finds the plan that a subnet was made by.
func planOf(insideCIDR string) (plan, error) {
	for _, p := range plans {
		if p.inside.String() == insideCIDR {
			return p, nil
		}
	}
	return plan{}, fmt.Errorf("the subnet %s is not the lab's: it has another range", insideCIDR)
}

// The last bytes of the addresses. What is given out automatically lies apart from what is fixed.
const (
	gatewayHost = 1 // of both subnets; outside it is the host itself
	routerHost  = 2 // the router's leg outside
)

// insidePool and externalPool are the first and last bytes of the allocation pools.
var (
	insidePool   = [2]byte{178, 230}
	externalPool = [2]byte{129, 254}
)

// serverHosts are the servers, in order, by the last byte of their addresses.
var serverHosts = []struct {
	name string
	host byte
}{
	{"srv-lbaas-1", 105},
	{"srv-lbaas-2", 236},
	{"srv-lbaas-3", 58},
}

// at is the address with the last byte host in a range of 256.
func at(within netip.Prefix, host byte) string {
	bytes := within.Masked().Addr().As4()
	bytes[3] = host
	return netip.AddrFrom4(bytes).String()
}
