-- Access requests. `reason`, `case_number`, `comment` are sealed: under the field key of `record_id` where there is one
-- record, else under the collection's staff audit key. `until`: when the requester wants the grant to end.
CREATE TABLE access_requests (
  id            TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  collection_id TEXT COLLATE "C" NOT NULL REFERENCES collections (id),
  requester     TEXT COLLATE "C" NOT NULL REFERENCES persons (id),
  record_id     TEXT COLLATE "C" REFERENCES records (id),
  scope         TEXT COLLATE "C" NOT NULL,
  purpose       TEXT COLLATE "C" NOT NULL,
  rights        TEXT COLLATE "C" NOT NULL,
  limits        TEXT COLLATE "C" NOT NULL,
  reason        BYTEA NOT NULL,
  case_number   BYTEA,
  comment       BYTEA,
  state         TEXT COLLATE "C" NOT NULL,
  created_at    BIGINT NOT NULL,
  until         BIGINT,
  waits_until   BIGINT NOT NULL,
  decided_by    TEXT COLLATE "C",
  decided_at    BIGINT
);
CREATE INDEX access_requests_requester ON access_requests (requester, id);
CREATE INDEX access_requests_collection ON access_requests (collection_id, id);
CREATE INDEX access_requests_record ON access_requests (record_id, id);

-- Grants. A row alone opens nothing: the log entry under the reference `approval:<id>` is what counts.
CREATE TABLE grants (
  id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  request_id TEXT COLLATE "C" NOT NULL UNIQUE REFERENCES access_requests (id),
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  revoked_at BIGINT
);
