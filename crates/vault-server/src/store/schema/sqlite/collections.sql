-- Collections. `policy` is canonical JSON (notice, purposes, bases, countermeasures, retention, access); the log's
-- entry under the reference `collection:<id>` quotes `policy_hash`, so an edited policy is noticed.
CREATE TABLE collections (
  id          TEXT NOT NULL PRIMARY KEY,
  name        TEXT NOT NULL UNIQUE,
  state       TEXT NOT NULL,
  policy      TEXT NOT NULL,
  policy_hash BLOB NOT NULL,
  created_at  BIGINT NOT NULL
);
