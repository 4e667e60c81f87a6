-- +goose Up
CREATE TABLE quotas (
    project_id TEXT PRIMARY KEY,
    body       TEXT NOT NULL -- lb.Quota as JSON: the limits that were set
);

-- Flavors, and availability zones, whose id is their name. A profile that one of them uses cannot go.
CREATE TABLE flavor_profiles (
    id       TEXT PRIMARY KEY,
    name     TEXT NOT NULL,
    provider TEXT NOT NULL,
    data     TEXT NOT NULL -- JSON, as it was given
);
CREATE TABLE flavors (
    id          TEXT    PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,
    description TEXT    NOT NULL,
    enabled     BOOLEAN NOT NULL,
    profile_id  TEXT    NOT NULL REFERENCES flavor_profiles (id)
);
CREATE TABLE availability_zone_profiles (
    id       TEXT PRIMARY KEY,
    name     TEXT NOT NULL,
    provider TEXT NOT NULL,
    data     TEXT NOT NULL
);
CREATE TABLE availability_zones (
    id          TEXT    PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,
    description TEXT    NOT NULL,
    enabled     BOOLEAN NOT NULL,
    profile_id  TEXT    NOT NULL REFERENCES availability_zone_profiles (id)
);

-- A flavor or availability zone that a load balancer uses cannot go either.
ALTER TABLE load_balancers ADD COLUMN flavor_id TEXT REFERENCES flavors (id);
ALTER TABLE load_balancers ADD COLUMN availability_zone TEXT REFERENCES availability_zones (id);

-- Counts the objects of a project by kind without reading them.
DROP INDEX objects_by_load_balancer;
CREATE INDEX objects_by_load_balancer ON objects (load_balancer_id, kind);

-- +goose Down
DROP INDEX objects_by_load_balancer;
CREATE INDEX objects_by_load_balancer ON objects (load_balancer_id);
ALTER TABLE load_balancers DROP COLUMN availability_zone;
ALTER TABLE load_balancers DROP COLUMN flavor_id;
DROP TABLE availability_zones;
DROP TABLE availability_zone_profiles;
DROP TABLE flavors;
DROP TABLE flavor_profiles;
DROP TABLE quotas;
