-- +goose Up
CREATE TABLE load_balancers (
    id         TEXT   PRIMARY KEY,
    project_id TEXT   NOT NULL,
    created_at BIGINT NOT NULL, -- microseconds since 1970
    version    BIGINT NOT NULL, -- counts every write below this load balancer, of intent and of observation
    body       TEXT   NOT NULL  -- lb.LoadBalancer as JSON
);
CREATE INDEX load_balancers_by_project ON load_balancers (project_id);

-- Listeners, pools, members and health monitors.
CREATE TABLE objects (
    id               TEXT   PRIMARY KEY,
    load_balancer_id TEXT   NOT NULL REFERENCES load_balancers (id) ON DELETE CASCADE,
    parent_id        TEXT   NOT NULL, -- the pool of a member or health monitor, else the load balancer
    kind             TEXT   NOT NULL, -- lb.Kind
    created_in       BIGINT NOT NULL, -- generation
    body             TEXT   NOT NULL  -- the lb type of the kind as JSON
);
CREATE INDEX objects_by_load_balancer ON objects (load_balancer_id);

-- What became of the intent: never in the same row as the intent itself.
CREATE TABLE observations (
    load_balancer_id TEXT PRIMARY KEY REFERENCES load_balancers (id) ON DELETE CASCADE,
    body             TEXT NOT NULL -- lb.Observation as JSON
);

CREATE TABLE counters (
    listener_id      TEXT PRIMARY KEY REFERENCES objects (id) ON DELETE CASCADE,
    load_balancer_id TEXT NOT NULL,
    body             TEXT NOT NULL -- lb.Counters as JSON
);
CREATE INDEX counters_by_load_balancer ON counters (load_balancer_id);

-- +goose Down
DROP TABLE counters;
DROP TABLE observations;
DROP TABLE objects;
DROP TABLE load_balancers;
