-- Collections. `policy` is canonical JSON (purposes, bases, countermeasures, retention, limits).
CREATE TABLE collections (
  id            TEXT NOT NULL PRIMARY KEY,
  name          TEXT NOT NULL UNIQUE,
  state         TEXT NOT NULL,
  policy        TEXT NOT NULL,
  policy_hash   BLOB NOT NULL,
  notice        TEXT NOT NULL,
  notice_sha256 BLOB NOT NULL,
  created_at    BIGINT NOT NULL
);
