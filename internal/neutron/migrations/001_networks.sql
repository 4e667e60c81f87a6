-- +goose Up
-- Times are RFC 3339 text in UTC, so that they sort as they are; tags, pools and the like are JSON text.
CREATE TABLE neutron_networks (
    id                    TEXT PRIMARY KEY,
    project_id            TEXT NOT NULL,
    name                  TEXT NOT NULL,
    description           TEXT NOT NULL,
    admin_state_up        BOOLEAN NOT NULL,
    shared                BOOLEAN NOT NULL,
    external              BOOLEAN NOT NULL,
    mtu                   INTEGER NOT NULL,
    port_security_enabled BOOLEAN NOT NULL,
    tags                  TEXT NOT NULL,
    revision              BIGINT NOT NULL,
    created_at            TEXT NOT NULL,
    updated_at            TEXT NOT NULL
);
CREATE INDEX neutron_networks_project ON neutron_networks (project_id);

-- next_place is where the search for the next free address begins, counted from the first address of the range.
CREATE TABLE neutron_subnets (
    id               TEXT PRIMARY KEY,
    network_id       TEXT NOT NULL REFERENCES neutron_networks (id),
    project_id       TEXT NOT NULL,
    name             TEXT NOT NULL,
    description      TEXT NOT NULL,
    cidr             TEXT NOT NULL,
    gateway_ip       TEXT,
    enable_dhcp      BOOLEAN NOT NULL,
    allocation_pools TEXT NOT NULL,
    dns_nameservers  TEXT NOT NULL,
    host_routes      TEXT NOT NULL,
    next_place       BIGINT NOT NULL,
    tags             TEXT NOT NULL,
    revision         BIGINT NOT NULL,
    created_at       TEXT NOT NULL,
    updated_at       TEXT NOT NULL
);
CREATE INDEX neutron_subnets_network ON neutron_subnets (network_id);
CREATE INDEX neutron_subnets_project ON neutron_subnets (project_id);

CREATE TABLE neutron_routers (
    id                 TEXT PRIMARY KEY,
    project_id         TEXT NOT NULL,
    name               TEXT NOT NULL,
    description        TEXT NOT NULL,
    admin_state_up     BOOLEAN NOT NULL,
    enable_snat        BOOLEAN NOT NULL,
    gateway_network_id TEXT REFERENCES neutron_networks (id),
    tags               TEXT NOT NULL,
    revision           BIGINT NOT NULL,
    created_at         TEXT NOT NULL,
    updated_at         TEXT NOT NULL
);
CREATE INDEX neutron_routers_project ON neutron_routers (project_id);
CREATE INDEX neutron_routers_gateway ON neutron_routers (gateway_network_id);

-- router_id and holder say whose port it is; device_id and device_owner are only what users read and write. holder is
-- "lb-<load balancer id>" or a server's id; holder_made tells ports that were made for it from those that a user supplied.
CREATE TABLE neutron_ports (
    id                    TEXT PRIMARY KEY,
    network_id            TEXT NOT NULL REFERENCES neutron_networks (id),
    project_id            TEXT NOT NULL,
    name                  TEXT NOT NULL,
    description           TEXT NOT NULL,
    admin_state_up        BOOLEAN NOT NULL,
    mac_address           TEXT NOT NULL,
    device_id             TEXT NOT NULL,
    device_owner          TEXT NOT NULL,
    port_security_enabled BOOLEAN NOT NULL,
    address_pairs         TEXT NOT NULL,
    host_id               TEXT NOT NULL,
    vnic_type             TEXT NOT NULL,
    profile               TEXT NOT NULL,
    router_id             TEXT REFERENCES neutron_routers (id),
    holder                TEXT,
    holder_made           BOOLEAN NOT NULL,
    tags                  TEXT NOT NULL,
    revision              BIGINT NOT NULL,
    created_at            TEXT NOT NULL,
    updated_at            TEXT NOT NULL,
    UNIQUE (network_id, mac_address)
);
CREATE INDEX neutron_ports_project ON neutron_ports (project_id);
CREATE INDEX neutron_ports_device ON neutron_ports (device_id);
CREATE INDEX neutron_ports_router ON neutron_ports (router_id);
CREATE INDEX neutron_ports_holder ON neutron_ports (holder);

-- place counts from the first address of the range; NULL for one too far out to be counted in 62 bits (IPv6).
CREATE TABLE neutron_addresses (
    subnet_id TEXT NOT NULL REFERENCES neutron_subnets (id),
    address   TEXT NOT NULL,
    place     BIGINT,
    port_id   TEXT NOT NULL REFERENCES neutron_ports (id) ON DELETE CASCADE,
    position  INTEGER NOT NULL,
    PRIMARY KEY (subnet_id, address),
    UNIQUE (subnet_id, place)
);
CREATE INDEX neutron_addresses_port ON neutron_addresses (port_id);
CREATE INDEX neutron_addresses_address ON neutron_addresses (address);

CREATE TABLE neutron_floating_ips (
    id                  TEXT PRIMARY KEY,
    project_id          TEXT NOT NULL,
    description         TEXT NOT NULL,
    floating_network_id TEXT NOT NULL REFERENCES neutron_networks (id),
    floating_ip_address TEXT NOT NULL,
    address_port_id     TEXT NOT NULL REFERENCES neutron_ports (id),
    port_id             TEXT REFERENCES neutron_ports (id),
    fixed_ip_address    TEXT,
    router_id           TEXT REFERENCES neutron_routers (id),
    dns_name            TEXT NOT NULL,
    dns_domain          TEXT NOT NULL,
    tags                TEXT NOT NULL,
    revision            BIGINT NOT NULL,
    created_at          TEXT NOT NULL,
    updated_at          TEXT NOT NULL
);
CREATE INDEX neutron_floating_ips_project ON neutron_floating_ips (project_id);
CREATE INDEX neutron_floating_ips_port ON neutron_floating_ips (port_id);
CREATE INDEX neutron_floating_ips_router ON neutron_floating_ips (router_id);
CREATE UNIQUE INDEX neutron_floating_ips_address ON neutron_floating_ips (floating_network_id, floating_ip_address);
