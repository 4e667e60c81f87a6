package neutron

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/uptrace/bun"

	"poise/internal/rest"
)

// The words of a rule.
const (
	ingress  = "ingress"
	egress   = "egress"
	version4 = "IPv4"
	version6 = "IPv6"
)

var ethertypes = []string{version4, version6}

// groupRule lets something through; there is no rule that forbids.
type groupRule struct {
	bun.BaseModel `bun:"table:neutron_security_group_rules,alias:u"`
	common
	GroupID       string `bun:"group_id"`
	Direction     string `bun:"direction"`
	Ethertype     string `bun:"ethertype"`
	Protocol      string `bun:"protocol"` // a name or a number; "": any
	PortMin       *int   `bun:"port_min"` // of TCP and its like a port, of ICMP the type; nil: any
	PortMax       *int   `bun:"port_max"` // of ICMP the code
	RemotePrefix  string `bun:"remote_ip_prefix,nullzero"`
	RemoteGroupID string `bun:"remote_group_id,nullzero"`
}

// protocols are the names that a rule may use, with their numbers (IANA protocol numbers; Neutron's list).
var protocols = map[string]uint8{
	"ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "icmp": 1, "icmpv6": 58, "igmp": 2, "ipip": 4,
	"ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "ipv6-route": 43,
	"ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136, "vrrp": 112,
}

// ported are the protocols whose packets begin with two ports.
var ported = []uint8{6, 17, 33, 132, 136}

const (
	icmp4 = 1
	icmp6 = 58
)

// number is the protocol's number, 0 for any. In IPv6 "icmp" means ICMPv6, as in Neutron.
func (r *groupRule) number() uint8 {
	if r.Ethertype == version6 && (r.Protocol == "icmp" || r.Protocol == "1") {
		return icmp6
	}
	if n, ok := protocols[r.Protocol]; ok {
		return n
	}
	n, _ := strconv.ParseUint(r.Protocol, 10, 8)
	return uint8(n)
}

func (s *Service) securityGroupRules() kind {
	return kind{
		name: "security_group_rule", plural: "security_group_rules", path: "security-group-rules",
		columns: map[string]string{"id": "u.id", "project_id": "u.project_id", "tenant_id": "u.project_id", "security_group_id": "u.group_id"},
		list:    s.listRules,
		create:  s.createRule,
		update:  s.updateRule,
		remove:  s.deleteRule,
	}
}

// read takes the attributes of a new rule.
func (r *groupRule) read(b *body) {
	b.text("description", &r.Description)
	b.id("security_group_id", &r.GroupID)
	b.id("remote_group_id", &r.RemoteGroupID)
	b.word("direction", &r.Direction, ingress, egress)
	b.word("ethertype", &r.Ethertype, version4, version6)
	r.readProtocol(b)
	b.optional("port_range_min", &r.PortMin)
	b.optional("port_range_max", &r.PortMax)
	r.readPrefix(b)
	b.none("remote_address_group_id")
	if r.Direction == "" {
		b.fail(badRequest("HTTPBadRequest", "Failed to parse request. Required attribute 'direction' not specified"))
	}
}

// word takes one of some words in any case.
func (b *body) word(name string, into *string, words ...string) {
	text := ""
	if given := b.attributes[name]; string(given) == "null" {
		b.take(name)
		return
	}
	if b.text(name, &text); text == "" {
		return
	}
	at := slices.IndexFunc(words, func(w string) bool { return strings.EqualFold(w, text) })
	if at < 0 {
		b.fail(invalid(name, "'%s' is not in %v", text, words))
		return
	}
	*into = words[at]
}

// optional takes a number that may be null.
func (b *body) optional(name string, into **int) {
	if string(b.attributes[name]) == "null" {
		b.take(name)
		return
	}
	if !b.has(name) {
		return
	}
	number := 0
	b.number(name, 0, 65_535, &number)
	*into = &number
}

