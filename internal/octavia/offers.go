package octavia

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"poise/internal/lb"
	"poise/internal/rest"
)

// Offers is what this room needs to keep of flavors, availability zones and their profiles. Errors that are the
// user's are [*lb.Error]s.
type Offers interface {
	Offers(ctx context.Context, f lb.Family) ([]lb.Offer, error)
	Offer(ctx context.Context, f lb.Family, id string) (lb.Offer, error)
	CreateOffer(ctx context.Context, f lb.Family, o lb.Offer) error
	ChangeOffer(ctx context.Context, f lb.Family, id string, change func(*lb.Offer)) (lb.Offer, error)
	DeleteOffer(ctx context.Context, f lb.Family, id string) error

	Profiles(ctx context.Context, f lb.Family) ([]lb.Profile, error)
	Profile(ctx context.Context, f lb.Family, id string) (lb.Profile, error)
	CreateProfile(ctx context.Context, f lb.Family, p lb.Profile) error
	ChangeProfile(ctx context.Context, f lb.Family, id string, change func(*lb.Profile) error) (lb.Profile, error)
	DeleteProfile(ctx context.Context, f lb.Family, id string) error
}

// catalogue is a kind of what operators offer, as the API shows it. It belongs to no project: only the caller's role
// counts.
type catalogue struct {
	family   lb.Family
	policy   string // in policy names
	path     string // below the version
	envelope string
	plural   string
	links    string // the key of a list's links
	argument string // Octavia's name for the body, in its messages

	attributes attributes

	list   func(c *call) ([]object, error)
	find   func(c *call, id string) (object, error)
	create func(c *call, in values) (object, error)
	update func(c *call, id string, in values) (object, error)
	remove func(c *call, id string) error
}

// catalogues are the flavors, the availability zones, and the profiles of both.
var catalogues = []*catalogue{
	offers(lb.Flavors, catalogue{
		policy: "flavor", path: "/flavors", envelope: "flavor", plural: "flavors", links: "flavors_links", argument: "flavor_",
		attributes: append(attributes{idAttribute, offerName(changeable)}, offerAttributes("flavor_profile_id")...),
	}),
	offers(lb.AvailabilityZones, catalogue{
		policy: "availability-zone", path: "/availabilityzones", envelope: "availability_zone", plural: "availability_zones",
		links: "availability_zones_links", argument: "availability_zone_",
		attributes: append(attributes{offerName(0)}, offerAttributes("availability_zone_profile_id")...),
	}),
	profiles(lb.Flavors, "flavor_data", catalogue{
		policy: "flavor-profile", path: "/flavorprofiles", envelope: "flavorprofile", plural: "flavorprofiles",
		links: "flavorprofile_links", argument: "flavor_profile_",
	}),
	profiles(lb.AvailabilityZones, "availability_zone_data", catalogue{
		policy: "availability-zone-profile", path: "/availabilityzoneprofiles", envelope: "availability_zone_profile",
		plural: "availability_zone_profiles", links: "availability_zone_profile_links", argument: "availability_zone_profile_",
	}),
}

// reservedID is Octavia's placeholder for what was deleted: nothing has it, and no availability zone may be called so.
const reservedID = "00000000-0000-0000-0000-000000000000"

func offerName(use use) attribute {
	return attribute{
		name: "name", use: mandatory | use, kind: text(lb.MaxName),
		read: func(o object) any { return o.offer.Name },
	}
}

func offerAttributes(profileID string) attributes {
	return attributes{
		{name: "description", use: changeable, kind: text(lb.MaxName), read: func(o object) any { return o.offer.Description }},
		{name: "enabled", use: changeable, kind: boolean, read: func(o object) any { return o.offer.Enabled }},
		{name: profileID, use: mandatory, kind: identity, read: func(o object) any { return o.offer.ProfileID }},
	}
}

