-- +goose Up
-- by_balancer: vip_sg_ids put the load balancer's port into the group. While there are such groups, those that the port's
-- owner gave it do not count.
CREATE TABLE neutron_port_groups_of_two (
    port_id     TEXT NOT NULL REFERENCES neutron_ports (id) ON DELETE CASCADE,
    group_id    TEXT NOT NULL REFERENCES neutron_security_groups (id),
    by_balancer BOOLEAN NOT NULL,
    PRIMARY KEY (port_id, group_id, by_balancer)
);
INSERT INTO neutron_port_groups_of_two (port_id, group_id, by_balancer)
    SELECT m.port_id, m.group_id, p.holder_made AND p.holder IS NOT NULL AND p.holder LIKE 'lb-%'
    FROM neutron_port_groups m JOIN neutron_ports p ON p.id = m.port_id;
DROP TABLE neutron_port_groups;
ALTER TABLE neutron_port_groups_of_two RENAME TO neutron_port_groups;
CREATE INDEX neutron_port_groups_group ON neutron_port_groups (group_id);

-- groups_given: the groups of a load balancer's port were set since the load balancer has it, and so filter.
ALTER TABLE neutron_ports ADD COLUMN groups_given BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE neutron_ports SET port_security_enabled = TRUE WHERE holder_made AND holder LIKE 'lb-%';
