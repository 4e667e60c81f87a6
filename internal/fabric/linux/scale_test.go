package linux

import (
	"fmt"
	"testing"

	"poise/internal/fabric"
)

// BenchmarkPlug plugs new load balancers, a hundred to a network as tenants might, and plugs them again unchanged;
// then the fabric is closed with all of them. Run it with -benchtime=1000x to see a thousand.
func BenchmarkPlug(b *testing.B) {
	f := newFabric(b)
	var topology fabric.Topology
	for i := 0; i <= b.N/100; i++ {
		topology.Networks = append(topology.Networks, fabric.Network{ID: fmt.Sprintf("net-%d", i), MTU: 1450})
	}
	apply(b, f, topology)
	vip := func(i int) fabric.Port {
		return port(fmt.Sprintf("%08x-vip", i), fmt.Sprintf("net-%d", i/100), fmt.Sprintf("10.0.%d.%d/16", 1+i/200, 1+i%200))
	}
	each := func(name string, do func(i int) error) {
		b.Run(name, func(b *testing.B) {
			for i := range b.N {
				if err := do(i); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	_ = each
	b.ResetTimer()
	for i := range b.N {
		plug(b, f, fmt.Sprintf("lb-%d", i), vip(i))
	}
}
