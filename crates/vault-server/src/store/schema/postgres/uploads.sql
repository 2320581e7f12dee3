-- Uploads under way and, for a while, those ended. The URL's secret is stored only as its SHA-256.
-- `state`: open, complete, rejected, expired, terminated. `wrap`, `tail`, `details`, `consent`, `header` are gone once it is not open.
CREATE TABLE uploads (
  id            TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  secret_hash   BYTEA NOT NULL UNIQUE,
  collection_id TEXT COLLATE "C" NOT NULL REFERENCES collections (id),
  record_id     TEXT COLLATE "C" NOT NULL,
  object_id     TEXT COLLATE "C" NOT NULL,
  person_id     TEXT COLLATE "C" NOT NULL,
  state         TEXT COLLATE "C" NOT NULL,
  filetype      TEXT COLLATE "C" NOT NULL,
  length        BIGINT,
  received      BIGINT NOT NULL,
  fence         BIGINT NOT NULL,
  resume_key    TEXT COLLATE "C",
  wrap          BYTEA,
  header        BYTEA NOT NULL,
  segment_length BIGINT NOT NULL,
  tail          BYTEA,
  tail_fence    BIGINT NOT NULL,
  details       BYTEA,
  consent       BYTEA,
  purposes      TEXT COLLATE "C" NOT NULL,
  consent_expires_at BIGINT,
  notice_sha256 BYTEA NOT NULL,
  refusal       TEXT COLLATE "C",
  created_at    BIGINT NOT NULL,
  expires_at    BIGINT NOT NULL
);
CREATE INDEX uploads_expiry ON uploads (state, expires_at);
CREATE INDEX uploads_resume_key ON uploads (resume_key);
CREATE INDEX uploads_person ON uploads (person_id, state);
CREATE INDEX uploads_collection ON uploads (collection_id, created_at);
