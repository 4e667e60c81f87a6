package octavia

import (
	"iter"
	"net/http"
	"net/netip"

	"github.com/google/uuid"

	"poise/internal/lb"
)

var members = &resource{
	kind: lb.KindMember, policy: "member", path: "/pools/{pool}/members",
	envelope: "member", plural: "members", argument: "member_",

	above: "pool", aboveKind: lb.KindPool,

	attributes: append(projectAttributes(), attributes{
		idAttribute, nameAttribute, provisioningAttribute, operatingAttribute, adminAttribute, createdAttribute, updatedAttribute,
		{
			name: "address", aliases: []string{"ip_address"}, use: mandatory, kind: asWritten,
			read: func(o object) any { return o.address() },
		},
		{
			name: "protocol_port", use: mandatory, kind: integer(1, 65535),
			read: func(o object) any { return o.member.ProtocolPort },
		},
		{name: "weight", use: changeable, kind: integer(0, lb.MaxWeight), read: func(o object) any { return o.member.Weight }},
		{name: "backup", use: changeable, kind: boolean, read: func(o object) any { return o.member.Backup }},
		{name: "subnet_id", use: onCreate, kind: identity, read: func(o object) any { return orNull(o.member.SubnetID) }},
		{
			name: "monitor_address", use: changeable, kind: asWritten,
			read: func(o object) any { return orNull(written{o.member.MonitorAddress, o.member.MonitorAddressText}) },
		},
		{
			name: "monitor_port", use: changeable, kind: integer(1, 65535),
			read: func(o object) any { return orNull(o.member.MonitorPort) },
		},
		fixed("request_sriov", onCreate|hidden, boolean, false),
		fixed("vnic_type", 0, nil, "normal"),
		{name: "pool_id", use: hidden, read: func(o object) any { return o.pool.ID }},
		tagsAttribute,
	}...),

	objects: func(s lb.Snapshot, poolID string) iter.Seq[object] {
		return func(yield func(object) bool) {
			p, err := s.Tree.Pool(poolID)
			if err != nil { // the pool went away since its load balancer was looked up
				return
			}
			for _, m := range p.Members {
				if !yield(object{Snapshot: s, base: &m.Object, pool: p, member: m}) {
					return
				}
			}
		}
	},
	parent: func(c *call, in request) (lb.Snapshot, error) {
		s, err := c.Control.Holder(c.r.Context(), lb.KindPool, c.r.PathValue("pool"))
		in.values["pool"] = c.r.PathValue("pool") // for create
		return s, inPath(err)
	},
	look: func(c *call, in request) error {
		return c.lookAtSubnets(get[string](in.values, "subnet_id"))
	},
	create: func(t *lb.LoadBalancer, id string, in values) error {
		_, err := t.CreateMember(get[string](in, "pool"), memberCreate(id, in))
		return err
	},
	update: func(t *lb.LoadBalancer, o object, in values) error {
		_, err := t.UpdateMember(o.pool.ID, o.base.ID, memberAttrs(in))
		return err
	},
	remove: func(t *lb.LoadBalancer, o object) error { return t.DeleteMember(o.pool.ID, o.base.ID) },
}

// address is a member's address as answers show it.
func (o object) address() written { return written{o.member.Address, o.member.AddressText} }

func memberAttrs(in values) lb.MemberAttrs {
	monitor := opt[written](in, "monitor_address")
	return lb.MemberAttrs{
		Common:             common(in),
		Weight:             opt[int](in, "weight"),
		Backup:             opt[bool](in, "backup"),
		MonitorAddress:     lb.Opt[netip.Addr]{Set: monitor.Set, Null: monitor.Null, Value: monitor.Value.Addr},
		MonitorAddressText: monitor.Value.text,
		MonitorPort:        opt[int](in, "monitor_port"),
	}
}

func memberCreate(id string, in values) lb.MemberCreate {
	address := get[written](in, "address")
	return lb.MemberCreate{
		MemberAttrs: memberAttrs(in), ID: id,
		Address: address.Addr, AddressText: address.text,
		ProtocolPort: get[int](in, "protocol_port"), SubnetID: opt[string](in, "subnet_id"),
	}
}

// lookAtSubnets refuses new members on subnets that the caller cannot see; each subnet is looked at once.
func (c *call) lookAtSubnets(ids ...string) error {
	seen := map[string]bool{"": true}
	for _, id := range ids {
		if seen[id] {
			continue
		}
		seen[id] = true
		if err := c.Control.SubnetVisible(c.r.Context(), c.caller, id); err != nil {
			return err
		}
	}
	return nil
}

// maxBatchBody bounds the body of a batch update in bytes. Octavia's limit holds for this one as well, but leaves room for
// no more than some 1,000 members; this is 200 bytes for each of the most that a pool can have.
const maxBatchBody = 200 * lb.MaxMembers

// putMembers makes the members of a pool those of the body (Octavia's batch update).
func putMembers(c *call) error {
	additiveOnly := looseBoolean(c.query.Get("additive_only"))
	in, err := c.memberList()
	if err != nil {
		return err
	}
	poolID := c.r.PathValue("pool")
	s, err := c.Control.Holder(c.r.Context(), lb.KindPool, poolID)
	if err != nil {
		return inPath(err)
	}
	if err := c.allowsBatch(s.Tree.ProjectID, additiveOnly); err != nil {
		return err
	}
	list, err := batch(in)
	if err != nil {
		return err
	}
	if p, err := s.Tree.Pool(poolID); err == nil {
		if err := c.lookAtSubnets(p.NewSubnets(list)...); err != nil {
			return err
		}
	}
	if _, err := c.Control.Change(c.r.Context(), s.Tree.ID, func(t *lb.LoadBalancer) error {
		return t.ReplaceMembers(poolID, list, additiveOnly)
	}); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusAccepted)
	return nil
}

// batch are the members of a batch update as the domain takes them.
func batch(in []request) ([]lb.MemberCreate, error) {
	all := make([]lb.MemberCreate, len(in))
	for i, m := range in {
		if err := m.check(); err != nil {
			return nil, err
		}
		all[i] = memberCreate(uuid.NewString(), m.values)
	}
	return all, nil
}

// memberList reads the body of a batch update.
func (c *call) memberList() ([]request, error) {
	const argument, envelope = "members_", "members"
	c.maxBody = maxBatchBody
	body, inner, err := c.envelope(argument, envelope)
	if err != nil {
		return nil, err
	}
	list, ok := inner.([]any)
	if !ok {
		return nil, ofArgument(errConversion("Value not a valid list: %s", pythonText(inner)), argument, body)
	}
	all := make([]request, len(list))
	for i, item := range list {
		if all[i], err = members.attributes.decode(argument+"."+envelope, item, onCreate); err != nil {
			return nil, ofArgument(err, argument, body)
		}
	}
	return all, nil
}

// allowsBatch asks every policy that a batch update may need.
func (c *call) allowsBatch(project string, additiveOnly bool) error {
	needed := []string{"member:post", "member:put"}
	if !additiveOnly {
		needed = append(needed, "member:delete")
	}
	for _, name := range needed {
		if err := c.allowsPolicy(name, project); err != nil {
			return err
		}
	}
	return nil
}
