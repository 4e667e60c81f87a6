-- +goose Up
-- Where a user has signed in with a password: a source (an address or network), or a browser by the SHA-256 of its token.
CREATE TABLE keystone_origin (
    user_id TEXT NOT NULL REFERENCES keystone_user (id) ON DELETE CASCADE,
    origin  TEXT NOT NULL,
    seen_at BIGINT NOT NULL, -- microseconds since 1970
    PRIMARY KEY (user_id, origin)
);

-- The project in which the role admin makes an administrator of the cloud.
ALTER TABLE keystone_project ADD COLUMN is_admin BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE keystone_project SET is_admin = TRUE WHERE domain_id = 'default' AND name = 'admin';

-- +goose Down
ALTER TABLE keystone_project DROP COLUMN is_admin;
DROP TABLE keystone_origin;
