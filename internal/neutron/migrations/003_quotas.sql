-- +goose Up
-- limits are the limits that were set, as JSON: {"port": 20}. A row without limits is only a lock.
CREATE TABLE neutron_quotas (
    project_id TEXT PRIMARY KEY,
    limits     TEXT NOT NULL
);
-- What a quota counts.
CREATE INDEX neutron_security_group_rules_project ON neutron_security_group_rules (project_id);

-- Pools of ranges that subnets are cut out of. prefixes is JSON: ["10.0.0.0/8"]; default_quota bounds what one project may
-- take, in addresses (IPv4) or networks of 64 bits (IPv6); NULL: all.
CREATE TABLE neutron_subnet_pools (
    id                TEXT PRIMARY KEY,
    project_id        TEXT NOT NULL,
    name              TEXT NOT NULL,
    description       TEXT NOT NULL,
    prefixes          TEXT NOT NULL,
    default_prefixlen INTEGER NOT NULL,
    min_prefixlen     INTEGER NOT NULL,
    max_prefixlen     INTEGER NOT NULL,
    default_quota     BIGINT,
    shared            BOOLEAN NOT NULL,
    is_default        BOOLEAN NOT NULL,
    tags              TEXT NOT NULL,
    revision          BIGINT NOT NULL,
    created_at        TEXT NOT NULL,
    updated_at        TEXT NOT NULL
);
CREATE INDEX neutron_subnet_pools_project ON neutron_subnet_pools (project_id);

ALTER TABLE neutron_subnets ADD COLUMN subnetpool_id TEXT REFERENCES neutron_subnet_pools (id);
CREATE INDEX neutron_subnets_pool ON neutron_subnets (subnetpool_id);

-- Routes of a router beside those to its subnets, as JSON: [{"destination": "10.9.0.0/16", "nexthop": "10.0.0.5"}].
ALTER TABLE neutron_routers ADD COLUMN routes TEXT NOT NULL DEFAULT '[]';

-- DHCP options of a port, as JSON: [{"opt_name": "mtu", "opt_value": "1400", "ip_version": 4}].
ALTER TABLE neutron_ports ADD COLUMN dhcp_options TEXT NOT NULL DEFAULT '[]';
