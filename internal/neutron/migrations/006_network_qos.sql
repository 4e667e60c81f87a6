-- +goose Up
ALTER TABLE neutron_networks ADD COLUMN qos_policy_id TEXT REFERENCES neutron_qos_policies (id);
CREATE INDEX neutron_networks_qos_policy ON neutron_networks (qos_policy_id);
