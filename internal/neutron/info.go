package neutron

import (
	"context"
	"fmt"
	"net/http"

	"poise/internal/rest"
)

// extensions are the parts of Neutron beyond its core that are spoken here.
var extensions = []struct{ alias, name, description string }{
	{"allowed-address-pairs", "Allowed Address Pairs", "Provides allowed address pairs"},
	{"binding", "Port Binding", "Shows the binding attributes of ports; nothing is bound by them"},
	{"ext-gw-mode", "Neutron L3 Configurable external gateway mode", "Gateways with and without source translation"},
	{"external-net", "Neutron external network", "Marks networks as external"},
	{"extra_dhcp_opt", "Neutron Extra DHCP options", "Shown as an empty list"},
	{"fip-port-details", "Floating IP Port Details Extension", "Shows the port of a floating IP"},
	{"net-mtu", "Network MTU", "Shows the MTU of networks"},
	{"net-mtu-writable", "Network MTU (writable)", "Sets the MTU of networks"},
	{"pagination", "Pagination support", "Pages of lists"},
	{"port-security", "Port Security", "Ports without it are in no security group and not filtered; source addresses are not checked"},
	{"project-id", "project_id field enabled", "project_id beside tenant_id"},
	{"qos", "Quality of Service", "Policies without rules: nothing is shaped by them"},
	{"quota_details", "Quota details management support", "Shows what is used"},
	{"quotas", "Quota management support", "Shows quotas, which are all unlimited"},
	{"router", "Neutron L3 Router", "Routers and floating IPs"},
	{"security-group", "security-group", "Filters what reaches and leaves the ports of servers and load balancers"},
	{"sorting", "Sorting support", "Order of lists"},
	{"standard-attr-description", "standard-attr-description", "Descriptions"},
	{"standard-attr-revisions", "Resource revision numbers", "Counts the changes of an object"},
	{"standard-attr-tag", "Tag support", "Tags"},
	{"standard-attr-timestamp", "Resource timestamps", "Times of creation and of the last change"},
}

const extensionsUpdated = "2026-11-01T00:00:00-00:00"

func extensionView(i int) object {
	e := extensions[i]
	return object{"alias": e.alias, "name": e.name, "description": e.description, "updated": extensionsUpdated, "links": []object{}}
}

func (s *Service) serveExtensions(w http.ResponseWriter, _ *http.Request) error {
	views := make([]object, len(extensions))
	for i := range extensions {
		views[i] = extensionView(i)
	}
	rest.WriteJSON(w, http.StatusOK, object{"extensions": views})
	return nil
}

func (s *Service) serveExtension(w http.ResponseWriter, r *http.Request) error {
	for i, e := range extensions {
		if e.alias == r.PathValue("alias") {
			rest.WriteJSON(w, http.StatusOK, object{"extension": extensionView(i)})
			return nil
		}
	}
	return notFound("ExtensionsNotFound", "Extensions not found: %s.", r.PathValue("alias"))
}

// unlimited is every quota: what a project may have is not limited here.
const unlimited = -1

func (s *Service) serveQuota(w http.ResponseWriter, r *http.Request) error {
	if err := mayReadQuota(r); err != nil {
		return err
	}
	quota := object{"project_id": r.PathValue("project"), "tenant_id": r.PathValue("project")}
	for _, k := range s.kinds() {
		quota[k.name] = unlimited
	}
	// Of these nobody can have any.
	for _, name := range []string{"rbac_policy", "subnetpool"} {
		quota[name] = 0
	}
	rest.WriteJSON(w, http.StatusOK, object{"quota": quota})
	return nil
}

func (s *Service) serveQuotaDetails(w http.ResponseWriter, r *http.Request) error {
	if err := mayReadQuota(r); err != nil {
		return err
	}
	quota := object{}
	for _, k := range s.kinds() {
		used, err := s.count(r.Context(), k, r.PathValue("project"))
		if err != nil {
			return err
		}
		quota[k.name] = object{"limit": unlimited, "used": used, "reserved": 0}
	}
	rest.WriteJSON(w, http.StatusOK, object{"quota": quota})
	return nil
}

func mayReadQuota(r *http.Request) error {
	caller := rest.CallerFrom(r.Context())
	if !isAdmin(caller) && (caller.ProjectID == "" || caller.ProjectID != r.PathValue("project")) {
		return forbidden("get_quota")
	}
	return nil
}

func (s *Service) count(ctx context.Context, k kind, projectID string) (int64, error) {
	used, err := s.db.NewSelect().TableExpr("neutron_"+tableOf[k.name]).Where("project_id = ?", projectID).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("quota usage of %s: %w", k.plural, err)
	}
	return used, nil
}
