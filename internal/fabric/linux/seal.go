package linux

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"

	"poise/internal/fabric"
)

// A seal says that a namespace is as a process has left it: complete, for exactly these ports. It stands in the alias of each
// card's plug, which goes with the card. A start takes what is sealed for the ports that are wanted as it is, without a look
// inside: with thousands of load balancers, to look at all of them would take many seconds. Whoever changes a namespace
// breaks its seals first, so that a crash in between leaves none.

// sealVersion goes into each seal: it changes with whatever this program makes of the same ports.
const sealVersion = "3"

// seal is the alias of the plugs of a namespace that is complete for these ports.
func (f *Fabric) seal(r role, ports []fabric.Port) (string, error) {
	text, err := json.Marshal(ports)
	if err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	sum := sha256.Sum256(fmt.Appendf(text, "%s %s %v", sealVersion, r, f.forward != nil))
	return "sealed " + hex.EncodeToString(sum[:]), nil
}

// setSeals writes the alias of the plugs; those that are not there have none.
func (f *Fabric) setSeals(cards []card, alias string) error {
	for _, c := range cards {
		link, err := findLink(f.bridge, c.plug)
		if err != nil {
			return err
		}
		if link == nil || link.Attrs().Alias == alias {
			continue
		}
		if err := f.bridge.LinkSetAlias(link, alias); err != nil {
			return fmt.Errorf("seal of %s: %w", c.plug, err)
		}
	}
	return nil
}

// adopt returns the namespace of an earlier process if it is sealed for these ports, nil if it has to be looked at.
func (f *Fabric) adopt(r role, id string, ports []fabric.Port, cards []card) (*namespace, error) {
	if f.spaces.isKnown(r, id) || len(cards) == 0 || f.forward == nil {
		return nil, nil
	}
	alias, err := f.seal(r, ports)
	if err != nil {
		return nil, err
	}
	for _, c := range cards {
		found := f.takeFound(c.plug)
		if found == nil || found.Attrs().Alias != alias || found.Attrs().Flags&net.FlagUp == 0 {
			return nil, nil
		}
		network := f.takeNetwork(c.networkID)
		if network == 0 || !f.forward.isConnected(found.Attrs().Index, c.outlet(network)) {
			return nil, nil
		}
	}
	space, err := f.spaces.lookup(r, id)
	if space != nil {
		space.filtered = filtersOf(r, ports)
	}
	return space, err
}

// outlet is the card's plug in the network of this bridge.
func (c card) outlet(bridge int) outlet {
	o := outlet{network: bridge, bridged: c.bridged, mac: c.mac}
	for _, p := range c.addresses {
		o.addresses = append(o.addresses, p.Addr())
	}
	return o
}

// isConnected says whether the plug is known exactly so.
func (f *forwarder) isConnected(index int, want outlet) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	have := f.outlets[index]
	same := have.isKnown && have.bridged == want.bridged && have.network == want.network && slices.Equal(have.mac, want.mac) &&
		f.owners[macKey{Network: uint32(want.network), MAC: [6]byte(have.mac)}] == index
	for _, a := range want.addresses {
		mac, known := f.answers[addressKeyOf(want.network, a)]
		same = same && known && slices.Equal(mac.MAC[:], want.mac)
	}
	return same && len(have.addresses) == len(want.addresses)
}

// leftovers are the interfaces that the switch had at the start.
type leftovers map[string]netlink.Link

func (f *Fabric) takeFound(name string) netlink.Link {
	f.finding.Lock()
	defer f.finding.Unlock()
	link := f.found[name]
	delete(f.found, name)
	return link
}

// takeNetwork is the interface index of the network's bridge, 0 when it was not there at the start.
func (f *Fabric) takeNetwork(id string) int {
	f.finding.Lock()
	defer f.finding.Unlock()
	if link, ok := f.found[shortName(id)].(*netlink.Bridge); ok {
		return link.Index
	}
	return 0
}
