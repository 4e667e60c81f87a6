package octavia

import (
	"cmp"
	"encoding/json"
	"fmt"

	"poise/internal/lb"
)

// A load balancer's topology is what the profile of its flavor says. Octavia shows it nowhere, but lists can be filtered and
// sorted by it; only then is it looked up.
const (
	topology        = "topology"
	defaultTopology = "SINGLE"
)

// lookUpTopologies gives load balancers their topologies, when the query is about them.
func lookUpTopologies(c *call, q query, all []object) error {
	if !q.isAbout(topology) {
		return nil
	}
	of, err := c.topologies()
	if err != nil {
		return err
	}
	for i, o := range all {
		all[i].topology = cmp.Or(of[o.Tree.FlavorID], defaultTopology)
	}
	return nil
}

// topologies are those of the flavors that say one, by the flavors' ids.
func (c *call) topologies() (map[string]string, error) {
	profiles, err := c.Offers.Profiles(c.r.Context(), lb.Flavors)
	if err != nil {
		return nil, err
	}
	flavors, err := c.Offers.Offers(c.r.Context(), lb.Flavors)
	if err != nil {
		return nil, err
	}
	ofProfile := map[string]string{}
	for _, p := range profiles {
		var meaning struct {
			Topology string `json:"loadbalancer_topology"`
		}
		if err := json.Unmarshal([]byte(p.Data), &meaning); err != nil {
			return nil, fmt.Errorf("flavor profile %s: %w", p.ID, err)
		}
		ofProfile[p.ID] = meaning.Topology
	}
	of := map[string]string{}
	for _, f := range flavors {
		of[f.ID] = ofProfile[f.ProfileID]
	}
	return of, nil
}
