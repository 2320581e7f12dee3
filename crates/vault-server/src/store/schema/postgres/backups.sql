-- Backups that were made of this vault, as `backup create` noted them: what the vault knows of, and no more. `needs`: the keys that
-- each hangs on, as its manifest names them.
CREATE TABLE backups (
  id              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  created_at      BIGINT NOT NULL,
  log_size        BIGINT NOT NULL,
  manifest_sha256 TEXT COLLATE "C" NOT NULL,
  needs           TEXT COLLATE "C" NOT NULL
);

-- Restores: entered with the rows of the backup, in one transaction. `facts`: what was found before anything was entered.
-- `report`: what was reconciled with the log and the journal, once that is done. Until `confirmed_at` nothing is deleted.
CREATE TABLE restores (
  id              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  manifest_sha256 TEXT COLLATE "C" NOT NULL,
  backup_at       BIGINT NOT NULL,
  log_size        BIGINT NOT NULL,
  restored_at     BIGINT NOT NULL,
  facts           TEXT COLLATE "C" NOT NULL,
  report          TEXT COLLATE "C",
  confirmed_by    TEXT COLLATE "C",
  confirmed_at    BIGINT
);
