package neutron

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"poise/internal/rest"
)

// maxMACAttempts bounds the search for a MAC address that the network does not have yet, out of 2^24.
const maxMACAttempts = 32

func (s *Service) ports() kind {
	return kind{
		name: "port", plural: "ports",
		columns: map[string]string{
			"id": "p.id", "name": "p.name", "project_id": "p.project_id", "tenant_id": "p.project_id", "network_id": "p.network_id",
			"device_id": "p.device_id", "device_owner": "p.device_owner", "mac_address": "p.mac_address",
		},
		list:   s.listPorts,
		create: s.createPort,
		update: s.updatePort,
		remove: s.deletePort,
	}
}

// wantedIP is one entry of fixed_ips in a request: a subnet, an address, or both.
type wantedIP struct {
	SubnetID string `json:"subnet_id"`
	Address  string `json:"ip_address"`
}

func (p *port) read(b *body) {
	b.text("name", &p.Name)
	b.text("description", &p.Description)
	b.flag("admin_state_up", &p.AdminStateUp)
	b.text("device_id", &p.DeviceID)
	p.readOwner(b)
	b.flag("port_security_enabled", &p.PortSecurity)
	list(b, "allowed_address_pairs", &p.AddressPairs)
	b.adminOnly("port", "binding:host_id")
	b.text("binding:host_id", &p.HostID)
	b.text("binding:vnic_type", &p.VNICType)
	b.adminOnly("port", "binding:profile")
	if profile, ok := b.take("binding:profile"); ok {
		var fields map[string]any
		if json.Unmarshal(profile, &fields) != nil {
			b.fail(invalid("binding:profile", "'%s' is not a dictionary", short(profile)))
		}
		if p.Profile = profile; fields == nil { // null
			p.Profile = json.RawMessage("{}")
		}
	}
	b.id("qos_policy_id", &p.QoSPolicyID)
	p.readDHCPOptions(b)
	b.none("dns_name", "dns_domain", "propagate_uplink_status",
		"data_plane_status", "numa_affinity_policy", "device_profile")
	b.macAddress(&p.MAC)
}

// readOwner keeps the owners that begin with "network:" to the service itself: they say what a port is for.
func (p *port) readOwner(b *body) {
	owner := p.DeviceOwner
	b.text("device_owner", &owner)
	if owner != p.DeviceOwner && strings.HasPrefix(owner, "network:") && !isAdmin(b.caller) {
		b.fail(forbidden("create_port:device_owner"))
	}
	p.DeviceOwner = owner
}

func (b *body) macAddress(into *string) {
	text := ""
	b.text("mac_address", &text)
	if text == "" {
		return
	}
	mac, err := net.ParseMAC(text)
	if err != nil || len(mac) != 6 || mac[0]&1 == 1 {
		b.fail(invalid("mac_address", "'%s' is not a valid MAC address", text))
		return
	}
	*into = mac.String()
}

func (p *port) view(caller rest.Caller) object {
	v := p.common.view()
	v["network_id"], v["name"], v["admin_state_up"], v["mac_address"] = p.NetworkID, p.Name, p.AdminStateUp, p.MAC
	v["device_id"], v["device_owner"], v["status"] = p.DeviceID, p.DeviceOwner, p.status()
	v["port_security_enabled"], v["allowed_address_pairs"] = p.PortSecurity, p.AddressPairs
	v["fixed_ips"], v["security_groups"], v["extra_dhcp_opts"] = p.fixedIPs(), p.groupIDs(), p.DHCPOptions
	v["binding:vnic_type"], v["qos_policy_id"], v["qos_network_policy_id"] = p.VNICType, orNull(p.QoSPolicyID), nil
	v["dns_name"], v["dns_domain"], v["dns_assignment"] = "", "", []object{}
	v["propagate_uplink_status"], v["data_plane_status"], v["ip_allocation"] = false, nil, "immediate"
	if isAdmin(caller) {
		v["binding:host_id"], v["binding:profile"] = p.HostID, p.Profile
		v["binding:vif_type"], v["binding:vif_details"] = "unbound", object{}
	}
	return v
}

