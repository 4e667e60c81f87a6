-- +goose Up
-- The operating status of each object: what a node sees of one of thousands of members is then a small write. A load
-- balancer that nothing was observed of since it was upgraded still has all statuses in its observation's body.
CREATE TABLE statuses (
    object_id        TEXT PRIMARY KEY, -- of a load balancer too
    load_balancer_id TEXT NOT NULL REFERENCES load_balancers (id) ON DELETE CASCADE,
    body             TEXT NOT NULL -- lb.Status as JSON
);
CREATE INDEX statuses_by_load_balancer ON statuses (load_balancer_id);

-- +goose Down
DROP TABLE statuses;
