package linux

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"poise/internal/fabric"
)

// Whatever of the forwarding a crash has left unmade is made when the load balancer is plugged again.
func TestHalfMadeForwardingIsCompleted(t *testing.T) {
	vip := port("vip", "net", "10.0.0.5/24")
	halves := map[string]func(f *Fabric, link netlink.Link, known outlet) error{
		"no program at the card": func(f *Fabric, link netlink.Link, _ outlet) error {
			return f.bridge.QdiscDel(&netlink.GenericQdisc{
				QdiscAttrs: netlink.QdiscAttrs{
					LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
				}, QdiscType: "clsact",
			})
		},
		"card unknown": func(f *Fabric, link netlink.Link, _ outlet) error {
			return f.forward.ports.Delete(uint32(link.Attrs().Index))
		},
		"MAC address unknown": func(f *Fabric, _ netlink.Link, known outlet) error {
			return f.forward.macs.Delete(&macKey{Network: uint32(known.network), MAC: [6]byte(known.mac)})
		},
		"address unknown": func(f *Fabric, _ netlink.Link, known outlet) error {
			key := addressKeyOf(known.network, known.addresses[0])
			return f.forward.addresses.Delete(&key)
		},
		"nothing known": func(f *Fabric, link netlink.Link, _ outlet) error {
			return f.forward.forget(link.Attrs().Index)
		},
		"another's MAC address": func(f *Fabric, _ netlink.Link, known outlet) error {
			return f.forward.macs.Put(&macKey{Network: uint32(known.network), MAC: [6]byte(known.mac)}, uint32(1))
		},
	}
	for name, half := range halves {
		t.Run(name, func(t *testing.T) {
			f := newFabric(t)
			apply(t, f, fabric.Topology{Networks: []fabric.Network{{ID: "net"}}})
			plug(t, f, "lb", vip)
			link, err := f.bridge.LinkByName(shortName("vip"))
			if err != nil {
				t.Fatal(err)
			}
			if err := half(f, link, f.forward.outlets[link.Attrs().Index]); err != nil {
				t.Fatal(err)
			}
			if err := f.setSeals([]card{portCard(vip)}, ""); err != nil { // a seal comes when all is made
				t.Fatal(err)
			}
			crash(f)

			f = restart(t, f.tag)
			apply(t, f, fabric.Topology{Networks: []fabric.Network{{ID: "net"}}})
			lb := plug(t, f, "lb", vip)
			client := plugServer(t, f, "client", port("client", "net", "10.0.0.9/24"))
			wantGreeting(t, dialer(client.Net), "10.0.0.5", serve(t, lb.Net, "10.0.0.5", "lb"), "lb to 10.0.0.9")
		})
	}
}

