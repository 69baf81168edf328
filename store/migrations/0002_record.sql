-- Up Migration

-- The record and the exported histories. They only grow, and there is no way down.

-- Text, not jsonb and timestamptz: the hash is over these very bytes, and jsonb would reorder them.
CREATE TABLE ops.record (
  seq bigint PRIMARY KEY,
  rollback_id uuid NOT NULL,
  at text NOT NULL,
  body text NOT NULL,
  previous text NOT NULL UNIQUE,
  hash text NOT NULL,
  event text NOT NULL UNIQUE
);
CREATE INDEX record_of_rollback ON ops.record (rollback_id, seq);

CREATE TABLE ops.histories (
  run_id text PRIMARY KEY,
  workflow_id text NOT NULL,
  rollback_id uuid NOT NULL,
  json text NOT NULL,
  sha256 text NOT NULL,
  saved_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX histories_of_rollback ON ops.histories (rollback_id);

CREATE FUNCTION ops.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '%.% only grows: % is refused; what happened is corrected by a further entry',
    TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;

-- Per statement, so that a change which would meet no row is refused as well.
CREATE TRIGGER record_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.record
  FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();
CREATE TRIGGER histories_only_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.histories
  FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();
-- Also where session_replication_role turns ordinary triggers off.
ALTER TABLE ops.record ENABLE ALWAYS TRIGGER record_only_grows;
ALTER TABLE ops.histories ENABLE ALWAYS TRIGGER histories_only_grow;

-- The owner too: he could take it back, but not by mistake.
REVOKE UPDATE, DELETE, TRUNCATE ON ops.record, ops.histories FROM PUBLIC, CURRENT_USER;
