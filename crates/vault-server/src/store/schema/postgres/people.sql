-- Persons and machines. A display name is a staff member's, never a data subject's.
CREATE TABLE persons (
  id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  name        TEXT COLLATE "C" NOT NULL UNIQUE,
  kind        TEXT COLLATE "C" NOT NULL,
  created_at  BIGINT NOT NULL,
  disabled_at BIGINT
);

-- A role held by a person, in one collection or (NULL) in the whole vault. A row alone opens nothing:
-- the log entry under the reference `role:<id>` is what counts.
CREATE TABLE role_bindings (
  id            TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  person_id     TEXT COLLATE "C" NOT NULL REFERENCES persons (id),
  role          TEXT COLLATE "C" NOT NULL,
  collection_id TEXT COLLATE "C",
  state         TEXT COLLATE "C" NOT NULL,
  proposed_by   TEXT COLLATE "C",
  proposed_at   BIGINT NOT NULL,
  confirmed_by  TEXT COLLATE "C",
  active_at     BIGINT,
  until         BIGINT,
  revoked_at    BIGINT
);
CREATE INDEX role_bindings_person ON role_bindings (person_id, id);

-- Bearer tokens, stored as SHA-256 of 256 random bits. `roles`: names separated by spaces, NULL for all of the
-- person's. `used_hour`: the last hour (since the epoch) whose first use is in the log.
CREATE TABLE tokens (
  id            TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  person_id     TEXT COLLATE "C" NOT NULL REFERENCES persons (id),
  hash          BYTEA NOT NULL UNIQUE,
  label         TEXT COLLATE "C" NOT NULL,
  roles         TEXT COLLATE "C",
  collection_id TEXT COLLATE "C",
  issued_by     TEXT COLLATE "C",
  confirmed_by  TEXT COLLATE "C",
  created_at    BIGINT NOT NULL,
  expires_at    BIGINT NOT NULL,
  revoked_at    BIGINT,
  used_hour     BIGINT NOT NULL
);
CREATE INDEX tokens_person ON tokens (person_id, id);