// A start takes out what is known of cards that have gone with their namespaces.
func TestForwardingToVanishedCardsIsForgotten(t *testing.T) {
	f := newFabric(t)
	apply(t, f, fabric.Topology{Networks: []fabric.Network{{ID: "net"}}})
	plug(t, f, "lb", port("vip", "net", "10.0.0.5/24"))
	plug(t, f, "other", port("other", "net", "10.0.0.6/24"))
	link, err := f.bridge.LinkByName(shortName("vip"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.bridge.LinkDel(link); err != nil {
		t.Fatal(err)
	}
	crash(f)

	f = restart(t, f.tag)
	var value portValue
	if err := f.forward.ports.Lookup(uint32(link.Attrs().Index), &value); err == nil {
		t.Error("the card that has gone is still known")
	}
	var addresses []netip.Addr
	for _, o := range f.forward.outlets {
		addresses = append(addresses, o.addresses...)
	}
	if len(addresses) != 1 || addresses[0] != netip.MustParseAddr("10.0.0.6") {
		t.Errorf("addresses %v are known, want 10.0.0.6", addresses)
	}
}

// More load balancers fit into a network than a bridge has ports.
func TestNetworkTakesMoreThanABridge(t *testing.T) {
	const bridgePorts = 1023 // linux/if_bridge.h, BR_PORT_BITS
	f := newFabric(t)
	apply(t, f, fabric.Topology{Networks: []fabric.Network{{ID: "net"}}})
	lb := plug(t, f, "lb", port("vip", "net", "10.0.0.5/16"))
	client := plugServer(t, f, "client", port("client", "net", "10.0.0.9/16"))
	bridge, err := f.bridge.LinkByName(shortName("net"))
	if err != nil {
		t.Fatal(err)
	}
	if err := fill(f, bridge, bridgePorts); err != nil {
		t.Fatal(err)
	}
	last := plug(t, f, "last", port("last", "net", "10.0.0.6/16"))
	for address, space := range map[string]fabric.Endpoint{"10.0.0.5": lb, "10.0.0.6": last} {
		wantGreeting(t, dialer(client.Net), address, serve(t, space.Net, address, "lb"), "lb to 10.0.0.9")
	}
	if _, err := f.PlugServer(t.Context(), "one-more", []fabric.Port{port("one-more", "net", "10.0.0.7/16")}); !errors.Is(err, unix.EXFULL) {
		t.Errorf("a server more than a bridge has ports: %v, want that the network is full", err)
	}
}

// fill takes the bridge's ports that are left.
func fill(f *Fabric, bridge netlink.Link, ports int) error {
	for i := 0; i < ports; i += 2 { // both ends of a pair
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MasterIndex = fmt.Sprintf("fill%d", i), bridge.Attrs().Index
		pair := netlink.NewVeth(attrs)
		pair.PeerName = fmt.Sprintf("fill%d", i+1)
		err := f.bridge.LinkAdd(pair)
		if err == nil {
			var peer netlink.Link
			if peer, err = f.bridge.LinkByName(pair.PeerName); err == nil {
				err = f.bridge.LinkSetMaster(peer, bridge)
			}
		}
		if errors.Is(err, unix.EXFULL) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// What is sealed is taken as it is; what differs, or was being changed when the process died, is looked at.
func TestSealedNamespacesAreNotEntered(t *testing.T) {
	vip := port("vip", "net", "10.0.0.5/24")
	moved := port("vip", "net", "10.0.0.6/24")
	closed := vip
	closed.Filter = &fabric.Filter{}
	for name, c := range map[string]struct {
		wanted fabric.Port
		broken bool
		looked bool
	}{
		"as it was":               {wanted: vip},
		"another address":         {wanted: moved, looked: true},
		"another filter":          {wanted: closed, looked: true},
		"crash during the change": {wanted: vip, broken: true, looked: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFabric(t)
			topology := fabric.Topology{Networks: []fabric.Network{{ID: "net"}}}
			apply(t, f, topology)
			plug(t, f, "lb", vip)
			if c.broken {
				if err := f.setSeals([]card{portCard(vip)}, ""); err != nil {
					t.Fatal(err)
				}
			}
			crash(f)

			f = restart(t, f.tag)
			apply(t, f, topology)
			space := plug(t, f, "lb", c.wanted).Net.(*namespace)
			if space.isFurnished != c.looked {
				t.Errorf("the namespace was looked at: %v, want %v", space.isFurnished, c.looked)
			}
			client := plugServer(t, f, "client", port("client", "net", "10.0.0.9/24"))
			address := c.wanted.Addresses[0].Addr().String()
			service := serve(t, space, address, "lb")
			if c.wanted.Filter != nil {
				if got, err := hear(t, dialer(client.Net), address, service); err == nil {
					t.Errorf("a closed port answers %q", got)
				}
				return
			}
			wantGreeting(t, dialer(client.Net), address, service, "lb to 10.0.0.9")
			plug(t, f, "lb", c.wanted) // once more, as a failover does
			if !space.isFurnished {
				t.Error("what is plugged again is not looked at")
			}
		})
	}
}
