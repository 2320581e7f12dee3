-- Access requests. `reason`, `case_number`, `comment` are sealed: under the field key of `record_id` where there is one
-- record, else under the collection's staff audit key. `until`: when the requester wants the grant to end.
CREATE TABLE access_requests (
  id            TEXT NOT NULL PRIMARY KEY,
  collection_id TEXT NOT NULL REFERENCES collections (id),
  requester     TEXT NOT NULL REFERENCES persons (id),
  record_id     TEXT REFERENCES records (id),
  scope         TEXT NOT NULL,
  purpose       TEXT NOT NULL,
  rights        TEXT NOT NULL,
  limits        TEXT NOT NULL,
  reason        BLOB NOT NULL,
  case_number   BLOB,
  comment       BLOB,
  state         TEXT NOT NULL,
  created_at    BIGINT NOT NULL,
  until         BIGINT,
  waits_until   BIGINT NOT NULL,
  decided_by    TEXT,
  decided_at    BIGINT
);
CREATE INDEX access_requests_requester ON access_requests (requester, id);
CREATE INDEX access_requests_collection ON access_requests (collection_id, id);
CREATE INDEX access_requests_record ON access_requests (record_id, id);

-- Grants. A row alone opens nothing: the log entry under the reference `approval:<id>` is what counts.
CREATE TABLE grants (
  id         TEXT NOT NULL PRIMARY KEY,
  request_id TEXT NOT NULL UNIQUE REFERENCES access_requests (id),
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  revoked_at BIGINT
);
