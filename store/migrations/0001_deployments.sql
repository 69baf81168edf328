-- Up Migration

-- The four tables of [003], beside `component` and `platform_ref`. IF NOT EXISTS: an installation that runs [003]
-- already keeps its tables and its rows; theirs get the component '', which no component of Backout can be called.
-- There is no way down: what was deployed and rolled back is evidence.

DO $$
DECLARE
  -- People are users of Supabase where there are any [003]; elsewhere they are the names they give.
  person text := CASE WHEN EXISTS (
    SELECT FROM pg_catalog.pg_attribute a
      JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = 'auth' AND c.relname = 'users' AND a.attname = 'id' AND a.atttypid = 'uuid'::regtype
  ) THEN 'uuid REFERENCES auth.users(id)' ELSE 'text' END;
BEGIN
  EXECUTE format($create$
    CREATE TABLE IF NOT EXISTS ops.deployments (
      id bigserial PRIMARY KEY,
      deployment_id uuid UNIQUE NOT NULL,
      environment text NOT NULL,
      version text NOT NULL,
      git_commit text NOT NULL,
      git_branch text NOT NULL,
      deployed_by %s,
      deployed_at timestamptz DEFAULT now(),
      status text NOT NULL,
      rollback_from uuid REFERENCES ops.deployments(deployment_id),
      health_check_passed boolean DEFAULT false,
      health_check_details jsonb,
      constitutional_validation jsonb,
      metadata jsonb,
      completed_at timestamptz,
      rolled_back_at timestamptz
    )$create$, person);

  EXECUTE format($create$
    CREATE TABLE IF NOT EXISTS ops.rollback_events (
      id bigserial PRIMARY KEY,
      event_id uuid UNIQUE NOT NULL,
      deployment_id uuid REFERENCES ops.deployments(deployment_id),
      trigger_type text NOT NULL,
      trigger_reason text NOT NULL,
      initiated_by %s,
      initiated_at timestamptz DEFAULT now(),
      status text NOT NULL,
      rollback_plan jsonb,
      rollback_steps jsonb[],
      constitutional_validation jsonb,
      completed_at timestamptz,
      metadata jsonb
    )$create$, person);
END
$$;

CREATE TABLE IF NOT EXISTS ops.system_snapshots (
  id bigserial PRIMARY KEY,
  snapshot_id uuid UNIQUE NOT NULL,
  deployment_id uuid REFERENCES ops.deployments(deployment_id),
  snapshot_type text NOT NULL,
  database_schema_hash text,
  table_counts jsonb,
  key_metrics jsonb,
  environment_config jsonb,
  created_at timestamptz DEFAULT now()
);

CREATE TABLE IF NOT EXISTS ops.migration_history (
  id bigserial PRIMARY KEY,
  deployment_id uuid REFERENCES ops.deployments(deployment_id),
  migration_name text UNIQUE NOT NULL,
  migration_hash text NOT NULL,
  applied_at timestamptz DEFAULT now(),
  rolled_back_at timestamptz,
  rollback_successful boolean,
  execution_time_ms integer,
  error_message text,
  rollback_script text,
  metadata jsonb
);

ALTER TABLE ops.deployments
  ADD COLUMN IF NOT EXISTS component text NOT NULL DEFAULT '',
  ADD COLUMN IF NOT EXISTS platform_ref text,
  ADD CONSTRAINT deployments_status_known
    CHECK (status IN ('pending', 'in_progress', 'success', 'failed', 'rolled_back'));
-- Only rows from before Backout may have no component.
ALTER TABLE ops.deployments ALTER COLUMN component DROP DEFAULT;

ALTER TABLE ops.rollback_events
  ADD CONSTRAINT rollback_events_trigger_type_known
    CHECK (trigger_type IN ('automatic', 'manual', 'constitutional_violation')),
  ADD CONSTRAINT rollback_events_status_known
    CHECK (status IN ('pending', 'in_progress', 'success', 'failed', 'aborted'));

ALTER TABLE ops.system_snapshots
  ADD CONSTRAINT system_snapshots_type_known
    CHECK (snapshot_type IN ('pre_deployment', 'post_deployment', 'pre_rollback'));

CREATE INDEX deployments_of_component ON ops.deployments (environment, component, id DESC);
CREATE INDEX rollback_events_of_workflow ON ops.rollback_events ((metadata->>'workflow_id'));

-- ops.person(name): what a people column takes for a name; null where it takes only users and this is none.
-- Then the name is in `metadata`, so that it can always be read back.
DO $$
BEGIN
  IF 'uuid'::regtype = (
    SELECT atttypid FROM pg_catalog.pg_attribute WHERE attrelid = 'ops.deployments'::regclass AND attname = 'deployed_by'
  ) THEN
    CREATE FUNCTION ops.person(name text) RETURNS uuid LANGUAGE sql STABLE
      AS 'SELECT id FROM auth.users WHERE id::text = name';
  ELSE
    CREATE FUNCTION ops.person(name text) RETURNS text LANGUAGE sql IMMUTABLE
      AS 'SELECT name';
  END IF;
END
$$;
