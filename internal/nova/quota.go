package nova

import (
	"net/http"

	"poise/internal/rest"
)

// unlimited is each limit of a project: only administrators make servers, so nothing else bounds them.
const unlimited = -1

// serveQuota answers the openstack command, which asks for the quota of servers whenever it shows any quota.
func (s *Service) serveQuota(w http.ResponseWriter, r *http.Request) error {
	caller := rest.CallerFrom(r.Context())
	if !isAdmin(caller) && caller.ProjectID != r.PathValue("project") {
		return &refusal{http.StatusForbidden, "Policy doesn't allow os_compute_api:os-quota-sets:show to be performed."}
	}
	quota := object{"id": r.PathValue("project")}
	for _, name := range []string{
		"cores", "fixed_ips", "floating_ips", "injected_file_content_bytes", "injected_file_path_bytes", "injected_files", "instances",
		"key_pairs", "ram", "security_group_rules", "security_groups", "server_group_members", "server_groups",
	} {
		quota[name] = unlimited
	}
	quota["metadata_items"] = maxMetadata
	rest.WriteJSON(w, http.StatusOK, object{"quota_set": quota})
	return nil
}
