-- Records. `state`: available, restricted, erased. `wrap` is the record key under KEK `kek_version`; deleting it erases the record.
-- Everything about the data subject is sealed under the record's field key. `resume_key`: the one its upload was under way with.
CREATE TABLE records (
  id            TEXT NOT NULL PRIMARY KEY,
  collection_id TEXT NOT NULL REFERENCES collections (id),
  state         TEXT NOT NULL,
  kek_version   BIGINT NOT NULL,
  wrap          BLOB,
  pseudonym     BLOB,
  details       BLOB,
  consent       BLOB,
  purposes      TEXT NOT NULL,
  consent_expires_at BIGINT,
  notice_sha256 BLOB NOT NULL,
  media         TEXT NOT NULL,
  content_type  TEXT NOT NULL,
  size          BIGINT NOT NULL,
  received_at   BIGINT NOT NULL,
  retain_until  BIGINT,
  resume_key    TEXT
);
-- A page goes through the ids; what filters ask for stands beside them, so that a row that is left out is not read.
CREATE INDEX records_page ON records (collection_id, id, state, media, received_at);
-- What each key version wraps, to be counted and moved without reading the rows.
CREATE INDEX records_version ON records (collection_id, kek_version, id) WHERE wrap IS NOT NULL;

-- Encrypted blobs of a record. `kind`: original.
CREATE TABLE objects (
  id           TEXT NOT NULL PRIMARY KEY,
  record_id    TEXT NOT NULL REFERENCES records (id),
  kind         TEXT NOT NULL,
  content_type TEXT NOT NULL,
  header       BLOB NOT NULL,
  segment_length BIGINT NOT NULL,
  plaintext_length BIGINT NOT NULL,
  created_at   BIGINT NOT NULL
);
CREATE INDEX objects_record ON objects (record_id);

-- Immutable parts of an object's ciphertext (docs/format.md §3). `tags`: the 16-byte tags of the segments that end in
-- the part, in order; `first_segment` the index of the first of them.
CREATE TABLE parts (
  object_id     TEXT NOT NULL,
  start         BIGINT NOT NULL,
  length        BIGINT NOT NULL,
  name          TEXT NOT NULL UNIQUE,
  first_segment BIGINT NOT NULL,
  tags          BLOB NOT NULL,
  PRIMARY KEY (object_id, start)
);

-- Names written to the object store before the PUT, forgotten when the part is registered.
CREATE TABLE intents (
  name      TEXT NOT NULL PRIMARY KEY,
  upload_id TEXT NOT NULL,
  fence     BIGINT NOT NULL,
  deadline  BIGINT NOT NULL
);
CREATE INDEX intents_upload ON intents (upload_id);

-- Names to delete; kept until their absence is verified after `verify_after`. `record_id`: what they may hold a piece of.
CREATE TABLE garbage (
  name         TEXT NOT NULL PRIMARY KEY,
  verify_after BIGINT NOT NULL,
  record_id    TEXT
);
CREATE INDEX garbage_record ON garbage (record_id);

-- Erased records. `kek_version`, `root_epoch`, `resume_key`: what the key hung on then; a backup opens the record until all of
-- that is destroyed. `restriction` is the number of the act; `completed_at`: nothing is left in the live vault.
CREATE TABLE erasures (
  record_id     TEXT NOT NULL PRIMARY KEY,
  collection_id TEXT NOT NULL,
  at            BIGINT NOT NULL,
  kek_version   BIGINT NOT NULL,
  root_epoch    BIGINT NOT NULL,
  resume_key    TEXT,
  restriction   BIGINT NOT NULL,
  completed_at  BIGINT
);
CREATE INDEX erasures_unfinished ON erasures (at) WHERE completed_at IS NULL;
