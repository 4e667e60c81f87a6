-- +goose Up
CREATE INDEX barbican_secret_updated ON barbican_secret (updated_at);
CREATE INDEX barbican_container_updated ON barbican_container (updated_at);
