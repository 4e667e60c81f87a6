package lb

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Family is one of the two things that an operator offers to those who create load balancers: flavors, and availability
// zones. Both work alike: an [Offer] has a name that users choose by, and a [Profile] that says what it means.
type Family int

// The families.
const (
	Flavors Family = iota
	AvailabilityZones
)

// Kinds of what an operator offers.
const (
	KindFlavor                  Kind = "Flavor"
	KindFlavorProfile           Kind = "Flavor Profile"
	KindAvailabilityZone        Kind = "Availability Zone"
	KindAvailabilityZoneProfile Kind = "Availability Zone Profile"
)

// MaxProfileData bounds the JSON text of a profile, in characters.
const MaxProfileData = 4_096

// Kind is the kind of the family's offers.
func (f Family) Kind() Kind { return []Kind{KindFlavor, KindAvailabilityZone}[f] }

// ProfileKind is the kind of the family's profiles.
func (f Family) ProfileKind() Kind { return []Kind{KindFlavorProfile, KindAvailabilityZoneProfile}[f] }

// Offer is a flavor or an availability zone.
type Offer struct {
	ID          string // an availability zone's is its name
	Name        string
	Description string
	Enabled     bool
	ProfileID   string
}

// Profile says what an offer means to the provider.
type Profile struct {
	ID       string
	Name     string
	Provider string // as its creator named it: poise or an alias
	Data     string // JSON
}

// Capability is a key that the data of a profile may have.
type Capability struct {
	Name        string
	Description string
	takes       func(v any) string // says what is wrong with a value, "" when nothing is
}

// Capabilities are the keys that profiles of the family may have: those of Octavia's own provider, so that existing
// profiles can be brought along. Of these, poise heeds valid_vip_networks; the others choose between virtual machines, of
// which there are none, and change nothing.
func (f Family) Capabilities() []Capability {
	if f == AvailabilityZones {
		return []Capability{
			{"compute_zone", "The compute availability zone.", isText},
			{"volume_zone", "The volume availability zone.", isText},
			{"management_network", "The management network ID for the amphora.", isText},
			{
				ValidVIPNetworks,
				"List of network IDs that are allowed for VIP use. Without it, every network is.", isArray,
			},
		}
	}
	return []Capability{
		{
			"loadbalancer_topology",
			"The load balancer topology. One of: SINGLE - One amphora per load balancer. ACTIVE_STANDBY - Two amphora per load balancer.",
			isTopology,
		},
		{"compute_flavor", "The compute driver flavor ID.", isText},
		{"amp_image_tag", "The amphora image tag.", isText},
		{"sriov_vip", "When true, the VIP port will be created using an SR-IOV VF port.", isFalse},
		{
			"allow_member_sriov",
			"When true, users can request a member port be SR-IOV enabled at member creation time.", isFalse,
		},
	}
}

// ValidVIPNetworks is the capability of an availability zone that lists the networks in which VIPs may be.
const ValidVIPNetworks = "valid_vip_networks"

func isText(v any) string {
	if s, ok := v.(string); !ok || s == "" {
		return fmt.Sprintf("%v is not of type 'string'", v)
	}
	return ""
}

func isTopology(v any) string {
	if v != "SINGLE" && v != "ACTIVE_STANDBY" {
		return fmt.Sprintf("'%v' is not one of ['ACTIVE_STANDBY', 'SINGLE']", v)
	}
	return ""
}

// isFalse takes what cannot be had only as something that is not wanted.
func isFalse(v any) string {
	switch v {
	case false:
		return ""
	case true:
		return "there are no SR-IOV ports"
	default:
		return fmt.Sprintf("%v is not of type 'boolean'", v)
	}
}

func isArray(v any) string {
	list, ok := v.([]any)
	if !ok {
		return fmt.Sprintf("%v is not of type 'array'", v)
	}
	for _, item := range list {
		if wrong := isText(item); wrong != "" {
			return wrong
		}
	}
	return ""
}

// CheckProfile refuses the data of a profile that the provider does not understand. data is what its JSON says.
func (f Family) CheckProfile(provider string, data any) error {
	if err := CheckProvider(provider); err != nil {
		return err
	}
	object, ok := data.(map[string]any)
	if !ok {
		return errProfile(provider, fmt.Sprintf("%v is not of type 'object'", data))
	}
	var unknown []string
	for _, name := range slices.Sorted(maps.Keys(object)) {
		at := slices.IndexFunc(f.Capabilities(), func(c Capability) bool { return c.Name == name })
		if at < 0 {
			unknown = append(unknown, "'"+name+"'")
			continue
		}
		if wrong := f.Capabilities()[at].takes(object[name]); wrong != "" {
			return errProfile(provider, name+": "+wrong)
		}
	}
	switch len(unknown) {
	case 0:
		return nil
	case 1:
		return errProfile(provider, fmt.Sprintf("Additional properties are not allowed (%s was unexpected)", unknown[0]))
	default:
		return errProfile(provider, fmt.Sprintf("Additional properties are not allowed (%s were unexpected)", strings.Join(unknown, ", ")))
	}
}

func errProfile(provider, message string) error {
	return &Error{Code: Unsupported, Message: fmt.Sprintf("Provider '%s' does not support a requested option: %s", provider, message)}
}

// Placement is what a load balancer's creator chose among the offers.
type Placement struct {
	FlavorID         string
	AvailabilityZone string
	VIPNetworks      []string // in which the VIP may be; nil: everywhere
}

// checkNetwork refuses a VIP in a network that the availability zone does not list; id is "" before it is known.
func (p Placement) checkNetwork(id string) error {
	if id != "" && p.VIPNetworks != nil && !slices.Contains(p.VIPNetworks, id) {
		return ErrValidation("vip_network_id", "Supplied VIP network_id is not allowed by the configuration of this deployment.")
	}
	return nil
}

// ChooseProvider returns the provider of a new load balancer: the one asked for, else the flavor's. All names are aliases of
// one provider, so each takes the flavors of every other. flavorID is "" without a flavor.
func ChooseProvider(asked, flavorID, flavorProvider string) (string, error) {
	switch {
	case flavorID == "":
		return asked, CheckProvider(asked)
	case asked == "":
		return flavorProvider, CheckProvider(flavorProvider)
	case !slices.Contains(Providers, asked):
		return "", &Error{
			Code: Invalid, Field: "provider",
			Message: fmt.Sprintf("Flavor '%s' is not compatible with provider '%s'", flavorID, asked),
		}
	default:
		return asked, CheckProvider(flavorProvider)
	}
}

// ErrInUse refuses to change or delete what something else refers to.
func ErrInUse(kind Kind, id string) error {
	return errConflict("", "%s %s is in use and cannot be modified.", kind, id)
}

// ErrExists refuses a second offer of a name.
func (f Family) ErrExists(name string) error {
	return errConflict("name", "A %s of %s already exists.", strings.ToLower(string(f.Kind())), name)
}

// ErrDisabled refuses an offer that the operator has switched off. option is the attribute that chose it.
func ErrDisabled(option, value string) error {
	return &Error{
		Code: Invalid, Field: option,
		Message: fmt.Sprintf("The selected %s is not allowed in this deployment: %s", option, value),
	}
}
