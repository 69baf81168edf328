-- Up Migration

-- The freeze register [001 Freeze Scope]: what stands still in which environment, and for which incident. Both tables
-- only grow, and there is no way down: a scope is in force until a row of ops.unfreezes lifts it.
CREATE TABLE ops.freezes (
  id bigint GENERATED ALWAYS AS IDENTITY,
  freeze_id uuid PRIMARY KEY,
  environment text NOT NULL,
  incident text NOT NULL,
  rollback_id uuid NOT NULL,
  workflow_id text NOT NULL,
  declared_by text NOT NULL,
  frozen_at timestamptz NOT NULL,
  scopes text[] NOT NULL CONSTRAINT freezes_scopes_known
    CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['merges', 'claims', 'promotions', 'deployments']),
  -- Who is let through: { roles, items }.
  exceptions jsonb NOT NULL,
  event text NOT NULL UNIQUE
);
CREATE INDEX freezes_of_incident ON ops.freezes (environment, incident);

CREATE TABLE ops.unfreezes (
  freeze_id uuid NOT NULL,
  scope text NOT NULL CONSTRAINT unfreezes_scope_known CHECK (scope IN ('merges', 'claims', 'promotions', 'deployments')),
  lifted_by text NOT NULL,
  lifted_at timestamptz NOT NULL,
  rollback_id uuid NOT NULL,
  event text NOT NULL,
  PRIMARY KEY (freeze_id, scope)
);

-- Nothing is frozen or lifted without an entry of the record that tells of this very thing. A trigger and no foreign key:
-- to check one, Postgres locks the row as the owner of its table, who may not (0002); and a replication role turns it off.
CREATE FUNCTION ops.freeze_is_told() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  kind text := CASE TG_TABLE_NAME WHEN 'freezes' THEN 'freeze' ELSE 'unfreeze' END;
  frozen ops.freezes;
  told jsonb;
BEGIN
  IF TG_TABLE_NAME = 'freezes' THEN
    frozen := NEW;
  ELSE
    SELECT * INTO frozen FROM ops.freezes WHERE freeze_id = NEW.freeze_id AND NEW.scope = ANY (scopes);
    IF NOT FOUND THEN
      RAISE EXCEPTION 'no freeze % holds %', NEW.freeze_id, NEW.scope USING ERRCODE = 'foreign_key_violation';
    END IF;
  END IF;
  -- The record holds NUL, which jsonb does not know.
  SELECT regexp_replace(body, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g')::jsonb INTO told
    FROM ops.record WHERE event = NEW.event AND rollback_id = NEW.rollback_id;
  IF told->>'type' IS DISTINCT FROM kind OR told->>'environment' IS DISTINCT FROM frozen.environment OR told->>'incident' IS DISTINCT FROM frozen.incident THEN
    RAISE EXCEPTION '%.% holds only what the record tells: there is no entry % of type % for % in %',
      TG_TABLE_SCHEMA, TG_TABLE_NAME, NEW.event, kind, frozen.incident, frozen.environment USING ERRCODE = 'foreign_key_violation';
  END IF;
  RETURN NEW;
END
$$;

CREATE TRIGGER freezes_are_told BEFORE INSERT ON ops.freezes FOR EACH ROW EXECUTE FUNCTION ops.freeze_is_told();
CREATE TRIGGER unfreezes_are_told BEFORE INSERT ON ops.unfreezes FOR EACH ROW EXECUTE FUNCTION ops.freeze_is_told();
CREATE TRIGGER freezes_only_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.freezes
  FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();
CREATE TRIGGER unfreezes_only_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.unfreezes
  FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();
ALTER TABLE ops.freezes ENABLE ALWAYS TRIGGER freezes_are_told, ENABLE ALWAYS TRIGGER freezes_only_grow;
ALTER TABLE ops.unfreezes ENABLE ALWAYS TRIGGER unfreezes_are_told, ENABLE ALWAYS TRIGGER unfreezes_only_grow;

REVOKE UPDATE, DELETE, TRUNCATE ON ops.freezes, ops.unfreezes FROM PUBLIC, CURRENT_USER;
