-- Root epochs known to the database; the keys themselves are in custody.
CREATE TABLE root_epochs (
  epoch      BIGINT NOT NULL PRIMARY KEY,
  state      TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL
);

-- KEK versions, wrapped by a root epoch. `wraps` counts uses and guards retirement:
-- UPDATE … SET wraps = wraps + 1 WHERE … AND state = 'active'.
CREATE TABLE keks (
  collection_id TEXT COLLATE "C" NOT NULL,
  version       BIGINT NOT NULL,
  root_epoch    BIGINT NOT NULL,
  wrap          BYTEA NOT NULL,
  state         TEXT COLLATE "C" NOT NULL,
  wraps         BIGINT NOT NULL,
  created_at    BIGINT NOT NULL,
  activated_at  BIGINT,
  deactivated_at BIGINT,
  PRIMARY KEY (collection_id, version)
);

-- Children of a KEK other than record keys: staff audit key, subject key.
CREATE TABLE kek_children (
  collection_id TEXT COLLATE "C" NOT NULL,
  kind          TEXT COLLATE "C" NOT NULL,
  kek_version   BIGINT NOT NULL,
  wrap          BYTEA NOT NULL,
  PRIMARY KEY (collection_id, kind)
);

-- Log signing keys, wrapped by a root epoch.
CREATE TABLE log_keys (
  name       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  root_epoch BIGINT NOT NULL,
  wrap       BYTEA NOT NULL,
  public_key TEXT COLLATE "C" NOT NULL,
  state      TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL
);

-- A rotation under way: record keys still to be rewrapped, resumed after the cursor.
CREATE TABLE rotations (
  collection_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  from_version  BIGINT NOT NULL,
  to_version    BIGINT NOT NULL,
  cursor        TEXT COLLATE "C" NOT NULL,
  done          BIGINT NOT NULL,
  started_at    BIGINT NOT NULL,
  finished_at   BIGINT
);