// offers completes the catalogue of flavors or availability zones.
func offers(f lb.Family, k catalogue) *catalogue {
	k.family = f
	profileID := k.envelope + "_profile_id"
	k.list = func(c *call) ([]object, error) {
		all, err := c.Offers.Offers(c.r.Context(), f)
		return objectsOf(all, offerObject), err
	}
	k.find = func(c *call, id string) (object, error) {
		o, err := c.Offers.Offer(c.r.Context(), f, id)
		return offerObject(o), err
	}
	k.create = func(c *call, in values) (object, error) {
		o := lb.Offer{ID: uuid.NewString(), Name: get[string](in, "name"), Enabled: true, ProfileID: get[string](in, profileID)}
		if f == lb.AvailabilityZones {
			o.ID = o.Name
		}
		if o.ID == reservedID || o.ID == "" {
			return object{}, lb.ErrOption("name", o.Name, "name")
		}
		setOffer(&o, in)
		return offerObject(o), c.Offers.CreateOffer(c.r.Context(), f, o)
	}
	k.update = func(c *call, id string, in values) (object, error) {
		if err := refuseNull(in, "name"); err != nil {
			return object{}, err
		}
		o, err := c.Offers.ChangeOffer(c.r.Context(), f, id, func(o *lb.Offer) { setOffer(o, in) })
		return offerObject(o), err
	}
	k.remove = func(c *call, id string) error { return c.Offers.DeleteOffer(c.r.Context(), f, id) }
	return &k
}

func setOffer(o *lb.Offer, in values) {
	opt[string](in, "name").Into(&o.Name, "")
	opt[string](in, "description").Into(&o.Description, "")
	opt[bool](in, "enabled").Into(&o.Enabled, true)
}

// profiles completes the catalogue of the profiles of flavors or availability zones; data is the name of the attribute
// that holds what the profile means.
func profiles(f lb.Family, data string, k catalogue) *catalogue {
	k.family = f
	k.attributes = attributes{
		idAttribute,
		{name: "name", use: mandatory | onUpdate, kind: text(lb.MaxName), read: func(o object) any { return o.profile.Name }},
		{name: "provider_name", use: mandatory | onUpdate, kind: text(lb.MaxName), read: func(o object) any { return o.profile.Provider }},
		{name: data, use: mandatory | onUpdate, kind: text(lb.MaxProfileData), read: func(o object) any { return o.profile.Data }},
	}
	set := func(p *lb.Profile, in values) error {
		opt[string](in, "name").Into(&p.Name, "")
		opt[string](in, "provider_name").Into(&p.Provider, "")
		opt[string](in, data).Into(&p.Data, "")
		var v any
		if err := json.Unmarshal([]byte(p.Data), &v); err != nil {
			return lb.ErrOption(data, p.Data, data)
		}
		return f.CheckProfile(p.Provider, v)
	}
	k.list = func(c *call) ([]object, error) {
		all, err := c.Offers.Profiles(c.r.Context(), f)
		return objectsOf(all, profileObject), err
	}
	k.find = func(c *call, id string) (object, error) {
		p, err := c.Offers.Profile(c.r.Context(), f, id)
		return profileObject(p), err
	}
	k.create = func(c *call, in values) (object, error) {
		p := lb.Profile{ID: uuid.NewString()}
		if err := set(&p, in); err != nil {
			return object{}, err
		}
		return profileObject(p), c.Offers.CreateProfile(c.r.Context(), f, p)
	}
	k.update = func(c *call, id string, in values) (object, error) {
		if err := refuseNull(in, "name", "provider_name", data); err != nil {
			return object{}, err
		}
		p, err := c.Offers.ChangeProfile(c.r.Context(), f, id, func(p *lb.Profile) error { return set(p, in) })
		return profileObject(p), err
	}
	k.remove = func(c *call, id string) error { return c.Offers.DeleteProfile(c.r.Context(), f, id) }
	return &k
}

// refuseNull refuses an explicit null for attributes that have to have a value.
func refuseNull(in values, names ...string) error {
	for _, name := range names {
		if v, given := in[name]; given && v == nil {
			return lb.ErrOption(name, "None", name)
		}
	}
	return nil
}

func offerObject(o lb.Offer) object {
	return object{base: &lb.Object{ID: o.ID, Name: o.Name}, offer: &o}
}

func profileObject(p lb.Profile) object {
	return object{base: &lb.Object{ID: p.ID, Name: p.Name}, profile: &p}
}

func objectsOf[T any](all []T, show func(T) object) []object {
	objects := make([]object, 0, len(all))
	for _, v := range all {
		objects = append(objects, show(v))
	}
	return objects
}

// routes are the catalogue's lines of the route table.
func (k *catalogue) routes() []route {
	return []route{
		{"GET", k.path, k.policy + ":get_all", k.getAll, k.attributes.listParameters()},
		{"POST", k.path, k.policy + ":post", k.post, nil},
		{"PUT", k.path, "", withoutID, nil},
		{"DELETE", k.path, "", withoutID, nil},
		{"GET", k.path + "/{id}", k.policy + ":get_one", k.show, []parameter{fieldsParameter}},
		{"PUT", k.path + "/{id}", k.policy + ":put", k.put, nil},
		{"DELETE", k.path + "/{id}", k.policy + ":delete", k.delete, nil},
	}
}

