package nova_test

import (
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"

	"poise/internal/database/databasetest"
	"poise/internal/fabric/loopback"
	"poise/internal/keystone"
)

func TestGophercloudReadsServersAndNetworks(t *testing.T) {
	c := start(t, databasetest.SQLite(t), loopback.New(nil))
	network := c.network("127.65.0.0/24")
	c.server("srv-1", network, object{"colour": "red"})
	provider, err := openstack.AuthenticatedClient(t.Context(), gophercloud.AuthOptions{
		IdentityEndpoint: c.url + keystone.Path + "/v3", Username: "admin", Password: password, TenantName: "admin", DomainName: "Default",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer provider.HTTPClient.CloseIdleConnections()
	compute, err := openstack.NewComputeV2(provider, gophercloud.EndpointOpts{Region: "RegionOne"})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := servers.List(compute, servers.ListOpts{Name: "srv-1"}).AllPages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found, err := servers.ExtractServers(pages)
	if err != nil || len(found) != 1 || found[0].Status != "ACTIVE" || found[0].Metadata["colour"] != "red" || found[0].Flavor["id"] != "lab.tiny" {
		t.Errorf("servers: %v %+v", err, found)
	}
	neutron, err := openstack.NewNetworkV2(provider, gophercloud.EndpointOpts{Region: "RegionOne"})
	if err != nil {
		t.Fatal(err)
	}
	shown, err := networks.Get(t.Context(), neutron, network).Extract()
	if err != nil || shown.Name != "lab-net" || len(shown.Subnets) != 1 || shown.CreatedAt.IsZero() {
		t.Errorf("network: %v %+v", err, shown)
	}
	pages, err = ports.List(neutron, ports.ListOpts{DeviceID: found[0].ID}).AllPages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cards, err := ports.ExtractPorts(pages)
	if err != nil || len(cards) != 1 || cards[0].FixedIPs[0].IPAddress != "127.65.0.2" || cards[0].DeviceOwner != "compute:nova" {
		t.Errorf("ports: %v %+v", err, cards)
	}
}
