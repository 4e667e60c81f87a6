-- +goose Up
-- metadata and ports (ids, the first is the one with the default route) are JSON text; times are RFC 3339 in UTC.
CREATE TABLE nova_servers (
    id         TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    name       TEXT NOT NULL,
    stopped    BOOLEAN NOT NULL,
    metadata   TEXT NOT NULL,
    ports      TEXT NOT NULL,
    revision   BIGINT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE INDEX nova_servers_project ON nova_servers (project_id);
