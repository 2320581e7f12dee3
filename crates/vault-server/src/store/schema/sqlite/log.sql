-- The audit log: the head that is compared and set, the entries, what waits to be sequenced, the openings.
-- `edge`: size and peaks of the Merkle tree. No signature is kept here: it is made after the commit.
CREATE TABLE log_head (
  id    BIGINT NOT NULL PRIMARY KEY,
  size  BIGINT NOT NULL,
  edge  BLOB NOT NULL,
  fence BIGINT NOT NULL
);

CREATE TABLE log_entries (
  idx       BIGINT NOT NULL PRIMARY KEY,
  entry     BLOB NOT NULL,
  reference TEXT
);
CREATE INDEX log_entries_reference ON log_entries (reference) WHERE reference IS NOT NULL;

-- Entries committed with the act they tell of, not yet sequenced. `id` orders them;
-- `mac` is over the whole row, under a key of the log: a row that somebody else writes is not signed.
CREATE TABLE log_outbox (
  id        TEXT NOT NULL PRIMARY KEY,
  entry     BLOB NOT NULL,
  openings  BLOB NOT NULL,
  reference TEXT,
  mac       BLOB NOT NULL
);

-- Openings of slots. `under` is 'record' or 'staff', `owner` the record or collection whose key seals them.
-- NULL `sealed`: erased.
CREATE TABLE log_openings (
  idx    BIGINT NOT NULL,
  slot   TEXT NOT NULL,
  under  TEXT NOT NULL,
  owner  TEXT NOT NULL,
  sealed BLOB,
  PRIMARY KEY (idx, slot)
);
CREATE INDEX log_openings_owner ON log_openings (owner);
