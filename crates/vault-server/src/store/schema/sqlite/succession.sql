-- A successor log that one key officer has proposed and another is to declare: at most one row. `sealed`: who, why and of what
-- state of the log, under the vault's staff audit key.
CREATE TABLE log_successions (
  id     BIGINT NOT NULL PRIMARY KEY,
  sealed BLOB NOT NULL
);