// fixedIPs are the port's addresses in the order of their text, as Neutron shows them.
func (p *port) fixedIPs() []object {
	addresses := slices.SortedFunc(slices.Values(p.Addresses), func(a, b address) int {
		return cmp.Or(strings.Compare(a.Address, b.Address), strings.Compare(a.SubnetID, b.SubnetID))
	})
	fixed := make([]object, len(addresses))
	for i, a := range addresses {
		fixed[i] = object{"subnet_id": a.SubnetID, "ip_address": a.Address}
	}
	return fixed
}

func (p *port) status() string {
	if p.AdminStateUp && p.DeviceID != "" {
		return "ACTIVE"
	}
	return "DOWN"
}

func (s *Service) listPorts(ctx context.Context, db bun.IDB, caller rest.Caller, n narrow) ([]object, error) {
	rows, err := selectPorts(ctx, db, caller, n)
	return viewsOf(rows, func(p *port) object { return p.view(caller) }), err
}

func newPort(projectID, networkID string) *port {
	return &port{
		common: newCommon(projectID), NetworkID: networkID, AdminStateUp: true, PortSecurity: true,
		VNICType: "normal", Profile: json.RawMessage("{}"), AddressPairs: []addressPair{}, DHCPOptions: []dhcpOption{},
	}
}

func (s *Service) createPort(ctx context.Context, c *change, b *body) (string, error) {
	p := newPort(b.project("port"), "")
	b.id("network_id", &p.NetworkID)
	macGiven, fixedGiven := b.has("mac_address"), b.has("fixed_ips")
	wanted := []wantedIP{}
	list(b, "fixed_ips", &wanted)
	securityGiven, groups := b.has("port_security_enabled"), b.groups()
	p.read(b)
	if err := b.close(p.view(admin)); err != nil {
		return "", err
	}
	n, err := findNetwork(ctx, c.tx, c.caller, p.NetworkID)
	if err != nil {
		return "", err
	}
	if !securityGiven {
		p.PortSecurity = n.PortSecurity
	}
	if err := mayChoose(c.caller, n, wanted, macGiven); err != nil {
		return "", err
	}
	if !fixedGiven {
		wanted = nil
	}
	if err := c.checkQoSPolicy(ctx, p.QoSPolicyID, ""); err != nil {
		return "", err
	}
	if err := c.addPort(ctx, p, wanted); err != nil {
		return "", err
	}
	return p.ID, c.secure(ctx, p, groups)
}

// mayChoose keeps the choice of addresses on a network of somebody else to its owner.
func mayChoose(caller rest.Caller, n *network, wanted []wantedIP, mac bool) error {
	if isAdmin(caller) || caller.ProjectID == n.ProjectID {
		return nil
	}
	if mac {
		return forbidden("create_port:mac_address")
	}
	if slices.ContainsFunc(wanted, func(w wantedIP) bool { return w.Address != "" }) {
		return forbidden("create_port:fixed_ips:ip_address")
	}
	return nil
}

// addPort inserts the port and gives it its addresses: those wanted, or when wanted is nil, one of each IP family that
// the network has.
func (c *change) addPort(ctx context.Context, p *port, wanted []wantedIP) error {
	n, err := c.lock(ctx, p.NetworkID)
	if err != nil {
		return err
	}
	c.portGrows(p, n)
	if err := c.giveMAC(ctx, p); err != nil {
		return err
	}
	if err := c.insert(ctx, p); err != nil {
		return err
	}
	subnets, err := selectSubnets(ctx, c.tx, admin, where("s.network_id = ?", p.NetworkID))
	if err != nil {
		return err
	}
	if wanted == nil {
		return c.giveEachFamily(ctx, p, subnets)
	}
	return c.giveWanted(ctx, p, subnets, wanted)
}

// portGrows notes what a new port counts as (see [quotaCounts]).
func (c *change) portGrows(p *port, n *network) {
	if !p.HolderMade || !strings.HasPrefix(p.Holder, devicePrefix) {
		c.grows(p.ProjectID, quotaPort)
	}
	if n.External && n.ProjectID != p.ProjectID {
		c.grows(p.ProjectID, quotaFloatingIP)
	}
}

