package nova

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"poise/internal/fabric"
	"poise/internal/rest"
)

// flavorID names the one flavor.
const flavorID = "lab.tiny"

func (s *Service) status(row *server) string {
	now := s.machines.state(row.ID)
	switch {
	case now.problem != "":
		return "ERROR"
	case row.Stopped:
		return "SHUTOFF"
	case now.plugged:
		return "ACTIVE"
	}
	return "BUILD"
}

func vmState(row *server) string {
	if row.Stopped {
		return "stopped"
	}
	return "active"
}

// The power states of Nova.
const (
	powerRunning  = 1
	powerShutdown = 4
)

func (s *Service) view(ctx context.Context, caller rest.Caller, row *server) (object, error) {
	addresses, err := s.addresses(ctx, row)
	if err != nil {
		return nil, err
	}
	power := powerRunning
	if row.Stopped {
		power = powerShutdown
	}
	v := object{
		"id": row.ID, "name": row.Name, "status": s.status(row), "tenant_id": row.ProjectID, "user_id": row.UserID,
		"metadata": row.Metadata, "created": row.CreatedAt, "updated": row.UpdatedAt, "addresses": addresses, "image": object{"id": imageID, "links": s.links("images", imageID)},
		"flavor":   object{"id": flavorID, "links": s.links("flavors", flavorID)},
		"key_name": nil, "hostId": "", "accessIPv4": "", "accessIPv6": "", "progress": 0, "config_drive": "",
		"links": s.links("servers", row.ID), "OS-DCF:diskConfig": "MANUAL", "OS-EXT-AZ:availability_zone": "nova",
		"OS-EXT-STS:task_state": nil, "OS-EXT-STS:vm_state": vmState(row), "OS-EXT-STS:power_state": power,
		"OS-SRV-USG:launched_at": row.CreatedAt[:len(row.CreatedAt)-1] + ".000000", "OS-SRV-USG:terminated_at": nil,
		"os-extended-volumes:volumes_attached": []object{},
	}
	now := s.machines.state(row.ID)
	if now.problem != "" {
		v["fault"] = object{"code": http.StatusInternalServerError, "created": row.UpdatedAt, "message": "The server is not as it should be."}
	}
	if isAdmin(caller) {
		v["OS-EXT-SRV-ATTR:host"], v["OS-EXT-SRV-ATTR:hypervisor_hostname"] = s.fabric.Name(), s.fabric.Name()
		v["OS-EXT-SRV-ATTR:instance_name"] = now.namespace
		if now.problem != "" {
			v["fault"].(object)["message"] = now.problem
		}
	}
	return v, nil
}

// addresses are fixed and floating addresses by the name of their network.
func (s *Service) addresses(ctx context.Context, row *server) (object, error) {
	ports, err := s.attachments(ctx, row)
	if err != nil {
		return nil, err
	}
	byNetwork := object{}
	for _, port := range ports {
		name, err := s.network.NetworkName(ctx, port.NetworkID)
		var refused interface{ Status() int }
		if errors.As(err, &refused) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("network %s: %w", port.NetworkID, err)
		}
		list, _ := byNetwork[name].([]object)
		byNetwork[name] = append(list, addressesOf(port)...)
	}
	return byNetwork, nil
}

func addressesOf(port fabric.Port) []object {
	list := []object{}
	add := func(address string, is4 bool, kind string) {
		version := 6
		if is4 {
			version = 4
		}
		list = append(list, object{
			"addr": address, "version": version, "OS-EXT-IPS:type": kind, "OS-EXT-IPS-MAC:mac_addr": port.MAC.String(),
		})
	}
	for _, a := range port.Addresses {
		add(a.Addr().String(), a.Addr().Is4(), "fixed")
	}
	for _, a := range port.Floating {
		add(a.String(), a.Is4(), "floating")
	}
	return list
}

func (s *Service) links(collection, id string) []object {
	return []object{
		{"rel": "self", "href": s.publicURL + "/v2.1/" + collection + "/" + id},
		{"rel": "bookmark", "href": s.publicURL + "/" + collection + "/" + id},
	}
}

func (s *Service) flavor() object {
	return object{
		"id": flavorID, "name": flavorID, "ram": 1, "vcpus": 1, "disk": 0, "swap": "", "rxtx_factor": 1.0,
		"OS-FLV-EXT-DATA:ephemeral": 0, "OS-FLV-DISABLED:disabled": false, "os-flavor-access:is_public": true,
		"links": s.links("flavors", flavorID),
	}
}

func (s *Service) serveFlavors(w http.ResponseWriter, r *http.Request) error {
	flavors := []object{s.flavor()}
	if r.URL.Query().Get("marker") != "" {
		flavors = []object{} // there is one page
	}
	rest.WriteJSON(w, http.StatusOK, object{"flavors": flavors})
	return nil
}

func (s *Service) serveFlavor(w http.ResponseWriter, r *http.Request) error {
	if r.PathValue("id") != flavorID {
		return notFound("Flavor %s could not be found.", r.PathValue("id"))
	}
	rest.WriteJSON(w, http.StatusOK, object{"flavor": s.flavor()})
	return nil
}

func (s *Service) serveExtraSpecs(w http.ResponseWriter, _ *http.Request) error {
	rest.WriteJSON(w, http.StatusOK, object{"extra_specs": object{}})
	return nil
}

// version describes the API: the base microversion, nothing later.
func (s *Service) version() object {
	return object{
		"id": "v2.1", "status": "CURRENT", "version": "2.1", "min_version": "2.1", "updated": "2013-07-23T11:33:21Z",
		"links": []object{{"rel": "self", "href": s.publicURL + "/v2.1/"}},
	}
}

func (s *Service) serveVersions(w http.ResponseWriter, _ *http.Request) error {
	rest.WriteJSON(w, http.StatusOK, object{"versions": []object{s.version()}})
	return nil
}

func (s *Service) serveVersion(w http.ResponseWriter, _ *http.Request) error {
	rest.WriteJSON(w, http.StatusOK, object{"version": s.version()})
	return nil
}
