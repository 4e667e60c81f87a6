package neutron

import (
	"slices"
	"unicode/utf8"

	"poise/internal/rest"
)

// readDHCPOptions changes the port's DHCP options: one with a value is set, one with the value null is taken away, and those
// that the request does not name stay.
func (p *port) readDHCPOptions(b *body) {
	const name = "extra_dhcp_opts"
	raw, given := b.take(name)
	if !given || string(raw) == "null" {
		return
	}
	var wanted []struct {
		Name      string  `json:"opt_name"`
		Value     *string `json:"opt_value"`
		IPVersion int     `json:"ip_version"`
	}
	if err := rest.DecodeStrict(raw, &wanted); err != nil {
		b.fail(invalid(name, "'%s' is not a list of opt_name, opt_value and ip_version", short(raw)))
		return
	}
	options := slices.Clone(p.DHCPOptions)
	for _, w := range wanted {
		if w.IPVersion == 0 {
			w.IPVersion = 4
		}
		options = slices.DeleteFunc(options, func(o dhcpOption) bool { return o.Name == w.Name && o.IPVersion == w.IPVersion })
		switch {
		case w.Name == "" || utf8.RuneCountInString(w.Name) > maxTag:
			b.fail(invalid(name, "opt_name must have 1 to %d characters", maxTag))
		case w.IPVersion != 4 && w.IPVersion != 6:
			b.fail(invalid(name, "ip_version must be 4 or 6, not %d", w.IPVersion))
		case w.Value != nil && utf8.RuneCountInString(*w.Value) > maxName:
			b.fail(invalid(name, "opt_value of %s exceeds maximum length of %d", w.Name, maxName))
		case w.Value != nil:
			options = append(options, dhcpOption{w.Name, *w.Value, w.IPVersion})
		}
	}
	if len(options) > maxEntries {
		b.fail(invalid(name, "more than %d entries", maxEntries))
	}
	p.DHCPOptions = options
}
