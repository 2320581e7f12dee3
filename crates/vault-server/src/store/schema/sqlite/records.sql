-- Records. `wrap` is the record key under KEK `kek_version`; deleting it erases the record.
-- Everything about the data subject is sealed under the record's field key.
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
  received_at   BIGINT NOT NULL,
  retain_until  BIGINT
);
CREATE INDEX records_page ON records (collection_id, id);
CREATE INDEX records_version ON records (collection_id, kek_version, id);

-- Encrypted blobs of a record.
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

-- Immutable parts of an object's ciphertext. `tags`: the 16-byte tags of its segments, in order.
CREATE TABLE parts (
  object_id TEXT NOT NULL,
  seq       BIGINT NOT NULL,
  name      TEXT NOT NULL UNIQUE,
  start     BIGINT NOT NULL,
  length    BIGINT NOT NULL,
  tags      BLOB NOT NULL,
  PRIMARY KEY (object_id, seq)
);

-- Names written to the object store before the PUT, forgotten when the part is registered.
CREATE TABLE intents (
  name      TEXT NOT NULL PRIMARY KEY,
  upload_id TEXT NOT NULL,
  fence     BIGINT NOT NULL,
  deadline  BIGINT NOT NULL
);
CREATE INDEX intents_upload ON intents (upload_id);

-- Names to delete; kept until their absence is verified after `verify_after`.
CREATE TABLE garbage (
  name         TEXT NOT NULL PRIMARY KEY,
  verify_after BIGINT NOT NULL
);
