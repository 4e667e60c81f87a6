-- +goose Up
-- Times are microseconds since 1970 UTC, 0 for never. Ids are UUIDs; secrets and containers never share one.
CREATE TABLE barbican_secret (
    id           TEXT PRIMARY KEY,
    project_id   TEXT NOT NULL,
    creator_id   TEXT NOT NULL,
    name         TEXT,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    secret_type  TEXT NOT NULL,
    algorithm    TEXT,
    bit_length   BIGINT,
    mode         TEXT,
    content_type TEXT,   -- of the payload; NULL: there is none yet
    key_id       TEXT,   -- of the key in the key file that wraps the secret's own
    wrapped_key  BYTEA,
    sealed       BYTEA   -- the payload under the secret's own key
);
CREATE INDEX barbican_secret_project ON barbican_secret (project_id, created_at);

CREATE TABLE barbican_metadata (
    secret_id TEXT NOT NULL REFERENCES barbican_secret (id) ON DELETE CASCADE,
    key       TEXT NOT NULL,
    value     TEXT NOT NULL,
    PRIMARY KEY (secret_id, key)
);

CREATE TABLE barbican_container (
    id         TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    creator_id TEXT NOT NULL,
    name       TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    type       TEXT NOT NULL
);
CREATE INDEX barbican_container_project ON barbican_container (project_id, created_at);

CREATE TABLE barbican_container_secret (
    container_id TEXT NOT NULL REFERENCES barbican_container (id) ON DELETE CASCADE,
    secret_id    TEXT NOT NULL REFERENCES barbican_secret (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    PRIMARY KEY (container_id, name, secret_id)
);
CREATE INDEX barbican_container_secret_secret ON barbican_container_secret (secret_id);

-- The entity of the next tables is a secret or a container.

-- Who else may read it. No row: the whole project.
CREATE TABLE barbican_acl (
    entity_id      TEXT PRIMARY KEY,
    project_access BOOLEAN NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL
);

CREATE TABLE barbican_acl_user (
    entity_id TEXT NOT NULL REFERENCES barbican_acl (entity_id) ON DELETE CASCADE,
    user_id   TEXT NOT NULL,
    PRIMARY KEY (entity_id, user_id)
);
CREATE INDEX barbican_acl_user_user ON barbican_acl_user (user_id);

-- Who says that it uses it. A container's consumer has a name (service) and a URL (resource_id).
CREATE TABLE barbican_consumer (
    entity_id     TEXT NOT NULL,
    service       TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id   TEXT NOT NULL,
    project_id    TEXT NOT NULL, -- of who registered it
    created_at    BIGINT NOT NULL,
    PRIMARY KEY (entity_id, service, resource_type, resource_id)
);
