-- The audit log: the head that is compared and set, the entries, what waits to be sequenced, the openings.
-- `edge`: size and peaks of the Merkle tree. No signature is kept here: it is made after the commit.
CREATE TABLE log_head (
  id    BIGINT NOT NULL PRIMARY KEY,
  size  BIGINT NOT NULL,
  edge  BYTEA NOT NULL,
  fence BIGINT NOT NULL
);

CREATE TABLE log_entries (
  idx       BIGINT NOT NULL PRIMARY KEY,
  entry     BYTEA NOT NULL,
  reference TEXT COLLATE "C"
);
CREATE INDEX log_entries_reference ON log_entries (reference) WHERE reference IS NOT NULL;

-- Entries committed with the act they tell of, not yet sequenced. `id` orders them;
-- `mac` is over the whole row, under a key of the log: a row that somebody else writes is not signed.
CREATE TABLE log_outbox (
  id        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  entry     BYTEA NOT NULL,
  openings  BYTEA NOT NULL,
  reference TEXT COLLATE "C",
  mac       BYTEA NOT NULL
);

-- Openings of slots. `under` is 'record' or 'staff', `owner` the record or collection whose key seals them.
-- NULL `sealed`: erased.
CREATE TABLE log_openings (
  idx    BIGINT NOT NULL,
  slot   TEXT COLLATE "C" NOT NULL,
  under  TEXT COLLATE "C" NOT NULL,
  owner  TEXT COLLATE "C" NOT NULL,
  sealed BYTEA,
  PRIMARY KEY (idx, slot)
);
CREATE INDEX log_openings_owner ON log_openings (owner);
