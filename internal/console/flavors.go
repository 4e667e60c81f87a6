package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

var flavorPages = []page{
	{method: "GET", pattern: "/flavors", handle: (*view).showFlavors, live: true},
	{method: "GET", pattern: "/flavors/{region}/new", handle: (*view).changeFlavor},
	{method: "POST", pattern: "/flavors/{region}/new", handle: (*view).changeFlavor},
	{method: "GET", pattern: "/flavors/{region}/{flavor}/modify", handle: (*view).changeFlavor},
	{method: "POST", pattern: "/flavors/{region}/{flavor}/modify", handle: (*view).changeFlavor},
	{method: "GET", pattern: "/flavors/{region}/{flavor}/delete", handle: (*view).deleteFlavor},
	{method: "POST", pattern: "/flavors/{region}/{flavor}/delete", handle: (*view).deleteFlavor},
	{method: "GET", pattern: "/flavor-profiles/{region}/new", handle: (*view).changeProfile},
	{method: "POST", pattern: "/flavor-profiles/{region}/new", handle: (*view).changeProfile},
	{method: "GET", pattern: "/flavor-profiles/{region}/{profile}/modify", handle: (*view).changeProfile},
	{method: "POST", pattern: "/flavor-profiles/{region}/{profile}/modify", handle: (*view).changeProfile},
	{method: "GET", pattern: "/flavor-profiles/{region}/{profile}/delete", handle: (*view).deleteProfile},
	{method: "POST", pattern: "/flavor-profiles/{region}/{profile}/delete", handle: (*view).deleteProfile},
}

const (
	flavorsPath  = Base + "/flavors"
	profilesPath = Base + "/flavor-profiles"
)

// flavor is what people may choose for a load balancer.
type flavor struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Enabled     bool   `json:"enabled"`
	ProfileID   string `json:"flavor_profile_id"`
}

// profile is what a flavor means, which administrators see.
type profile struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Provider string `json:"provider_name"`
	Data     string `json:"flavor_data"`
}

// flavors are those of the cloud by name; a cloud that is older has none.
func (c *cloud) flavors(ctx context.Context) ([]flavor, error) {
	all, err := list[flavor](ctx, c, loadBalancing, "flavors", "flavors")
	if isUnknownRoute(err) || statusOf(err) == http.StatusForbidden {
		return nil, nil
	}
	slices.SortFunc(all, func(a, b flavor) int { return strings.Compare(a.Name, b.Name) })
	return all, err
}

// profiles are those of the cloud by name, for those who may see them.
func (c *cloud) profiles(ctx context.Context) (all []profile, isAdmin bool, err error) {
	all, err = list[profile](ctx, c, loadBalancing, "flavorprofiles", "flavorprofiles")
	if isUnknownRoute(err) || statusOf(err) == http.StatusForbidden {
		return nil, false, nil
	}
	slices.SortFunc(all, func(a, b profile) int { return strings.Compare(a.Name, b.Name) })
	return all, true, err
}

// flavorOptions are those that may be chosen.
func flavorOptions(all []flavor) []option {
	var options []option
	for _, f := range all {
		if f.Enabled {
			options = append(options, option{f.ID, f.Name})
		}
	}
	return options
}

func profileOptions(all []profile) []option {
	options := make([]option, len(all))
	for i, p := range all {
		options[i] = option{p.ID, p.Name + " (" + p.Provider + ")"}
	}
	return options
}

// flavorSheet is what the page with the flavors shows.
type flavorSheet struct {
	region   string
	flavors  []flavor
	profiles []profile
	mayEdit  bool
}

// flavorSheet reads a region.
func (v *view) flavorSheet(c *cloud) (flavorSheet, error) {
	s := flavorSheet{region: c.region}
	var err error
	if s.flavors, err = c.flavors(v.r.Context()); err != nil {
		return s, err
	}
	s.profiles, s.mayEdit, err = c.profiles(v.r.Context())
	return s, err
}

func (s flavorSheet) profileName(id string) string { return labelIn(profileOptions(s.profiles), id) }

// path is the address of a page of a flavor or a profile.
func (s flavorSheet) path(root string, rest ...string) string {
	return root + "/" + url.PathEscape(s.region) + "/" + strings.Join(rest, "/")
}

func (v *view) showFlavors() error {
	c, err := v.open(v.person.Region)
	if err != nil {
		return err
	}
	s, err := v.flavorSheet(c)
	if err != nil {
		return err
	}
	return v.render(v.flavorsPage(s))
}

