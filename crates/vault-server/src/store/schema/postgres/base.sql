-- What the vault knows of itself. `name` is one of: schema_version, vault_id, made_by, log_name.
CREATE TABLE meta (
  name  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  value TEXT COLLATE "C" NOT NULL
);

-- Counters that nodes poll; `restrictions` rises with every restriction.
CREATE TABLE counters (
  name  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  value BIGINT NOT NULL
);

-- Fenced leases: who may do a job now. They only save work; correctness rests on the fence.
CREATE TABLE leases (
  name   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  holder TEXT COLLATE "C" NOT NULL,
  fence  BIGINT NOT NULL,
  until  BIGINT NOT NULL
);
