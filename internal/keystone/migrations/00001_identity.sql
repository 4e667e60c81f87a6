-- +goose Up
-- Times are microseconds since 1970 UTC. Ids are 32 hexadecimal digits, but for the domain "default".
CREATE TABLE keystone_domain (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    enabled     BOOLEAN NOT NULL
);

CREATE TABLE keystone_project (
    id          TEXT PRIMARY KEY,
    domain_id   TEXT NOT NULL REFERENCES keystone_domain (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    enabled     BOOLEAN NOT NULL,
    UNIQUE (domain_id, name)
);

CREATE TABLE keystone_user (
    id                 TEXT PRIMARY KEY,
    domain_id          TEXT NOT NULL REFERENCES keystone_domain (id) ON DELETE CASCADE,
    name               TEXT NOT NULL,
    description        TEXT NOT NULL,
    email              TEXT NOT NULL,
    enabled            BOOLEAN NOT NULL,
    default_project_id TEXT NOT NULL,
    password_hash      TEXT NOT NULL, -- argon2id; empty: no password, so no login with one
    UNIQUE (domain_id, name)
);

CREATE TABLE keystone_role (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL
);

CREATE TABLE keystone_implied_role (
    prior_id   TEXT NOT NULL REFERENCES keystone_role (id) ON DELETE CASCADE,
    implied_id TEXT NOT NULL REFERENCES keystone_role (id) ON DELETE CASCADE,
    PRIMARY KEY (prior_id, implied_id)
);

-- A role that a user has on one project or on one domain.
CREATE TABLE keystone_assignment (
    user_id    TEXT NOT NULL REFERENCES keystone_user (id) ON DELETE CASCADE,
    role_id    TEXT NOT NULL REFERENCES keystone_role (id) ON DELETE CASCADE,
    project_id TEXT REFERENCES keystone_project (id) ON DELETE CASCADE,
    domain_id  TEXT REFERENCES keystone_domain (id) ON DELETE CASCADE,
    CHECK ((project_id IS NULL) <> (domain_id IS NULL)),
    UNIQUE (user_id, project_id, role_id),
    UNIQUE (user_id, domain_id, role_id)
);
CREATE INDEX keystone_assignment_project ON keystone_assignment (project_id);

CREATE TABLE keystone_application_credential (
    id           TEXT PRIMARY KEY,
    user_id      TEXT NOT NULL REFERENCES keystone_user (id) ON DELETE CASCADE,
    project_id   TEXT NOT NULL REFERENCES keystone_project (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    description  TEXT NOT NULL,
    secret_hash  TEXT NOT NULL, -- argon2id
    expires_at   BIGINT NOT NULL, -- 0: never
    unrestricted BOOLEAN NOT NULL,
    UNIQUE (user_id, name)
);

CREATE TABLE keystone_application_credential_role (
    credential_id TEXT NOT NULL REFERENCES keystone_application_credential (id) ON DELETE CASCADE,
    role_id       TEXT NOT NULL REFERENCES keystone_role (id) ON DELETE CASCADE,
    PRIMARY KEY (credential_id, role_id)
);

-- What is kept of a token is its SHA-256. Whom it stands for is looked up when it is used, so that what happens to the
-- user, the project or the roles takes effect on tokens that are out.
CREATE TABLE keystone_token (
    hash          TEXT PRIMARY KEY,
    user_id       TEXT NOT NULL REFERENCES keystone_user (id) ON DELETE CASCADE,
    project_id    TEXT REFERENCES keystone_project (id) ON DELETE CASCADE,
    domain_id     TEXT REFERENCES keystone_domain (id) ON DELETE CASCADE,
    credential_id TEXT REFERENCES keystone_application_credential (id) ON DELETE CASCADE,
    methods       TEXT NOT NULL, -- separated by commas
    audit_ids     TEXT NOT NULL, -- separated by commas
    issued_at     BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL
);
CREATE INDEX keystone_token_expires_at ON keystone_token (expires_at);
CREATE INDEX keystone_token_user ON keystone_token (user_id);
CREATE INDEX keystone_token_project ON keystone_token (project_id);

-- +goose Down
DROP TABLE keystone_token;
DROP TABLE keystone_application_credential_role;
DROP TABLE keystone_application_credential;
DROP TABLE keystone_assignment;
DROP TABLE keystone_implied_role;
DROP TABLE keystone_role;
DROP TABLE keystone_user;
DROP TABLE keystone_project;
DROP TABLE keystone_domain;