func (r *groupRule) readProtocol(b *body) {
	raw, ok := b.take("protocol")
	text := strings.ToLower(strings.Trim(string(raw), `"`))
	if !ok || slices.Contains([]string{"null", "", "any", "0"}, text) {
		return
	}
	if _, known := protocols[text]; !known {
		if n, err := strconv.ParseUint(text, 10, 8); err != nil || n == 0 {
			b.fail(badRequest("SecurityGroupRuleInvalidProtocol",
				"Security group rule protocol %s not supported. Only protocol names and integer representations [0 to 255] are supported.", short(raw)))
			return
		}
	}
	r.Protocol = text
}

func (r *groupRule) readPrefix(b *body) {
	raw, ok := b.take("remote_ip_prefix")
	var text *string
	if !ok || json.Unmarshal(raw, &text) == nil && (text == nil || *text == "") {
		return
	}
	if text == nil {
		b.fail(invalid("remote_ip_prefix", "'%s' is not a valid IP subnet", short(raw)))
		return
	}
	prefix, err := netip.ParsePrefix(*text)
	if address, alone := parseAddress(*text); alone == nil {
		prefix, err = netip.PrefixFrom(address, address.BitLen()), nil
	}
	if err != nil || prefix.Addr().Is4In6() {
		b.fail(invalid("remote_ip_prefix", "'%s' is not a valid IP subnet", *text))
		return
	}
	r.RemotePrefix = prefix.Masked().String()
	if prefix.Addr().Is4() != (r.Ethertype == version4) {
		b.fail(badRequest("SecurityGroupRuleParameterConflict", "Conflicting value ethertype %s for CIDR %s", r.Ethertype, *text))
	}
}

// check refuses what does not go together.
func (r *groupRule) check() error {
	protocol := r.number()
	isPorted := slices.Contains(ported, protocol)
	switch {
	case r.GroupID == "":
		return badRequest("HTTPBadRequest", "Failed to parse request. Required attribute 'security_group_id' not specified")
	case r.RemotePrefix != "" && r.RemoteGroupID != "":
		return badRequest("SecurityGroupMultipleRemoteEntites", "Only one of remote_ip_prefix, remote_group_id and remote_address_group_id may be provided.")
	case protocol == icmp6 && r.Ethertype == version4:
		return badRequest("SecurityGroupEthertypeConflictWithProtocol", "Invalid ethertype %s for protocol %s.", r.Ethertype, r.Protocol)
	case r.PortMin == nil && r.PortMax == nil:
		return nil
	case protocol == icmp4 || protocol == icmp6:
		return r.checkICMP()
	case protocol == 0:
		return badRequest("SecurityGroupProtocolRequiredWithPorts", "Must also specify protocol if port range is given.")
	case !isPorted:
		return badRequest("SecurityGroupInvalidProtocolForPort", "Invalid protocol %s for port range, only supported for TCP, UDP, UDPLITE, SCTP and DCCP.", r.Protocol)
	case r.PortMin == nil || r.PortMax == nil || *r.PortMin > *r.PortMax || *r.PortMin == 0:
		return badRequest("SecurityGroupInvalidPortRange", "For TCP/UDP protocols, port_range_min must be <= port_range_max")
	}
	return nil
}

func (r *groupRule) checkICMP() error {
	if r.PortMin == nil {
		return badRequest("SecurityGroupMissingIcmpType", "ICMP code (port-range-max) %d is provided but ICMP type (port-range-min) is missing.", *r.PortMax)
	}
	for name, value := range map[string]*int{"port_range_min": r.PortMin, "port_range_max": r.PortMax} {
		if value != nil && *value > 255 {
			return badRequest("SecurityGroupInvalidIcmpValue", "Invalid value for ICMP %s %d. It must be 0 to 255.", name, *value)
		}
	}
	return nil
}

func (r *groupRule) view() object {
	v := r.common.view()
	v["security_group_id"], v["direction"], v["ethertype"], v["protocol"] = r.GroupID, r.Direction, r.Ethertype, orNull(r.Protocol)
	v["port_range_min"], v["port_range_max"] = r.PortMin, r.PortMax
	v["remote_ip_prefix"], v["normalized_cidr"] = orNull(r.RemotePrefix), orNull(r.RemotePrefix)
	v["remote_group_id"], v["remote_address_group_id"] = orNull(r.RemoteGroupID), nil
	return v
}

