-- +goose Up
-- default_of is the project whose default group it is, NULL for all others.
CREATE TABLE neutron_security_groups (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    stateful    BOOLEAN NOT NULL,
    default_of  TEXT UNIQUE,
    tags        TEXT NOT NULL,
    revision    BIGINT NOT NULL,
    created_at  TEXT NOT NULL,
    updated_at  TEXT NOT NULL
);
CREATE INDEX neutron_security_groups_project ON neutron_security_groups (project_id);

-- protocol is as the user wrote it, '' for any; port_min and port_max are ports, or type and code of ICMP.
CREATE TABLE neutron_security_group_rules (
    id               TEXT PRIMARY KEY,
    group_id         TEXT NOT NULL REFERENCES neutron_security_groups (id) ON DELETE CASCADE,
    project_id       TEXT NOT NULL,
    description      TEXT NOT NULL,
    direction        TEXT NOT NULL,
    ethertype        TEXT NOT NULL,
    protocol         TEXT NOT NULL,
    port_min         INTEGER,
    port_max         INTEGER,
    remote_ip_prefix TEXT,
    remote_group_id  TEXT REFERENCES neutron_security_groups (id) ON DELETE CASCADE,
    tags             TEXT NOT NULL,
    revision         BIGINT NOT NULL,
    created_at       TEXT NOT NULL,
    updated_at       TEXT NOT NULL
);
CREATE INDEX neutron_security_group_rules_group ON neutron_security_group_rules (group_id);
CREATE INDEX neutron_security_group_rules_remote ON neutron_security_group_rules (remote_group_id);

CREATE TABLE neutron_port_groups (
    port_id  TEXT NOT NULL REFERENCES neutron_ports (id) ON DELETE CASCADE,
    group_id TEXT NOT NULL REFERENCES neutron_security_groups (id),
    PRIMARY KEY (port_id, group_id)
);
CREATE INDEX neutron_port_groups_group ON neutron_port_groups (group_id);

CREATE TABLE neutron_qos_policies (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    shared      BOOLEAN NOT NULL,
    is_default  BOOLEAN NOT NULL,
    tags        TEXT NOT NULL,
    revision    BIGINT NOT NULL,
    created_at  TEXT NOT NULL,
    updated_at  TEXT NOT NULL
);
CREATE INDEX neutron_qos_policies_project ON neutron_qos_policies (project_id);

ALTER TABLE neutron_ports ADD COLUMN qos_policy_id TEXT REFERENCES neutron_qos_policies (id);
CREATE INDEX neutron_ports_qos_policy ON neutron_ports (qos_policy_id);

-- The ports of earlier releases belong to no group, and nothing was filtered: so it stays.
UPDATE neutron_ports SET port_security_enabled = FALSE;
