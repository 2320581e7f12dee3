-- The audit log: the head that is compared and set, the entries, what waits to be sequenced, the openings.
CREATE TABLE log_head (
  id         BIGINT NOT NULL PRIMARY KEY,
  size       BIGINT NOT NULL,
  root       BLOB NOT NULL,
  frontier   BLOB NOT NULL,
  checkpoint TEXT NOT NULL,
  fence      BIGINT NOT NULL
);

CREATE TABLE log_entries (
  idx       BIGINT NOT NULL PRIMARY KEY,
  entry     BLOB NOT NULL,
  leaf_hash BLOB NOT NULL,
  reference TEXT
);
CREATE INDEX log_entries_reference ON log_entries (reference);

-- Entries committed with the act they tell of, not yet sequenced. `id` orders them.
CREATE TABLE log_outbox (
  id        TEXT NOT NULL PRIMARY KEY,
  entry     BLOB NOT NULL,
  openings  BLOB NOT NULL,
  reference TEXT
);

-- Openings of slots, sealed under the record's field key or a staff audit key. NULL `sealed`: erased.
CREATE TABLE log_openings (
  idx           BIGINT NOT NULL,
  slot          TEXT NOT NULL,
  under         TEXT NOT NULL,
  collection_id TEXT NOT NULL,
  record_id     TEXT,
  sealed        BLOB,
  PRIMARY KEY (idx, slot)
);
CREATE INDEX log_openings_record ON log_openings (record_id);
