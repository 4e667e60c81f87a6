-- When traffic was last counted, in seconds since 1970; 0: never. After a restart, load balancers with traffic come first.
-- +goose Up
ALTER TABLE counters ADD COLUMN moved_at BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE counters DROP COLUMN moved_at;
