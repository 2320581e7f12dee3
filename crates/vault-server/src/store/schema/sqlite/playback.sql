-- Playback sessions; closed by the requester, by expiry, or by the reaper. A row alone plays nothing: the log entry
-- under the reference `session:<id>` is what counts, and it names record, object, person and grant. `instance` is
-- the process that opened it.
CREATE TABLE sessions (
  id             TEXT NOT NULL PRIMARY KEY,
  request_id     TEXT NOT NULL REFERENCES access_requests (id),
  grant_id       TEXT NOT NULL REFERENCES grants (id),
  binding_id     TEXT NOT NULL,
  collection_id  TEXT NOT NULL,
  record_id      TEXT NOT NULL,
  object_id      TEXT NOT NULL,
  person_id      TEXT NOT NULL,
  representation TEXT NOT NULL,
  instance       TEXT NOT NULL,
  created_at     BIGINT NOT NULL,
  expires_at     BIGINT NOT NULL,
  closed_at      BIGINT
);
CREATE INDEX sessions_open ON sessions (closed_at, expires_at);
CREATE INDEX sessions_grant ON sessions (grant_id, created_at);
CREATE INDEX sessions_person ON sessions (person_id, closed_at, expires_at);

-- A row for each process that serves an open session, entered before its first byte. `served` is NULL until it serves
-- nothing more; then the ranges, sealed under the collection's staff audit key. `lost`: it served the session again
-- after it had told. The closing of the session takes the rows away.
CREATE TABLE session_shares (
  session_id TEXT NOT NULL,
  instance   TEXT NOT NULL,
  served     BLOB,
  lost       BIGINT NOT NULL,
  PRIMARY KEY (session_id, instance)
);

-- Acts that take something away (`impose`) or give it back (`lift`), in the order of the restriction counter; what is
-- in force is their sum. Ids only. `until`: nothing can come of the target any more, so the row may go.
CREATE TABLE restrictions (
  counter    BIGINT NOT NULL PRIMARY KEY,
  act        TEXT NOT NULL,
  kind       TEXT NOT NULL,
  target     TEXT NOT NULL,
  at         BIGINT NOT NULL,
  until      BIGINT,
  journalled BIGINT NOT NULL
);
CREATE INDEX restrictions_journalled ON restrictions (journalled, counter);
