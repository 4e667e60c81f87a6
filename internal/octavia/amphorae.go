package octavia

import (
	"fmt"
	"net/http"
	"net/netip"

	"github.com/google/uuid"

	"poise/internal/lb"
	"poise/internal/rest"
)

// An amphora is one placement of a load balancer on a traffic node. Octavia has virtual machines there; here it is
// derived from the load balancer, and has neither a row nor a status of its own.

// amphoraSpace makes an amphora's ids of its load balancer's. A failover makes another amphora, with other ids.
var amphoraSpace = uuid.MustParse("0d5f3f0e-5d0b-5c55-9d6a-6f1d8f4b4a52")

// statusOfAmphora is Octavia's word for how far a placement has come.
var statusOfAmphora = map[lb.ProvisioningStatus]string{
	lb.Active: "ALLOCATED", lb.PendingUpdate: "ALLOCATED", lb.PendingCreate: "PENDING_CREATE",
	lb.PendingDelete: "PENDING_DELETE", lb.Failed: "ERROR",
}

func (o object) amphoraStatus() string { return statusOfAmphora[o.Provisioning(&o.Tree.Object)] }

// loopbackAddress is where control reaches every placement: control and node are one process.
var loopbackAddress = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// amphoraAttributes have null for what only a virtual machine has.
var amphoraAttributes = attributes{
	idAttribute,
	{name: "project_id", use: hidden, read: func(o object) any { return o.Tree.ProjectID }},
	{name: "loadbalancer_id", aliases: []string{"load_balancer_id"}, read: func(o object) any { return o.Tree.ID }},
	{name: "compute_id", read: func(o object) any { return derivedID(o.Snapshot, "compute") }}, // clients want it to be an id
	{name: "lb_network_ip", read: func(object) any { return ipText(loopbackAddress) }},
	{name: "vrrp_ip", read: func(o object) any { return ipText(o.Tree.VIP.Address) }},
	{name: "ha_ip", read: func(o object) any { return ipText(o.Tree.VIP.Address) }},
	{name: "vrrp_port_id", read: func(o object) any { return orNull(o.Tree.VIP.PortID) }},
	{name: "ha_port_id", read: func(o object) any { return orNull(o.Tree.VIP.PortID) }},
	fixed("cert_expiration", 0, nil, nil),
	fixed("cert_busy", 0, nil, false),
	fixed("role", 0, nil, "STANDALONE"),
	{name: "status", read: func(o object) any { return o.amphoraStatus() }},
	fixed("vrrp_interface", 0, nil, nil),
	fixed("vrrp_id", 0, nil, 1),
	fixed("vrrp_priority", 0, nil, nil),
	{name: "cached_zone", read: func(o object) any { return orNull(o.Tree.AvailabilityZone) }},
	createdAttribute,
	{name: "updated_at", read: func(o object) any { return updatedAttribute.read(object{Snapshot: o.Snapshot, base: &o.Tree.Object}) }},
	fixed("image_id", 0, nil, nil),
	fixed("compute_flavor", 0, nil, nil),
}

func amphoraRoutes() []route {
	const path = "/octavia/amphorae"
	return []route{
		{"GET", path, "amphora:get_all", listAmphorae, amphoraAttributes.listParameters()},
		{"GET", path + "/{id}", "amphora:get_one", showAmphora, []parameter{fieldsParameter}},
		{"DELETE", path + "/{id}", "amphora:delete", deleteAmphora, nil},
		{"GET", path + "/{id}/stats", "amphora:get_stats", amphoraStats, nil},
		{"PUT", path + "/{id}/failover", "amphora:put_failover", failoverAmphora, nil},
		{"PUT", path + "/{id}/config", "amphora:put_config", configureAmphora, nil},
	}
}

func listAmphorae(c *call) error {
	q, err := c.listQuery(amphoraAttributes)
	if err != nil {
		return err
	}
	all, err := c.amphorae()
	if err != nil {
		return err
	}
	return c.answerPage(q, all, "amphorae", "amphorae_links", func(o object) map[string]any {
		return amphoraAttributes.render(o, q.fields)
	})
}

