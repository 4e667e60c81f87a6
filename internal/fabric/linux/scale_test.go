package linux

import (
	"fmt"
	"os"
	"testing"

	"poise/internal/fabric"
)

// BenchmarkPlug plugs ever more load balancers, a hundred to a network; -benchtime=1000x makes it a thousand. It
// reports the kernel's and this process's memory for each.
func BenchmarkPlug(b *testing.B) {
	f := newFabric(b)
	var topology fabric.Topology
	for i := range b.N/100 + 1 {
		topology.Networks = append(topology.Networks, fabric.Network{ID: fmt.Sprintf("net-%d", i), MTU: 1450})
	}
	apply(b, f, topology)
	before := freeMemory(b)
	b.ResetTimer()
	for i := range b.N {
		id := fmt.Sprintf("lb-%d", i)
		plug(b, f, id, port(id+"-vip", fmt.Sprintf("net-%d", i/100), fmt.Sprintf("10.0.%d.%d/16", i/200, 2+i%200)))
	}
	b.StopTimer()
	b.ReportMetric(float64(before-freeMemory(b))/float64(b.N), "kB/op")
}

// BenchmarkPlugAgain plugs what is plugged.
func BenchmarkPlugAgain(b *testing.B) {
	f := newFabric(b)
	apply(b, f, fabric.Topology{Networks: []fabric.Network{{ID: "net"}}})
	vip := port("vip", "net", "10.0.0.5/24")
	plug(b, f, "lb", vip)
	for b.Loop() {
		plug(b, f, "lb", vip)
	}
}

// freeMemory is the machine's, in kB.
func freeMemory(b *testing.B) (kB int) {
	b.Helper()
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		b.Fatal(err)
	}
	var total int
	if _, err := fmt.Sscanf(string(info), "MemTotal: %d kB\nMemFree: %d kB", &total, &kB); err != nil {
		b.Fatal(err)
	}
	return kB
}