func (c *change) giveMAC(ctx context.Context, p *port) error {
	given := p.MAC != ""
	for range maxMACAttempts {
		if !given {
			p.MAC = newMAC()
		}
		busy, err := exists(ctx, c.tx.NewSelect().Model((*port)(nil)).Where("p.network_id = ? AND p.mac_address = ?", p.NetworkID, p.MAC))
		if err != nil || !busy {
			return err
		}
		if given {
			break
		}
	}
	return conflict("MacAddressInUse", "Unable to complete operation for network %s. The mac address %s is in use.", p.NetworkID, p.MAC)
}

// newMAC is below fa:16:3e, the prefix that OpenStack uses.
func newMAC() string {
	mac := net.HardwareAddr{0xfa, 0x16, 0x3e, 0, 0, 0}
	_, _ = rand.Read(mac[3:]) // crypto/rand does not fail
	return mac.String()
}

// giveEachFamily takes an address from the first subnet of each IP family that has a free one.
func (c *change) giveEachFamily(ctx context.Context, p *port, subnets []*subnet) error {
	for _, isFamily := range []func(netip.Addr) bool{netip.Addr.Is4, netip.Addr.Is6} {
		var full error
		for _, s := range subnets {
			if !isFamily(s.prefix().Addr()) {
				continue
			}
			if full = c.give(ctx, p, s, netip.Addr{}); !isFull(full) {
				break
			}
		}
		if full != nil {
			return full
		}
	}
	return nil
}

func (c *change) giveWanted(ctx context.Context, p *port, subnets []*subnet, wanted []wantedIP) error {
	for _, w := range wanted {
		s, chosen, err := c.resolve(ctx, w, p.NetworkID, subnets)
		if err != nil {
			return err
		}
		if err := c.give(ctx, p, s, chosen); err != nil {
			return err
		}
	}
	return nil
}

// resolve finds the subnet that the entry means among those of the network, and the address in it, if it names one.
func (c *change) resolve(ctx context.Context, w wantedIP, networkID string, subnets []*subnet) (*subnet, netip.Addr, error) {
	chosen := netip.Addr{}
	if w.Address != "" {
		var err error
		if chosen, err = parseAddress(w.Address); err != nil {
			return nil, chosen, invalid("fixed_ips", "'%s' is not a valid IP address", w.Address)
		}
	}
	if w.Address == "" && w.SubnetID == "" {
		return nil, chosen, badRequest("HTTPBadRequest", "Invalid input for operation: IP allocation requires subnet_id or ip_address.")
	}
	for _, s := range subnets {
		if s.ID == w.SubnetID || (w.SubnetID == "" && s.prefix().Contains(chosen)) {
			return s, chosen, nil
		}
	}
	if w.SubnetID != "" {
		if _, err := findSubnet(ctx, c.tx, c.caller, w.SubnetID); err != nil {
			return nil, chosen, err
		}
		return nil, chosen, badRequest("InvalidInput",
			"Invalid input for operation: Failed to create port on network %s, because fixed_ips included invalid subnet %s.", networkID, w.SubnetID)
	}
	return nil, chosen, badRequest("InvalidIpForNetwork",
		"IP address %s is not a valid IP for any of the subnets on the specified network.", chosen)
}

func (s *Service) updatePort(ctx context.Context, c *change, id string, b *body) error {
	p, err := findPort(ctx, c.tx, c.caller, id)
	if err != nil {
		return err
	}
	if err := mayChange(c.caller, p.ProjectID, "update_port"); err != nil {
		return err
	}
	n, err := c.lock(ctx, p.NetworkID)
	if err != nil {
		return err
	}
	if p, err = findPort(ctx, c.tx, c.caller, id); err != nil {
		return err
	}
	if p.isService() && (b.has("fixed_ips") || b.has("device_id") || b.has("device_owner") || b.has("mac_address")) {
		return errServicePort(p)
	}
	before, groups := *p, b.groups()
	fixedGiven, wanted := b.has("fixed_ips"), []wantedIP{}
	list(b, "fixed_ips", &wanted)
	b.adminOnly("port", "mac_address")
	p.read(b)
	if err := b.close(p.view(admin)); err != nil {
		return err
	}
	if p.MAC != before.MAC {
		if err := c.giveMAC(ctx, p); err != nil {
			return err
		}
		c.moved(p)
	}
	if fixedGiven {
		if err := c.readdress(ctx, p, n, wanted); err != nil {
			return err
		}
	}
	if err := c.checkQoSPolicy(ctx, p.QoSPolicyID, before.QoSPolicyID); err != nil {
		return err
	}
	if before.PortSecurity != p.PortSecurity {
		c.moved(p)
	}
	if groups != nil || !p.PortSecurity && before.PortSecurity {
		if err := s.regroup(ctx, c, p, groups); err != nil {
			return err
		}
	}
	return c.save(ctx, p)
}