// amphorae are the placements of all load balancers, for those who may see them.
func (c *call) amphorae() ([]object, error) {
	if err := c.allows(c.caller.ProjectID); err != nil {
		return nil, err
	}
	snapshots, err := c.Control.List(c.r.Context(), "")
	return objectsOf(snapshots, amphoraOf), err
}

func derivedID(s lb.Snapshot, of string) string {
	return uuid.NewSHA1(amphoraSpace, fmt.Appendf(nil, "%s %s %d", of, s.Tree.ID, s.Tree.FailedOver)).String()
}

func amphoraOf(s lb.Snapshot) object {
	base := s.Tree.Object
	base.ID = derivedID(s, "amphora")
	return object{Snapshot: s, base: &base}
}

// findAmphora asks the policy, and looks up the amphora of the URL.
func (c *call) findAmphora() (object, error) {
	all, err := c.amphorae()
	if err != nil {
		return object{}, err
	}
	id := c.r.PathValue("id")
	for _, o := range all {
		if o.base.ID == id {
			return o, nil
		}
	}
	return object{}, lb.ErrNotFound("Amphora", id)
}

func showAmphora(c *call) error {
	o, err := c.findAmphora()
	if err != nil {
		return err
	}
	rest.WriteJSON(c.w, http.StatusOK, map[string]any{"amphora": amphoraAttributes.render(o, c.query["fields"])})
	return nil
}

// amphoraStats answers with the counters of each listener.
func amphoraStats(c *call) error {
	o, err := c.findAmphora()
	if err != nil {
		return err
	}
	counters, err := c.Control.Counters(c.r.Context(), o.Tree.ID)
	if err != nil {
		return err
	}
	if len(o.Tree.Listeners) == 0 {
		return lb.ErrNotFound("Amphora stats for", o.base.ID)
	}
	type listenerStats struct {
		ID             string `json:"id"`
		ListenerID     string `json:"listener_id"`
		LoadBalancerID string `json:"loadbalancer_id"`
		lb.Counters
	}
	all := make([]listenerStats, len(o.Tree.Listeners))
	for i, l := range o.Tree.Listeners {
		all[i] = listenerStats{o.base.ID, l.ID, o.Tree.ID, counters[l.ID]}
	}
	rest.WriteJSON(c.w, http.StatusOK, map[string]any{"amphora_stats": all})
	return nil
}

// failoverAmphora applies the load balancer from scratch.
func failoverAmphora(c *call) error {
	o, err := c.findAmphora()
	if err != nil {
		return err
	}
	return c.failover(o.Tree.ID, http.StatusAccepted)
}

// deleteAmphora takes a placement away that has failed; the load balancer then gets it anew. One that serves stays.
func deleteAmphora(c *call) error {
	o, err := c.findAmphora()
	switch {
	case err != nil:
		return err
	case o.amphoraStatus() != "ERROR":
		return &lb.Error{Code: lb.Immutable, Message: "Amphora " + o.base.ID + " is immutable and cannot be updated."}
	default:
		return c.failover(o.Tree.ID, http.StatusNoContent)
	}
}

// configureAmphora has the node take the load balancer's configuration again.
func configureAmphora(c *call) error {
	o, err := c.findAmphora()
	if err != nil {
		return err
	}
	c.Control.Reapply(o.Tree.ID)
	c.w.WriteHeader(http.StatusAccepted)
	return nil
}

// failoverLoadBalancer applies a load balancer from scratch.
func failoverLoadBalancer(c *call) error {
	o, err := loadBalancers.find(c)
	if err != nil {
		return err
	}
	return c.failover(o.Tree.ID, http.StatusAccepted)
}

func (c *call) failover(loadBalancerID string, status int) error {
	if _, err := c.Control.Failover(c.r.Context(), loadBalancerID); err != nil {
		return err
	}
	c.w.WriteHeader(status)
	return nil
}
