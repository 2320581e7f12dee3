-- Backups that were made of this vault, as `backup create` noted them: what the vault knows of, and no more. `needs`: the keys that
-- each hangs on, as its manifest names them.
CREATE TABLE backups (
  id              TEXT NOT NULL PRIMARY KEY,
  created_at      BIGINT NOT NULL,
  log_size        BIGINT NOT NULL,
  manifest_sha256 TEXT NOT NULL,
  needs           TEXT NOT NULL
);

-- Restores: entered with the rows of the backup, in one transaction. `facts`: what was found before anything was entered.
-- `report`: what was reconciled with the log and the journal, once that is done. Until `confirmed_at` nothing is deleted.
CREATE TABLE restores (
  id              TEXT NOT NULL PRIMARY KEY,
  manifest_sha256 TEXT NOT NULL,
  backup_at       BIGINT NOT NULL,
  log_size        BIGINT NOT NULL,
  restored_at     BIGINT NOT NULL,
  facts           TEXT NOT NULL,
  report          TEXT,
  confirmed_by    TEXT,
  confirmed_at    BIGINT
);
