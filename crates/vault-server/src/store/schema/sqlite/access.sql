-- Access requests. `reason`, `case_number`, `comment` are sealed (record's field key or staff audit key, see `sealed_under`).
CREATE TABLE access_requests (
  id            TEXT NOT NULL PRIMARY KEY,
  collection_id TEXT NOT NULL REFERENCES collections (id),
  requester     TEXT NOT NULL REFERENCES persons (id),
  scope         TEXT NOT NULL,
  purpose       TEXT NOT NULL,
  rights        TEXT NOT NULL,
  limits        TEXT NOT NULL,
  sealed_under  TEXT NOT NULL,
  reason        BLOB NOT NULL,
  case_number   BLOB,
  comment       BLOB,
  state         TEXT NOT NULL,
  created_at    BIGINT NOT NULL,
  until         BIGINT NOT NULL,
  decided_by    TEXT,
  decided_at    BIGINT
);
CREATE INDEX access_requests_requester ON access_requests (requester, id);
CREATE INDEX access_requests_collection ON access_requests (collection_id, id);

CREATE TABLE grants (
  id         TEXT NOT NULL PRIMARY KEY,
  request_id TEXT NOT NULL UNIQUE REFERENCES access_requests (id),
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  revoked_at BIGINT
);