// placeFlavors is the region that the address of a page names, for those who may change its flavors.
func (v *view) placeFlavors() (*cloud, flavorSheet, error) {
	c, err := v.open(v.r.PathValue("region"))
	if err != nil {
		return nil, flavorSheet{}, err
	}
	s, err := v.flavorSheet(c)
	if err == nil && !s.mayEdit {
		err = &fault{status: http.StatusForbidden, message: "Administrators of the cloud change flavors."}
	}
	return c, s, err
}

// flavor and profile are those that the address names; a new one is empty.
func (v *view) flavor(s flavorSheet) (flavor, error) {
	id := v.r.PathValue("flavor")
	i := slices.IndexFunc(s.flavors, func(f flavor) bool { return f.ID == id })
	if i >= 0 {
		return s.flavors[i], nil
	}
	if id == "" {
		return flavor{Enabled: true}, nil
	}
	return flavor{}, &fault{status: http.StatusNotFound, message: "Flavor " + id + " not found."}
}

func (v *view) profile(s flavorSheet) (profile, error) {
	id := v.r.PathValue("profile")
	i := slices.IndexFunc(s.profiles, func(p profile) bool { return p.ID == id })
	if i >= 0 {
		return s.profiles[i], nil
	}
	if id == "" {
		return profile{Data: "{}"}, nil
	}
	return profile{}, &fault{status: http.StatusNotFound, message: "Flavor profile " + id + " not found."}
}

func (v *view) changeFlavor() error {
	c, s, err := v.placeFlavors()
	if err != nil {
		return err
	}
	now, err := v.flavor(s)
	if err != nil {
		return err
	}
	f := v.form()
	f.preset(map[string]string{"name": now.Name, "description": now.Description, "enabled": ticked(now.Enabled), "flavor_profile_id": now.ProfileID})
	o := order{kind: flavorKind, id: now.ID, in: body{"enabled": len(f.chosen("enabled")) > 0}, fixed: body{}}
	f.text(o.in, "name")
	f.text(o.in, "description")
	if now.ID == "" {
		f.choice(o.in, "flavor_profile_id")
	} else {
		o.fixed["flavor_profile_id"] = now.ProfileID
	}
	return v.finishOffer(c, f, o, "Flavor", func() component { return v.flavorPane(s, now, f) })
}

func (v *view) changeProfile() error {
	c, s, err := v.placeFlavors()
	if err != nil {
		return err
	}
	now, err := v.profile(s)
	if err != nil {
		return err
	}
	f := v.form()
	f.preset(map[string]string{"name": now.Name, "provider_name": now.Provider, "flavor_data": now.Data})
	o := order{kind: profileKind, id: now.ID, in: body{}}
	for _, name := range []string{"name", "provider_name", "flavor_data"} {
		f.text(o.in, name)
	}
	return v.finishOffer(c, f, o, "Flavor profile", func() component { return v.profilePane(now, f) })
}

// finishOffer carries out what the form of a flavor or a profile says, or shows the form.
func (v *view) finishOffer(c *cloud, f *form, o order, word string, pane func() component) error {
	if v.isCopy() {
		return v.renderCopy(o)
	}
	if v.isPost() {
		ok, err := f.send(func() error { return c.carryOut(v.r.Context(), o, nil) })
		if err != nil {
			return err
		}
		if ok {
			return v.finished(word+" "+f.value("name")+" is saved.", flavorsPath)
		}
	}
	return v.renderForm(f, pane())
}

func (v *view) deleteFlavor() error {
	c, s, err := v.placeFlavors()
	if err != nil {
		return err
	}
	now, err := v.flavor(s)
	if err != nil {
		return err
	}
	return v.deleteOffer(c, order{kind: flavorKind, id: now.ID, gone: true}, "Flavor", now.Name)
}

func (v *view) deleteProfile() error {
	c, s, err := v.placeFlavors()
	if err != nil {
		return err
	}
	now, err := v.profile(s)
	if err != nil {
		return err
	}
	return v.deleteOffer(c, order{kind: profileKind, id: now.ID, gone: true}, "Flavor profile", now.Name)
}

func (v *view) deleteOffer(c *cloud, o order, word, name string) error {
	f := v.form()
	if v.isCopy() {
		return v.renderCopy(o)
	}
	if v.isPost() {
		ok, err := f.send(func() error { return c.carryOut(v.r.Context(), o, nil) })
		if err != nil {
			return err
		}
		if ok {
			return v.finished(word+" "+name+" is deleted.", flavorsPath)
		}
	}
	return v.renderForm(f, v.deleteObjectPane(word, name, v.r.URL.Path, f))
}
