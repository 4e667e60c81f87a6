package lb_test

import (
	"strings"
	"testing"

	"poise/internal/lb"
)

func TestProfiles(t *testing.T) {
	type data = map[string]any
	tests := map[string]struct {
		family   lb.Family
		provider string
		data     any
		code     lb.Code
		says     string
	}{
		"empty":             {lb.Flavors, "poise", data{}, 0, ""},
		"all keys":          {lb.Flavors, "amphora", data{"loadbalancer_topology": "ACTIVE_STANDBY", "compute_flavor": "x", "amp_image_tag": "y", "sriov_vip": false}, 0, ""},
		"zone":              {lb.AvailabilityZones, "octavia", data{"compute_zone": "nova", "valid_vip_networks": []any{"n"}}, 0, ""},
		"unknown provider":  {lb.Flavors, "ovn", data{}, lb.Invalid, "Provider 'ovn' is not enabled."},
		"unknown key":       {lb.Flavors, "amphora", data{"a": 1}, lb.Unsupported, "Provider 'amphora' does not support a requested option: Additional properties are not allowed ('a' was unexpected)"},
		"unknown keys":      {lb.Flavors, "amphora", data{"b": 1, "a": 1}, lb.Unsupported, "('a', 'b' were unexpected)"},
		"the other's key":   {lb.AvailabilityZones, "poise", data{"compute_flavor": "x"}, lb.Unsupported, "compute_flavor"},
		"unknown topology":  {lb.Flavors, "poise", data{"loadbalancer_topology": "TRIPLE"}, lb.Unsupported, "'TRIPLE' is not one of ['ACTIVE_STANDBY', 'SINGLE']"},
		"text is a number":  {lb.Flavors, "poise", data{"compute_flavor": 5.0}, lb.Unsupported, "5 is not of type 'string'"},
		"SR-IOV":            {lb.Flavors, "poise", data{"sriov_vip": true}, lb.Unsupported, "there are no SR-IOV ports"},
		"SR-IOV is a word":  {lb.Flavors, "poise", data{"allow_member_sriov": "no"}, lb.Unsupported, "is not of type 'boolean'"},
		"networks are text": {lb.AvailabilityZones, "poise", data{"valid_vip_networks": "n"}, lb.Unsupported, "is not of type 'array'"},
		"network is null":   {lb.AvailabilityZones, "poise", data{"valid_vip_networks": []any{nil}}, lb.Unsupported, "is not of type 'string'"},
		"a list":            {lb.Flavors, "poise", []any{}, lb.Unsupported, "is not of type 'object'"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := test.family.CheckProfile(test.provider, test.data)
			if lb.CodeOf(err) != test.code || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, want %s", err, test.says)
			}
		})
	}
}

func TestChooseProvider(t *testing.T) {
	tests := map[string]struct {
		asked, flavor, flavors string
		want                   string
		says                   string
	}{
		"nothing":       {"", "", "", "", ""},
		"asked":         {"octavia", "", "", "octavia", ""},
		"flavor's":      {"", "f", "amphora", "amphora", ""},
		"both the same": {"amphora", "f", "amphora", "amphora", ""},
		"two aliases":   {"amphora", "f", "poise", "amphora", ""},
		"another":       {"ovn", "f", "amphora", "", "Flavor 'f' is not compatible with provider 'ovn'"},
		"unknown":       {"ovn", "", "", "ovn", "Provider 'ovn' is not enabled."},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := lb.ChooseProvider(test.asked, test.flavor, test.flavors)
			if got != test.want || (err == nil) != (test.says == "") || err != nil && err.Error() != test.says {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}
