-- +goose Up
-- Where an object stands among those that came with the same generation; 0 for the objects of earlier releases.
ALTER TABLE objects ADD COLUMN place BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE objects DROP COLUMN place;
