package neutron_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"poise/internal/database/databasetest"
	"poise/internal/lb"
)

// Many at once get different addresses, on both engines.
func TestConcurrentAllocation(t *testing.T) {
	const workers, each = 8, 10
	onEach(t, func(t *testing.T, c *cloud) {
		subnet := c.subnet(alice, c.network(alice, nil), "10.0.0.0/24")
		var mu sync.Mutex
		given := map[string]bool{}
		var tasks sync.WaitGroup
		for w := range workers {
			tasks.Go(func() {
				for i := range each {
					vip, err := c.service.CreateVIP(t.Context(), alice,
						lb.VIPRequest{LoadBalancerID: fmt.Sprintf("%d-%d", w, i), ProjectID: "p1", SubnetID: id(subnet)})
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					given[vip.Address.String()] = true
					mu.Unlock()
				}
			})
		}
		tasks.Wait()
		if len(given) != workers*each {
			t.Errorf("%d addresses for %d ports", len(given), workers*each)
		}
	})
}

// A fabric that fails is tried again, without the user's help.
func TestFabricIsTriedAgain(t *testing.T) {
	c := start(t, databasetest.SQLite(t), "linux")
	c.fabric.mu.Lock()
	c.fabric.failures = 2
	c.fabric.mu.Unlock()
	n := c.network(alice, nil)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for deadline := time.After(5 * time.Second); ; {
		if topology, _ := c.fabric.last(); len(topology.Networks) == 1 && topology.Networks[0].ID == id(n) && c.service.Ready() {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			t.Fatal("the network has never come")
		}
	}
}

func BenchmarkCreateVIP(b *testing.B) {
	c := start(b, databasetest.SQLite(b), "linux")
	subnet := c.subnet(alice, c.network(alice, nil), "10.0.0.0/8")
	for i := 0; b.Loop(); i++ {
		request := lb.VIPRequest{LoadBalancerID: fmt.Sprint(i), ProjectID: "p1", SubnetID: id(subnet)}
		if _, err := c.service.CreateVIP(b.Context(), alice, request); err != nil {
			b.Fatal(err)
		}
	}
}
