package octavia

import (
	"net/netip"
	"time"

	"poise/internal/lb"
)

// Attributes that several resources have.
var (
	idAttribute = attribute{name: "id", read: func(o object) any { return o.base.ID }}

	nameAttribute = attribute{
		name: "name", use: changeable, kind: text(lb.MaxName),
		read: func(o object) any { return o.base.Name },
	}

	adminAttribute = attribute{
		name: "admin_state_up", aliases: []string{"enabled"}, use: changeable, kind: boolean,
		read: func(o object) any { return o.base.AdminStateUp },
	}

	provisioningAttribute = attribute{
		name: "provisioning_status",
		read: func(o object) any { return string(o.Provisioning(o.base)) },
	}

	operatingAttribute = attribute{name: "operating_status", read: func(o object) any { return string(o.operating()) }}

	createdAttribute = attribute{name: "created_at", read: func(o object) any { return timestamp(o.base.CreatedAt) }}
	updatedAttribute = attribute{name: "updated_at", read: func(o object) any { return timestamp(o.UpdatedAt(o.base)) }}

	tagsAttribute = attribute{
		name: "tags", use: changeable | composed, kind: tags,
		read: func(o object) any { return append([]string{}, o.base.Tags...) },
	}

	loadBalancersAttribute = attribute{
		name: "loadbalancers", use: composed,
		read: func(o object) any { return []reference{{o.Tree.ID}} },
	}
)

// projectAttributes are project_id and its older name. On create only a load balancer heeds them (use is then
// [onCreate]); its children belong to its project whatever they say.
func projectAttributes() attributes {
	read := func(o object) any { return o.base.ProjectID }
	return attributes{
		{name: "project_id", use: onCreate, kind: text(lb.MaxProjectID), read: read},
		{name: "tenant_id", use: onCreate | echoed, kind: text(lb.MaxProjectID), read: read},
	}
}

// description is the attribute of the resources that have one.
func description(read func(object) string) attribute {
	return attribute{
		name: "description", use: changeable, kind: text(lb.MaxName),
		read: func(o object) any { return read(o) },
	}
}

// operating is the object's operating status; a member's depends on its pool.
func (o object) operating() lb.OperatingStatus {
	if o.member != nil {
		return o.OperatingMember(o.pool, o.member)
	}
	return o.Operating(o.base)
}

// common are the attributes of a request that every object takes.
func common(in values) lb.Common {
	return lb.Common{
		Name:         opt[string](in, "name"),
		AdminStateUp: opt[bool](in, "admin_state_up"),
		Tags:         opt[[]string](in, "tags"),
	}
}

// reference is how answers name an object that they do not show.
type reference struct {
	ID string `json:"id"`
}

// references name objects.
func references[T interface{ Base() *lb.Object }](objects []T) []reference {
	all := make([]reference, len(objects))
	for i, o := range objects {
		all[i] = reference{o.Base().ID}
	}
	return all
}

// timestamp is a time as Octavia writes it: UTC, to the second, without a zone. The zero time is null.
func timestamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05")
}

// orNull shows what is not set as null.
func orNull[T comparable](v T) any {
	var unset T
	if v == unset {
		return nil
	}
	return v
}

// ipText shows an address; one that is not set is null.
func ipText(a netip.Addr) any { return orNull(written{Addr: a}) }
