-- Up Migration

-- Who is rolling what back: at most one rollback per component of an environment.
CREATE TABLE ops.claims (
  environment text NOT NULL,
  component text NOT NULL,
  rollback_id uuid NOT NULL,
  workflow_id text NOT NULL,
  claimed_by text NOT NULL,
  claimed_at timestamptz NOT NULL,
  PRIMARY KEY (environment, component)
);
CREATE INDEX claims_of_rollback ON ops.claims (rollback_id);

-- Down Migration

DROP TABLE ops.claims;
