-- Persons and machines. A display name is a staff member's, never a data subject's.
CREATE TABLE persons (
  id          TEXT NOT NULL PRIMARY KEY,
  name        TEXT NOT NULL UNIQUE,
  kind        TEXT NOT NULL,
  created_at  BIGINT NOT NULL,
  disabled_at BIGINT
);

-- A role held by a person, in one collection or (NULL) in the whole vault. A row alone opens nothing:
-- the log entry under the reference `role:<id>` is what counts.
CREATE TABLE role_bindings (
  id            TEXT NOT NULL PRIMARY KEY,
  person_id     TEXT NOT NULL REFERENCES persons (id),
  role          TEXT NOT NULL,
  collection_id TEXT,
  state         TEXT NOT NULL,
  proposed_by   TEXT,
  proposed_at   BIGINT NOT NULL,
  confirmed_by  TEXT,
  active_at     BIGINT,
  until         BIGINT,
  revoked_at    BIGINT
);
CREATE INDEX role_bindings_person ON role_bindings (person_id, id);

-- Bearer tokens, stored as SHA-256 of 256 random bits. `roles`: names separated by spaces, NULL for all of the
-- person's. `used_hour`: the last hour (since the epoch) whose first use is in the log.
CREATE TABLE tokens (
  id            TEXT NOT NULL PRIMARY KEY,
  person_id     TEXT NOT NULL REFERENCES persons (id),
  hash          BLOB NOT NULL UNIQUE,
  label         TEXT NOT NULL,
  roles         TEXT,
  collection_id TEXT,
  issued_by     TEXT,
  confirmed_by  TEXT,
  created_at    BIGINT NOT NULL,
  expires_at    BIGINT NOT NULL,
  revoked_at    BIGINT,
  used_hour     BIGINT NOT NULL
);
CREATE INDEX tokens_person ON tokens (person_id, id);
