-- Collections. `policy` is canonical JSON (notice, purposes, bases, countermeasures, retention, access); the log's
-- entry under the reference `collection:<id>` quotes `policy_hash`, so an edited policy is noticed.
CREATE TABLE collections (
  id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  name        TEXT COLLATE "C" NOT NULL UNIQUE,
  state       TEXT COLLATE "C" NOT NULL,
  policy      TEXT COLLATE "C" NOT NULL,
  policy_hash BYTEA NOT NULL,
  created_at  BIGINT NOT NULL
);
