-- Up Migration

-- ops.migration_history [003] over several environments and databases: a name is unique among what is applied in one of
-- them, and one that was rolled back may be applied again, in a row of its own [ADR 0023]. Rows of an installation that
-- runs [003] already get the environment and the database '', which none of Backout can be called.
ALTER TABLE ops.migration_history
  ADD COLUMN IF NOT EXISTS environment text NOT NULL DEFAULT '',
  ADD COLUMN IF NOT EXISTS database text NOT NULL DEFAULT '',
  DROP CONSTRAINT IF EXISTS migration_history_migration_name_key;
CREATE UNIQUE INDEX migration_history_applied ON ops.migration_history (environment, database, migration_name) WHERE rolled_back_at IS NULL;

-- What became of each generation of a credential [001 step 3e], by fingerprint: the last row of a generation is what is known of
-- it. `old`: alive when the Security Lead signed, and to be revoked; nothing else ever is.
CREATE TABLE ops.credential_generations (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  environment text NOT NULL,
  credential text NOT NULL,
  generation text NOT NULL,
  fingerprint text,
  state text NOT NULL CONSTRAINT credential_generations_state_known CHECK (state IN ('old', 'issued', 'installed', 'revoked')),
  rollback_id uuid NOT NULL,
  at timestamptz NOT NULL,
  UNIQUE (environment, credential, generation, state, rollback_id)
);
CREATE INDEX credential_generations_of ON ops.credential_generations (environment, credential, id DESC);
CREATE TRIGGER credential_generations_only_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.credential_generations
  FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();
ALTER TABLE ops.credential_generations ENABLE ALWAYS TRIGGER credential_generations_only_grow;
REVOKE UPDATE, DELETE, TRUNCATE ON ops.credential_generations FROM PUBLIC, CURRENT_USER;
