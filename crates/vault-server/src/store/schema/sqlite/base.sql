-- What the vault knows of itself. `name` is one of: schema_version, vault_id, made_by, log_name.
CREATE TABLE meta (
  name  TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
);

-- Counters that nodes poll; `restrictions` rises with every restriction.
CREATE TABLE counters (
  name  TEXT NOT NULL PRIMARY KEY,
  value BIGINT NOT NULL
);

-- Fenced leases: who may do a job now. They only save work; correctness rests on the fence.
CREATE TABLE leases (
  name   TEXT NOT NULL PRIMARY KEY,
  holder TEXT NOT NULL,
  fence  BIGINT NOT NULL,
  until  BIGINT NOT NULL
);