func (k *catalogue) getAll(c *call) error {
	q, err := c.listQuery(k.attributes)
	if err != nil {
		return err
	}
	if err := c.allows(c.caller.ProjectID); err != nil {
		return err
	}
	all, err := k.list(c)
	if err != nil {
		return err
	}
	return c.answerPage(q, all, k.plural, k.links, func(o object) map[string]any { return k.attributes.render(o, q.fields) })
}

func (k *catalogue) show(c *call) error {
	if err := c.allows(c.caller.ProjectID); err != nil {
		return err
	}
	o, err := k.find(c, c.r.PathValue("id"))
	if err != nil {
		return err
	}
	return k.answer(c, http.StatusOK, o)
}

func (k *catalogue) post(c *call) error {
	in, err := k.request(c, onCreate)
	if err != nil {
		return err
	}
	o, err := k.create(c, in.values)
	if err != nil {
		return err
	}
	return k.answer(c, http.StatusCreated, o)
}

func (k *catalogue) put(c *call) error {
	in, err := k.request(c, onUpdate)
	if err != nil {
		return err
	}
	o, err := k.update(c, c.r.PathValue("id"), in.values)
	if err != nil {
		return err
	}
	return k.answer(c, http.StatusOK, o)
}

func (k *catalogue) delete(c *call) error {
	if err := c.allows(c.caller.ProjectID); err != nil {
		return err
	}
	if err := k.remove(c, c.r.PathValue("id")); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// request reads the body of a change and asks the policy.
func (k *catalogue) request(c *call, use use) (request, error) {
	in, err := c.attributes(k.attributes, k.argument, k.envelope, use)
	if err != nil {
		return request{}, err
	}
	return in, c.allows(c.caller.ProjectID)
}

func (k *catalogue) answer(c *call, status int, o object) error {
	rest.WriteJSON(c.w, status, map[string]any{k.envelope: k.attributes.render(o, c.query["fields"])})
	return nil
}

// placement looks up the flavor and the availability zone that a new load balancer asks for, and says what they mean, in
// Octavia's order: the flavor, the zone, then the provider.
func (c *call) placement(in values) (placement lb.Placement, provider string, err error) {
	flavor, flavorProfile, err := c.chosen(lb.Flavors, in, "flavor_id", "Invalid flavor_id.")
	if err != nil {
		return lb.Placement{}, "", err
	}
	zone, zoneProfile, err := c.chosen(lb.AvailabilityZones, in, "availability_zone", "Invalid availability zone.")
	if err != nil {
		return lb.Placement{}, "", err
	}
	placement = lb.Placement{FlavorID: flavor.ID, AvailabilityZone: zone.ID}
	if zoneProfile.Data != "" {
		meaning := struct {
			Networks []string `json:"valid_vip_networks"`
		}{}
		if err := json.Unmarshal([]byte(zoneProfile.Data), &meaning); err != nil {
			return lb.Placement{}, "", lb.ErrOption(lb.ValidVIPNetworks, zoneProfile.Data, "availability_zone_data")
		}
		placement.VIPNetworks = meaning.Networks
	}
	provider, err = lb.ChooseProvider(get[string](in, "provider"), flavor.ID, flavorProfile.Provider)
	return placement, provider, err
}

// chosen looks up the offer that an attribute names, and its profile; both are empty when the attribute is missing.
func (c *call) chosen(f lb.Family, in values, name, invalid string) (lb.Offer, lb.Profile, error) {
	if _, given := in[name]; !given {
		return lb.Offer{}, lb.Profile{}, nil
	}
	id := get[string](in, name)
	offer, err := c.Offers.Offer(c.r.Context(), f, id)
	switch {
	case lb.CodeOf(err) == lb.NotFound: // null as well: nothing is called ""
		return lb.Offer{}, lb.Profile{}, lb.ErrValidation(name, "%s", invalid)
	case err != nil:
		return lb.Offer{}, lb.Profile{}, err
	case !offer.Enabled:
		return lb.Offer{}, lb.Profile{}, lb.ErrDisabled(strings.TrimSuffix(name, "_id"), id)
	}
	profile, err := c.Offers.Profile(c.r.Context(), f, offer.ProfileID)
	return offer, profile, err
}
