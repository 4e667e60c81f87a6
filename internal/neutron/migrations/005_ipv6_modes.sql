-- +goose Up
-- How hosts in an IPv6 subnet would learn their addresses: kept for clients, see subnets.go. '': none.
ALTER TABLE neutron_subnets ADD COLUMN ipv6_ra_mode TEXT NOT NULL DEFAULT '';
ALTER TABLE neutron_subnets ADD COLUMN ipv6_address_mode TEXT NOT NULL DEFAULT '';