// regroup puts a port into the groups that an update asks for, or out of all where it takes port security away.
func (s *Service) regroup(ctx context.Context, c *change, p *port, wanted []string) error {
	if p.isVIP() {
		if err := s.checkVIPGroups(p, wanted); err != nil {
			return err
		}
		p.GroupsGiven = true
		c.moved(p)
	}
	if len(p.groupsBy(byBalancer)) > 0 { // and the same are wanted
		return nil
	}
	return c.secure(ctx, p, wanted)
}

// readdress replaces the port's addresses; those that are still wanted stay.
func (c *change) readdress(ctx context.Context, p *port, n *network, wanted []wantedIP) error {
	kept, added := p.keep(wanted)
	if err := mayChoose(c.caller, n, added, false); err != nil {
		return err
	}
	gone := []string{}
	for _, a := range p.Addresses {
		if slices.ContainsFunc(kept, func(k address) bool { return k.Address == a.Address }) {
			continue
		}
		gone = append(gone, a.Address)
		if err := c.takeBack(ctx, a); err != nil {
			return err
		}
	}
	p.Addresses = kept
	if len(gone) > 0 {
		err := c.disassociateAll(ctx, where("f.port_id = ? AND f.fixed_ip_address IN ?", p.ID, bun.Tuple(gone)))
		if err != nil {
			return err
		}
	}
	subnets, err := selectSubnets(ctx, c.tx, admin, where("s.network_id = ?", p.NetworkID))
	if err != nil {
		return err
	}
	if len(gone)+len(added) > 0 {
		c.moved(p)
		if err := c.movedByRemote(ctx, p.groupIDs()...); err != nil {
			return err
		}
	}
	return c.giveWanted(ctx, p, subnets, added)
}

// keep tells the addresses of the port that satisfy an entry of wanted from the entries that need a new address.
func (p *port) keep(wanted []wantedIP) (kept []address, added []wantedIP) {
	left := slices.Clone(p.Addresses)
	for _, named := range []bool{true, false} { // entries with an address choose first
		for _, w := range wanted {
			if (w.Address != "") != named {
				continue
			}
			i := slices.IndexFunc(left, func(a address) bool {
				return (w.Address == "" || w.Address == a.Address) && (w.SubnetID == "" || w.SubnetID == a.SubnetID)
			})
			if i < 0 || w == (wantedIP{}) {
				added = append(added, w)
				continue
			}
			kept = append(kept, left[i])
			left = slices.Delete(left, i, i+1)
		}
	}
	slices.SortFunc(kept, func(a, b address) int { return a.Position - b.Position })
	return kept, added
}

// isService tells the ports that the service made for its own objects.
func (p *port) isService() bool { return p.RouterID != "" || p.DeviceOwner == ownerFloatingIP }

func errServicePort(p *port) error {
	return conflict("L3PortInUse",
		"Port %s having device owner %s cannot be changed or deleted directly via the port API.", p.ID, p.DeviceOwner)
}

func (s *Service) deletePort(ctx context.Context, c *change, id string) error {
	p, err := findPort(ctx, c.tx, c.caller, id)
	if err != nil {
		return err
	}
	if err := mayChange(c.caller, p.ProjectID, "delete_port"); err != nil {
		return err
	}
	if p.isService() {
		return errServicePort(p)
	}
	return c.deletePort(ctx, p)
}

// deletePort takes the port away with its addresses; its floating IPs stay, associated with nothing.
func (c *change) deletePort(ctx context.Context, p *port) error {
	if err := c.disassociateAll(ctx, where("f.port_id = ?", p.ID)); err != nil {
		return err
	}
	c.moved(p)
	if err := c.movedByRemote(ctx, p.groupIDs()...); err != nil {
		return err
	}
	return c.remove(ctx, p)
}

// isFull tells that a subnet has no free address.
func isFull(err error) bool { return kindOf(err) == kindFull }
