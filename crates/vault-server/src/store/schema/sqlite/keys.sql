-- Root epochs known to the database; the keys themselves are in custody.
CREATE TABLE root_epochs (
  epoch      BIGINT NOT NULL PRIMARY KEY,
  state      TEXT NOT NULL,
  created_at BIGINT NOT NULL
);

-- KEK versions, wrapped by a root epoch. `wraps` counts uses and guards retirement:
-- UPDATE … SET wraps = wraps + 1 WHERE … AND state = 'active'. `moved` of them were of keys that another version had
-- wrapped before.
CREATE TABLE keks (
  collection_id TEXT NOT NULL,
  version       BIGINT NOT NULL,
  root_epoch    BIGINT NOT NULL,
  wrap          BLOB NOT NULL,
  state         TEXT NOT NULL,
  wraps         BIGINT NOT NULL,
  moved         BIGINT NOT NULL,
  created_at    BIGINT NOT NULL,
  activated_at  BIGINT,
  deactivated_at BIGINT,
  PRIMARY KEY (collection_id, version)
);

-- Children of a KEK other than record keys: staff audit key, subject key.
CREATE TABLE kek_children (
  collection_id TEXT NOT NULL,
  kind          TEXT NOT NULL,
  kek_version   BIGINT NOT NULL,
  wrap          BLOB NOT NULL,
  PRIMARY KEY (collection_id, kind)
);

-- Log signing keys, wrapped by a root epoch.
CREATE TABLE log_keys (
  name       TEXT NOT NULL PRIMARY KEY,
  root_epoch BIGINT NOT NULL,
  wrap       BLOB NOT NULL,
  public_key TEXT NOT NULL,
  state      TEXT NOT NULL,
  created_at BIGINT NOT NULL
);

-- Rotations: the one under way in a collection, or its last one. `state`: running, paused, done. `because`: the planner's
-- reason. `priority`: higher goes first. `throttle`: record keys a second, NULL for as fast as it goes. `total`: record
-- keys there were to move when work on it began; `done` of them are moved, `damaged` do not open. `worked_ms`: time
-- it was worked on.
CREATE TABLE rotations (
  collection_id TEXT NOT NULL PRIMARY KEY,
  from_version  BIGINT NOT NULL,
  to_version    BIGINT NOT NULL,
  state         TEXT NOT NULL,
  because       TEXT NOT NULL,
  priority      BIGINT NOT NULL,
  throttle      BIGINT,
  total         BIGINT NOT NULL,
  done          BIGINT NOT NULL,
  damaged       BIGINT NOT NULL,
  worked_ms     BIGINT NOT NULL,
  started_at    BIGINT NOT NULL,
  updated_at    BIGINT NOT NULL,
  finished_at   BIGINT
);

-- Keys to be destroyed: `kind` kek, root-epoch (the vault's own id is its collection then). `state`: requested, confirmed, cancelled,
-- done. Who asked and who confirmed is believed by the log alone. `inventory`: what was found to need the key last; its
-- SHA-256 is in the log.
CREATE TABLE destructions (
  id            TEXT NOT NULL PRIMARY KEY,
  kind          TEXT NOT NULL,
  collection_id TEXT NOT NULL,
  version       BIGINT NOT NULL,
  state         TEXT NOT NULL,
  requested_by  TEXT NOT NULL,
  requested_at  BIGINT NOT NULL,
  confirmed_by  TEXT,
  confirmed_at  BIGINT,
  not_before    BIGINT,
  ended_at      BIGINT,
  inventory     TEXT NOT NULL
);
CREATE UNIQUE INDEX destructions_pending ON destructions (kind, collection_id, version)
  WHERE state IN ('requested', 'confirmed');

-- Cycles of keys. `state`: running, cancelled, done. `scope`: the versions and the root epoch that are to be destroyed, frozen
-- when it began; its SHA-256 is in the log. Who agreed is believed by the log alone: what is said here keeps two from
-- agreeing at once. `throttle`: record keys a second, NULL for as fast as it goes.
CREATE TABLE cycles (
  number       BIGINT NOT NULL PRIMARY KEY,
  state        TEXT NOT NULL,
  scope        TEXT NOT NULL,
  throttle     BIGINT,
  requested_by TEXT,
  confirmed_by TEXT,
  started_at   BIGINT NOT NULL,
  ended_at     BIGINT
);
CREATE UNIQUE INDEX cycles_running ON cycles (state) WHERE state = 'running';
