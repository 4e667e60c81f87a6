package octavia_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// names are the names of listed objects, in order.
func (a *api) names(user, path string) string {
	a.Helper()
	var all []string
	for _, o := range a.list(user, path) {
		all = append(all, fmt.Sprint(o["name"]))
	}
	return strings.Join(all, " ")
}

// three makes the load balancers p1, p2 and p3, in this order.
func (a *api) three() {
	for _, attributes := range []string{
		`"name": "p1", "description": "b", "tags": ["probe", "one"], "vip_address": "10.0.0.1"`,
		`"name": "p2", "description": "a", "tags": ["probe", "two"], "vip_address": "10.0.0.2", "admin_state_up": false`,
		`"name": "p3", "description": "a", "tags": ["probe"], "vip_address": "10.0.0.3", "provider": "octavia"`,
	} {
		a.must("member", "POST", "/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "`+subnetID+`", `+attributes+`}}`, 201)
	}
}

func TestFilters(t *testing.T) {
	a := newAPI(t)
	a.three()
	tests := map[string]string{
		"":                                   "p1 p2 p3",
		"name=p2":                            "p2",
		"name=P2":                            "",
		"name=":                              "",
		"id=" + missingID:                    "",
		"description=a":                      "p2 p3",
		"description=a&name=p3":              "p3",
		"admin_state_up=true":                "p1 p3",
		"admin_state_up=True":                "p1 p3",
		"admin_state_up=perhaps":             "p2",
		"enabled=on":                         "p1 p3",
		"provisioning_status=PENDING_CREATE": "p1 p2 p3",
		"provisioning_status=ACTIVE":         "",
		"operating_status=OFFLINE":           "p1 p2 p3",
		"vip_address=10.0.0.2":               "p2",
		"vip_subnet_id=" + subnetID:          "p1 p2 p3",
		"vip_network_id=" + missingID:        "",
		"provider=octavia":                   "p3",
		"flavor_id=" + missingID:             "",
		"availability_zone=x":                "",
		"vip_vnic_type=normal":               "p1 p2 p3",
		"created_at=2026-01-02T03:04:06":     "p1",
		"updated_at=":                        "",
		"tags=probe":                         "p1 p2 p3",
		"tags=probe,one":                     "p1",
		"tags=probe&tags=two":                "p2",
		"tags-any=one,two":                   "p1 p2",
		"not-tags=probe,one":                 "p2 p3",
		"not-tags-any=one,two":               "p3",
		"tags=probe&not-tags-any=one":        "p2 p3",
		"status_reasons=true&name=p1":        "p1",
		"topology=SINGLE":                    "p1 p2 p3",
		"topology=ACTIVE_STANDBY":            "",
	}
	for query, want := range tests {
		t.Run(query, func(t *testing.T) {
			a.TB = t
			if got := a.names("member", "/loadbalancers?"+query); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
	a.TB = t
	for _, query := range []string{"nosuch=1", "name=p2&name=p3", "tenant_id=" + projectA, "tag=x", "vip=x", "load_balancer=x"} {
		a.refused("member", "GET", "/loadbalancers?"+query, "", 400, "One or more arguments are either duplicate or invalid")
	}
}

// TestIDAndName finds objects in the way of the openstack client: by id, then by name, on every list.
func TestIDAndName(t *testing.T) {
	a := newAPI(t)
	one := a.tree("member", "one")
	a.tree("member", "two")
	for path, want := range map[string][2]string{
		"/loadbalancers":                   {one.lb, "one"},
		"/listeners":                       {one.listener, "l-one"},
		"/pools":                           {one.pool, "p-one"},
		"/pools/" + one.pool + "/members":  {one.member, "m-one"},
		"/healthmonitors":                  {one.monitor, "h-one"},
		"/listeners?protocol=TCP":          {one.listener, "l-one"},
		"/healthmonitors?max_retries=3":    {one.monitor, "h-one"},
		"/healthmonitors?rise_threshold=3": {one.monitor, "h-one"},
	} {
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		for _, query := range []string{"id=" + want[0], "name=" + want[1]} {
			if got := a.list("member", path+separator+query); len(got) != 1 || id(got[0]) != want[0] {
				t.Errorf("%s by %s: %v", path, query, got)
			}
		}
	}
}

func TestFiltersByParent(t *testing.T) {
	a := newAPI(t)
	one, two := a.tree("member", "one"), a.tree("member", "two")
	for path, want := range map[string]string{
		"/listeners?loadbalancer_id=" + one.lb:      "l-one",
		"/listeners?default_pool_id=" + two.pool:    "l-two",
		"/pools?loadbalancer_id=" + two.lb:          "p-two",
		"/pools?healthmonitor_id=" + one.monitor:    "p-one",
		"/healthmonitors?pool_id=" + two.pool:       "h-two",
		"/pools/" + two.pool + "/members?weight=1":  "m-two",
		"/pools/" + two.pool + "/members?weight=2":  "",
		"/pools/" + two.pool + "/members?backup=no": "m-two",
	} {
		if got := a.names("member", path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	a.refused("member", "GET", "/listeners?pool_id=x", "", 400, "One or more arguments")
}

func TestFields(t *testing.T) {
	a := newAPI(t)
	a.three()
	tests := map[string]string{
		"fields=id&fields=name":    "id name",
		"fields=id,name":           "",
		"fields=nosuch":            "",
		"fields=project_id":        "project_id",
		"fields=tenant_id":         "",
		"fields=tags&fields=name":  "tags name",
		"fields=listeners":         "listeners",
		"fields=loadbalancer_id":   "",
		"fields=updated_at&name=x": "-",
	}
	for query, want := range tests {
		t.Run(query, func(t *testing.T) {
			a.TB = t
			for _, o := range a.list("member", "/loadbalancers?"+query) {
				if len(o) != len(strings.Fields(want)) {
					t.Errorf("%v, want %s", o, want)
				}
				for _, field := range strings.Fields(want) {
					if _, ok := o[field]; !ok {
						t.Errorf("%v lacks %s", o, field)
					}
				}
			}
		})
	}
	a.TB = t
	one := a.list("member", "/loadbalancers?name=p1")[0]
	if got := a.must("member", "GET", "/loadbalancers/"+id(one)+"?fields=id&fields=name&unknown=1", "", 200); len(got) != 2 {
		t.Errorf("two fields of one object: %v", got)
	}
}

func TestSort(t *testing.T) {
	a := newAPI(t)
	a.three()
	tests := map[string]string{
		"sort=name:desc":                          "p3 p2 p1",
		"sort=name":                               "p1 p2 p3",
		"sort=description,name:desc":              "p3 p2 p1",
		"sort=description:asc":                    "p2 p3 p1",
		"sort=description:DESC":                   "p1 p2 p3",
		"sort=provisioning_status,name:desc":      "p3 p2 p1",
		"sort=admin_state_up,vip_address:desc":    "p2 p3 p1",
		"sort=updated_at,created_at:desc":         "p3 p2 p1",
		"sort_key=name&sort_dir=desc":             "p3 p2 p1",
		"sort_key=description,name&sort_dir=desc": "p1 p2 p3",
		"sort_key=enabled":                        "p2 p1 p3",
	}
	for query, want := range tests {
		t.Run(query, func(t *testing.T) {
			a.TB = t
			if got := a.names("member", "/loadbalancers?"+query); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
	a.TB = t
	a.refused("member", "GET", "/loadbalancers?sort=nosuch", "", 400, "Supplied sort key 'nosuch' is not valid.")
	a.refused("member", "GET", "/loadbalancers?sort=tags", "", 400, "Supplied sort key 'tags' is not valid.")
	a.refused("member", "GET", "/loadbalancers?sort=name:up", "", 400, "Supplied sort direction 'up' is not valid.")
	a.refused("member", "GET", "/loadbalancers?sort_key=x", "", 400, "Supplied sort key 'x' is not valid.")
}

// TestPages walks through a list in both directions, by its links.
func TestPages(t *testing.T) {
	a := newAPI(t)
	for i := range 7 {
		a.must("member", "POST", "/loadbalancers", fmt.Sprintf(
			`{"loadbalancer": {"name": "p%d", "vip_subnet_id": %q, "tags": ["t"]}}`, i, subnetID), 201)
	}
	walk := func(query, rel string) []string {
		var pages []string
		for query != "" && len(pages) < 10 {
			got := a.send("member", "GET", "/loadbalancers?"+query, "")
			pages = append(pages, a.names("member", "/loadbalancers?"+query))
			query = ""
			for _, link := range got.body["loadbalancers_links"].([]any) {
				link := link.(map[string]any)
				where, next, _ := strings.Cut(link["href"].(string), "?")
				if where != publicURL+"/v2.0/lbaas/loadbalancers" {
					t.Fatalf("link to %s", where)
				}
				if link["rel"] == rel {
					query = next
				}
			}
		}
		return pages
	}
	if diff := cmp.Diff([]string{"p6 p5 p4", "p3 p2 p1", "p0"}, walk("limit=3&sort=name:desc&tags=t&admin_state_up=true", "next")); diff != "" {
		t.Errorf("forth (-want +got)\n%s", diff)
	}
	last := id(a.list("member", "/loadbalancers?name=p6")[0])
	if diff := cmp.Diff([]string{"p4 p5", "p2 p3", "p0 p1", ""}, walk("limit=2&tags-any=t&page_reverse=True&marker="+last, "previous")); diff != "" {
		t.Errorf("back (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"p0 p1 p2 p3 p4 p5 p6", ""}, walk("limit=7", "next")); diff != "" {
		t.Errorf("exactly one page (-want +got)\n%s", diff)
	}
}

func TestLimits(t *testing.T) {
	a := newAPI(t)
	for i := range 1_001 {
		a.must("member", "POST", "/loadbalancers", fmt.Sprintf(`{"loadbalancer": {"name": "p%d", "vip_subnet_id": %q}}`, i, subnetID), 201)
	}
	marker := id(a.list("member", "/loadbalancers?name=p998")[0])
	for query, want := range map[string]int{
		"": 1000, "limit=2": 2, "limit=1001": 1000, "limit=999999999": 1000, "limit=99999999999999999999": 1000, "limit=0": 1000, "limit=-1": 1000, "limit=infinite": 1000,
		"marker=" + marker: 2, "page_reverse=True": 1000, "page_reverse=true&marker=" + marker: 2,
		"page_reverse=True&marker=" + marker: 998, "fields=id&limit=1": 1,
	} {
		if got := a.list("member", "/loadbalancers?"+query); len(got) != want {
			t.Errorf("%s: %d objects, want %d", query, len(got), want)
		}
	}
	got := a.send("member", "GET", "/loadbalancers?limit=x", "")
	if got.Code != 400 || got.body["description"] != "Supplied pagination limit 'x' is not valid." || got.body["title"] != "Bad Request" {
		t.Errorf("limit x: %d %s", got.Code, got.Body)
	}
	a.refused("member", "GET", "/loadbalancers?marker="+missingID, "", 400, "Supplied pagination marker '"+missingID+"' is not valid.")
}

// TestLinksKeepEverything holds that a client which follows only a link's query sees the same list.
func TestLinksKeepEverything(t *testing.T) {
	a := newAPI(t)
	a.three()
	got := a.send("member", "GET", "/loadbalancers?limit=1&fields=id&fields=name&tags=probe&not-tags=x&project_id="+projectA+"&sort_key=name&sort_dir=desc", "")
	link := got.body["loadbalancers_links"].([]any)[0].(map[string]any)
	_, query, _ := strings.Cut(link["href"].(string), "?")
	next, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	next.Del("marker")
	want := url.Values{
		"limit": {"1"}, "fields": {"id", "name"}, "tags": {"probe"}, "not-tags": {"x"}, "project_id": {projectA},
		"sort_key": {"name"}, "sort_dir": {"desc"},
	}
	if diff := cmp.Diff(want, next); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