// same tells whether two rules let through the same.
func (r *groupRule) same(other *groupRule) bool {
	number := func(n *int) int {
		if n == nil {
			return -1
		}
		return *n
	}
	return r.Direction == other.Direction && r.Ethertype == other.Ethertype && r.number() == other.number() &&
		number(r.PortMin) == number(other.PortMin) && number(r.PortMax) == number(other.PortMax) &&
		r.RemotePrefix == other.RemotePrefix && r.RemoteGroupID == other.RemoteGroupID
}

func selectRules(ctx context.Context, db bun.IDB, c rest.Caller, n narrow) ([]*groupRule, error) {
	return rowsOf[groupRule](ctx, db, owned(c), n)
}

func (s *Service) listRules(ctx context.Context, db bun.IDB, caller rest.Caller, n narrow) ([]object, error) {
	rows, err := selectRules(ctx, db, caller, n)
	return viewsOf(rows, (*groupRule).view), err
}

func (s *Service) createRule(ctx context.Context, c *change, b *body) (string, error) {
	r := &groupRule{common: newCommon(b.project("security_group_rule")), Ethertype: version4}
	b.word("ethertype", &r.Ethertype, version4, version6)
	r.read(b)
	if err := b.close(r.view()); err != nil {
		return "", err
	}
	if err := r.check(); err != nil {
		return "", err
	}
	g, err := c.ownGroup(ctx, r.GroupID, "create_security_group_rule")
	if err != nil {
		return "", err
	}
	if r.RemoteGroupID != "" {
		if _, err := findGroup(ctx, c.tx, c.caller, r.RemoteGroupID); err != nil {
			return "", err
		}
	}
	if at := slices.IndexFunc(g.Rules, r.same); at >= 0 {
		return "", conflict("SecurityGroupRuleExists", "Security group rule already exists. Rule id is %s.", g.Rules[at].ID)
	}
	if len(g.Rules) >= maxRules {
		return "", errOverQuota(quotaRule)
	}
	c.grows(r.ProjectID, quotaRule)
	if err := c.insert(ctx, r); err != nil {
		return "", err
	}
	return r.ID, c.groupChanged(ctx, g)
}

// maxRules bounds one group: each port in it carries all of them.
const maxRules = 1_000

// updateRule changes the description; the rest of a rule cannot be changed.
func (s *Service) updateRule(ctx context.Context, c *change, id string, b *body) error {
	r, err := c.ownRule(ctx, id, "update_security_group_rule")
	if err != nil {
		return err
	}
	b.text("description", &r.Description)
	if err := b.close(r.view()); err != nil {
		return err
	}
	return c.save(ctx, r)
}

func (s *Service) deleteRule(ctx context.Context, c *change, id string) error {
	r, err := c.ownRule(ctx, id, "delete_security_group_rule")
	if err != nil {
		return err
	}
	g, err := c.ownGroup(ctx, r.GroupID, "delete_security_group_rule")
	if err != nil {
		return err
	}
	if err := c.remove(ctx, r); err != nil {
		return err
	}
	return c.groupChanged(ctx, g)
}

func (c *change) ownRule(ctx context.Context, id, rule string) (*groupRule, error) {
	rows, err := selectRules(ctx, c.tx, c.caller, byID(id))
	r, err := one(rows, err, errRule(id))
	if err != nil {
		return nil, err
	}
	return r, mayChange(c.caller, r.ProjectID, rule)
}

func errRule(id string) error {
	return notFound("SecurityGroupRuleNotFound", "Security group rule %s does not exist", id)
}

// groupChanged counts a change of the group's rules, and has its ports plugged again.
func (c *change) groupChanged(ctx context.Context, g *securityGroup) error {
	if err := c.movedMembers(ctx, g.ID); err != nil {
		return err
	}
	return c.save(ctx, g)
}
