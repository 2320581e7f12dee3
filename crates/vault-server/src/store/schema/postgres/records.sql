-- Records. `state`: available, restricted, erased. `wrap` is the record key under KEK `kek_version`; deleting it erases the record.
-- Everything about the data subject is sealed under the record's field key. `resume_key`: the one its upload was under way with.
-- `key_tag` tells the field key from any other (docs/format.md §5.2). `rekeyed_under`: the KEK version under which the record key was made,
-- `rekeyed_at`: when, if that was when the record was encrypted anew.
CREATE TABLE records (
  id            TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  collection_id TEXT COLLATE "C" NOT NULL REFERENCES collections (id),
  state         TEXT COLLATE "C" NOT NULL,
  kek_version   BIGINT NOT NULL,
  wrap          BYTEA,
  pseudonym     BYTEA,
  details       BYTEA,
  consent       BYTEA,
  purposes      TEXT COLLATE "C" NOT NULL,
  consent_expires_at BIGINT,
  notice_sha256 BYTEA NOT NULL,
  media         TEXT COLLATE "C" NOT NULL,
  content_type  TEXT COLLATE "C" NOT NULL,
  size          BIGINT NOT NULL,
  received_at   BIGINT NOT NULL,
  retain_until  BIGINT,
  resume_key    TEXT COLLATE "C",
  key_tag       BYTEA,
  rekeyed_under BIGINT,
  rekeyed_at    BIGINT
);
-- A page goes through the ids; what filters ask for stands beside them, so that a row that is left out is not read.
CREATE INDEX records_page ON records (collection_id, id, state, media, received_at);
-- What each key version wraps, to be counted and moved without reading the rows.
CREATE INDEX records_version ON records (collection_id, kek_version, id) WHERE wrap IS NOT NULL;

-- Encrypted blobs of a record. `kind`: original.
CREATE TABLE objects (
  id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  record_id    TEXT COLLATE "C" NOT NULL REFERENCES records (id),
  kind         TEXT COLLATE "C" NOT NULL,
  content_type TEXT COLLATE "C" NOT NULL,
  header       BYTEA NOT NULL,
  segment_length BIGINT NOT NULL,
  plaintext_length BIGINT NOT NULL,
  created_at   BIGINT NOT NULL
);
CREATE INDEX objects_record ON objects (record_id);

-- Immutable parts of an object's ciphertext (docs/format.md §3). `tags`: the 16-byte tags of the segments that end in
-- the part, in order; `first_segment` the index of the first of them.
CREATE TABLE parts (
  object_id     TEXT COLLATE "C" NOT NULL,
  start         BIGINT NOT NULL,
  length        BIGINT NOT NULL,
  name          TEXT COLLATE "C" NOT NULL UNIQUE,
  first_segment BIGINT NOT NULL,
  tags          BYTEA NOT NULL,
  PRIMARY KEY (object_id, start)
);

-- Names written to the object store before the PUT, forgotten when the part is registered. `owner`: the upload, or the rewrite, under whose
-- `fence` it is written; `record_id`: what it may hold a piece of.
CREATE TABLE intents (
  name      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  owner     TEXT COLLATE "C" NOT NULL,
  record_id TEXT COLLATE "C",
  fence     BIGINT NOT NULL,
  deadline  BIGINT NOT NULL
);
CREATE INDEX intents_owner ON intents (owner);
CREATE INDEX intents_record ON intents (record_id);

-- Names to delete; kept until their absence is verified after `verify_after`. `record_id`: what they may hold a piece of.
CREATE TABLE garbage (
  name         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  verify_after BIGINT NOT NULL,
  record_id    TEXT COLLATE "C"
);
CREATE INDEX garbage_record ON garbage (record_id);

-- Erased records. `kek_version`, `root_epoch`, `resume_key`: what the key hung on then; a backup opens the record until all of
-- that is destroyed. `restriction` is the number of the act; `completed_at`: nothing is left in the live vault.
CREATE TABLE erasures (
  record_id     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  collection_id TEXT COLLATE "C" NOT NULL,
  at            BIGINT NOT NULL,
  kek_version   BIGINT NOT NULL,
  root_epoch    BIGINT NOT NULL,
  resume_key    TEXT COLLATE "C",
  restriction   BIGINT NOT NULL,
  completed_at  BIGINT
);
CREATE INDEX erasures_unfinished ON erasures (at) WHERE completed_at IS NULL;

-- Re-encryptions: the one under way in a collection, or its last one. `kek_version`: the compromised version whose exposed records are
-- meant, or `record_id`: the one record. `state`: running, paused, done, cancelled. `throttle`: bytes a second, NULL for as fast as it goes.
-- `total`, `total_bytes`: what there was when it began; `done` are encrypted anew, `skipped` needed it no more, `damaged` cannot be read.
-- `cursor`: the last record that is dealt with.
CREATE TABLE reencryptions (
  collection_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  id            TEXT COLLATE "C" NOT NULL,
  kek_version   BIGINT,
  record_id     TEXT COLLATE "C",
  state         TEXT COLLATE "C" NOT NULL,
  throttle      BIGINT,
  total         BIGINT NOT NULL,
  total_bytes   BIGINT NOT NULL,
  done          BIGINT NOT NULL,
  done_bytes    BIGINT NOT NULL,
  skipped       BIGINT NOT NULL,
  damaged       BIGINT NOT NULL,
  cursor        TEXT COLLATE "C" NOT NULL,
  worked_ms     BIGINT NOT NULL,
  started_at    BIGINT NOT NULL,
  updated_at    BIGINT NOT NULL,
  finished_at   BIGINT
);

-- Rewrites: a recording that is being written again; without the row nothing of it is ever registered. The key it is written under is
-- in memory alone.
CREATE TABLE rewrites (
  record_id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  id              TEXT COLLATE "C" NOT NULL UNIQUE,
  reencryption_id TEXT COLLATE "C" NOT NULL
);
