-- Up Migration

-- What was provisioned for whom, and what became of it [000]: requests, their Canonical Objects, the error_log. They belong to
-- whoever provisions tenants; what the policy forbids is refused here, to everybody: to his agent, to Backout, to the owner of
-- the tables, and also where session_replication_role turns ordinary triggers off. There is no way down.
--
-- The role of an agent needs: USAGE on the schema, SELECT and INSERT on provisioning_requests, canonical_objects and corrections,
-- UPDATE (version) on provisioning_requests, UPDATE (tenant_config) on canonical_objects. Request and object come in one transaction.

CREATE SCHEMA IF NOT EXISTS upa;

-- `Artifact` of model/tenant.ts, with `more` keys: every value is text, and a key that nobody knows is none.
CREATE FUNCTION upa.is_artifact(one jsonb, more text[]) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN jsonb_typeof(one) = 'object' THEN
    one ?& (ARRAY['type', 'id'] || more)
      AND one - (ARRAY['type', 'id', 'name', 'platform'] || more) = '{}'
      AND NOT EXISTS (SELECT FROM jsonb_each(one) WHERE jsonb_typeof(value) <> 'string')
      AND one->>'type' IN ('n8n-workflow', 'webhook', 'crm', 'calendar', 'vapi-assistant', 'credential')
      AND one->>'id' <> ''
  ELSE false END
$$;

-- `TenantConfig` of model/tenant.ts. What else the house keeps in it is the house's.
CREATE FUNCTION upa.is_tenant_config(config jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN jsonb_typeof(config->'artifacts') = 'array' AND jsonb_typeof(config->'removed') = 'array' THEN
    NOT EXISTS (SELECT FROM jsonb_array_elements(config->'artifacts') AS one WHERE NOT upa.is_artifact(one, '{}'))
      AND NOT EXISTS (SELECT FROM jsonb_array_elements(config->'removed') AS one WHERE NOT upa.is_artifact(one, '{at,by,rollbackId,how}'))
      -- Each once: what was taken out does not come back under the same request.
      AND (SELECT count(*) = count(DISTINCT (one->>'type', one->>'id'))
             FROM jsonb_array_elements((config->'artifacts') || (config->'removed')) AS one)
      AND CASE config->>'status'
        WHEN 'active' THEN coalesce(config->'rollback' = 'null', false)
        -- That a rollback occurred, when and by whom [000 Invariant 5].
        WHEN 'deprovisioned' THEN coalesce(config->'rollback'->>'at' <> '' AND config->'rollback'->>'by' <> ''
          AND config->'rollback'->>'rollbackId' <> '' AND jsonb_typeof(config->'rollback'->'reason') = 'string', false)
        ELSE false
      END
  ELSE false END
$$;

CREATE TABLE upa.provisioning_requests (
  id bigint GENERATED ALWAYS AS IDENTITY,
  -- "C": compared code point by code point, whatever the database's language is.
  request_id text COLLATE "C" PRIMARY KEY CHECK (request_id <> ''),
  environment text COLLATE "C" NOT NULL CHECK (environment <> ''),
  tenant text COLLATE "C" NOT NULL CHECK (tenant <> ''),
  version text,
  status text NOT NULL CONSTRAINT requests_status_known CHECK (status IN ('COMPLETED', 'FAILED', 'ROLLBACK_IN_PROGRESS', 'ROLLED_BACK')),
  -- The rollback that has it, or had it last.
  rollback_id uuid,
  -- That rollback failed: FAILED may also say that the provisioning itself did.
  rollback_failed boolean NOT NULL DEFAULT false,
  cleanup_confirmed_by text CHECK (cleanup_confirmed_by <> ''),
  cleanup_confirmed_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (request_id, environment, tenant),
  CONSTRAINT requests_cleanup_whole CHECK ((cleanup_confirmed_by IS NULL) = (cleanup_confirmed_at IS NULL)),
  CONSTRAINT requests_cleanup_after_failure CHECK (cleanup_confirmed_by IS NULL OR rollback_failed),
  CONSTRAINT requests_rollback_fits CHECK (CASE status
    WHEN 'COMPLETED' THEN rollback_id IS NULL AND NOT rollback_failed
    WHEN 'FAILED' THEN (rollback_id IS NOT NULL) = rollback_failed
    WHEN 'ROLLBACK_IN_PROGRESS' THEN rollback_id IS NOT NULL AND NOT rollback_failed
    ELSE rollback_id IS NOT NULL
  END)
);
CREATE INDEX requests_of_tenant ON upa.provisioning_requests (environment, tenant);

CREATE TABLE upa.canonical_objects (
  request_id text COLLATE "C" PRIMARY KEY,
  environment text COLLATE "C" NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  tenant_config jsonb NOT NULL CONSTRAINT tenant_config_shape CHECK (upa.is_tenant_config(tenant_config)),
  FOREIGN KEY (request_id, environment, tenant) REFERENCES upa.provisioning_requests (request_id, environment, tenant)
);
-- Who lists an artifact?
CREATE INDEX canonical_objects_artifacts ON upa.canonical_objects USING gin ((tenant_config->'artifacts') jsonb_path_ops);

-- [000 Rollback Procedure 9], and the details of a failure [000 Rollback Failure 2].
CREATE TABLE upa.error_log (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- The operation that wrote it: once.
  event text NOT NULL UNIQUE,
  kind text NOT NULL CONSTRAINT error_log_kind_known CHECK (kind IN ('rollback-failed', 'rolled-back')),
  environment text COLLATE "C" NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  request_ids text[] NOT NULL CHECK (cardinality(request_ids) > 0),
  rollback_id uuid NOT NULL,
  "timestamp" timestamptz NOT NULL,
  logged_by text NOT NULL,
  reason text NOT NULL,
  artifacts_removed text[] NOT NULL,
  -- [{ artifact, reason, owner }].
  artifacts_not_removable jsonb NOT NULL CHECK (jsonb_typeof(artifacts_not_removable) = 'array'),
  detail text
);
CREATE INDEX error_log_of_tenant ON upa.error_log (environment, tenant, id);

-- An artifact that was listed by mistake, another tenant's perhaps: who took it off the list before any rollback.
CREATE TABLE upa.corrections (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  request_id text COLLATE "C" NOT NULL REFERENCES upa.provisioning_requests (request_id),
  artifact jsonb NOT NULL CHECK (upa.is_artifact(artifact, '{}')),
  corrected_by text NOT NULL CHECK (corrected_by <> ''),
  corrected_at timestamptz NOT NULL DEFAULT now(),
  transaction xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX corrections_of_request ON upa.corrections (request_id);

-- What was done under an operation id, so that an attempt which comes late does nothing.
CREATE TABLE upa.operations (
  operation_id text NOT NULL,
  action text NOT NULL,
  -- The artifact, where the action is about one.
  subject text NOT NULL,
  request_ids text[] NOT NULL,
  done_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (operation_id, action, subject)
);

-- One who provisions and one who begins a rollback of the same tenant wait for each other.
CREATE FUNCTION upa.lock_tenant(environment text, tenant text) RETURNS void LANGUAGE sql AS $$
  SELECT pg_advisory_xact_lock(hashtextextended(jsonb_build_array('upa', environment, tenant)::text, 0))
$$;

-- SECURITY DEFINER, here and below: what is looked up is looked up for everybody, whatever he may read.
CREATE FUNCTION upa.guard_request() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  busy text;
  config jsonb;
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW.status NOT IN ('COMPLETED', 'FAILED') OR NEW.rollback_id IS NOT NULL OR NEW.rollback_failed OR NEW.cleanup_confirmed_by IS NOT NULL THEN
      RAISE EXCEPTION 'a request comes as COMPLETED or FAILED and without a rollback, not as %: what becomes of it comes by transitions', NEW.status
        USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM upa.lock_tenant(NEW.environment, NEW.tenant);
    SELECT request_id INTO busy FROM upa.provisioning_requests
      WHERE environment = NEW.environment AND tenant = NEW.tenant AND status = 'ROLLBACK_IN_PROGRESS' ORDER BY request_id LIMIT 1;
    IF FOUND THEN
      RAISE EXCEPTION 'tenant % is being rolled back in % (request % is ROLLBACK_IN_PROGRESS): record a new request when that has ended in ROLLED_BACK or FAILED',
        NEW.tenant, NEW.environment, busy USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN NEW;
  END IF;

  IF (NEW.id, NEW.request_id, NEW.environment, NEW.tenant, NEW.created_at) IS DISTINCT FROM (OLD.id, OLD.request_id, OLD.environment, OLD.tenant, OLD.created_at) THEN
    RAISE EXCEPTION 'request %: its id, environment, tenant and time never change; record another request', OLD.request_id
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF OLD.status = 'ROLLED_BACK' THEN
    RAISE EXCEPTION 'request % is ROLLED_BACK, which is terminal: nothing of it changes; record another request', OLD.request_id
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  IF NEW.version IS DISTINCT FROM OLD.version AND (NEW.rollback_id IS NOT NULL OR NEW.status <> OLD.status) THEN
    RAISE EXCEPTION 'request %: its version changes only before any rollback of it', OLD.request_id USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  SELECT tenant_config INTO config FROM upa.canonical_objects WHERE request_id = OLD.request_id;
  IF config->>'status' = 'deprovisioned' AND NEW.status <> 'ROLLED_BACK' THEN
    RAISE EXCEPTION 'request % is deprovisioned: only ROLLED_BACK may follow', OLD.request_id USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;

  CASE
    WHEN OLD.status IN ('COMPLETED', 'FAILED') AND NEW.status = 'ROLLBACK_IN_PROGRESS' THEN
      IF NEW.rollback_id IS NULL THEN
        RAISE EXCEPTION 'request %: ROLLBACK_IN_PROGRESS names its rollback_id', OLD.request_id USING ERRCODE = 'object_not_in_prerequisite_state';
      END IF;
      PERFORM upa.lock_tenant(OLD.environment, OLD.tenant);
      -- A new attempt: what an earlier one left is confirmed anew.
      NEW.rollback_failed := false;
      NEW.cleanup_confirmed_by := NULL;
      NEW.cleanup_confirmed_at := NULL;
      RETURN NEW;
    WHEN OLD.status = 'ROLLBACK_IN_PROGRESS' AND NEW.status = OLD.status THEN
      -- A further rollback goes on with it; the CHECKs hold the rest.
      RETURN NEW;
    WHEN OLD.status = 'ROLLBACK_IN_PROGRESS' AND NEW.status = 'FAILED' THEN
      NEW.rollback_failed := true;
      IF NEW.cleanup_confirmed_by IS NOT NULL THEN
        RAISE EXCEPTION 'request %: a cleanup is confirmed once the rollback is FAILED, not with it', OLD.request_id
          USING ERRCODE = 'object_not_in_prerequisite_state';
      END IF;
    WHEN NEW.status = 'ROLLED_BACK' AND (OLD.status = 'ROLLBACK_IN_PROGRESS' OR (OLD.status = 'FAILED' AND OLD.rollback_failed AND OLD.cleanup_confirmed_by IS NOT NULL)) THEN
      IF config->>'status' IS DISTINCT FROM 'deprovisioned' OR config->'rollback'->>'rollbackId' IS DISTINCT FROM NEW.rollback_id::text THEN
        RAISE EXCEPTION 'request %: ROLLED_BACK comes once its Canonical Object says deprovisioned, when and by whom, under the same rollback', OLD.request_id
          USING ERRCODE = 'object_not_in_prerequisite_state';
      END IF;
    WHEN NEW.status = OLD.status THEN
      NULL;
    ELSE
      RAISE EXCEPTION 'request %: % to % is no transition; allowed are COMPLETED or FAILED to ROLLBACK_IN_PROGRESS, that to ROLLED_BACK or FAILED, and FAILED to ROLLED_BACK after a failed rollback whose cleanup is confirmed',
        OLD.request_id, OLD.status, NEW.status USING ERRCODE = 'object_not_in_prerequisite_state';
  END CASE;
  IF NEW.rollback_id IS DISTINCT FROM OLD.rollback_id
    OR (NEW.rollback_failed <> OLD.rollback_failed AND (OLD.status, NEW.status) <> ('ROLLBACK_IN_PROGRESS', 'FAILED')) THEN
    RAISE EXCEPTION 'request %: which rollback has it, and whether that failed, changes only with a transition of its own', OLD.request_id
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  IF OLD.cleanup_confirmed_by IS NOT NULL
    AND (NEW.cleanup_confirmed_by, NEW.cleanup_confirmed_at) IS DISTINCT FROM (OLD.cleanup_confirmed_by, OLD.cleanup_confirmed_at) THEN
    RAISE EXCEPTION 'request %: its cleanup was confirmed by %; only a new rollback takes that back', OLD.request_id, OLD.cleanup_confirmed_by
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  RETURN NEW;
END
$$;

-- After the row: its shape is checked by then.
CREATE FUNCTION upa.guard_canonical_object() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  request upa.provisioning_requests;
  is_rolling boolean;
  odd text;
BEGIN
  -- Locked: what its status allows stays allowed until this is committed.
  SELECT * INTO request FROM upa.provisioning_requests WHERE request_id = NEW.request_id FOR SHARE;
  IF (request.request_id, request.environment, request.tenant) IS DISTINCT FROM (NEW.request_id, NEW.environment, NEW.tenant) THEN
    RAISE EXCEPTION 'there is no request % of tenant % in %: a Canonical Object belongs to the request of its id', NEW.request_id, NEW.tenant, NEW.environment
      USING ERRCODE = 'foreign_key_violation';
  END IF;
  IF TG_OP = 'INSERT' THEN
    IF NEW.tenant_config->>'status' <> 'active' OR NEW.tenant_config->'removed' <> '[]' THEN
      RAISE EXCEPTION 'the Canonical Object of request % comes as active, with nothing removed', NEW.request_id
        USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN NULL;
  END IF;

  is_rolling := request.status = 'ROLLBACK_IN_PROGRESS' OR request.status = 'FAILED' AND request.rollback_failed;
  IF (NEW.request_id, NEW.environment, NEW.tenant) IS DISTINCT FROM (OLD.request_id, OLD.environment, OLD.tenant) THEN
    RAISE EXCEPTION 'the Canonical Object of request %: its request, environment and tenant never change', OLD.request_id USING ERRCODE = 'restrict_violation';
  END IF;
  IF OLD.tenant_config->>'status' = 'deprovisioned' THEN
    RAISE EXCEPTION 'request % is deprovisioned, and never goes back: record another request', OLD.request_id USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  IF NEW.tenant_config->>'status' = 'deprovisioned' AND (NOT is_rolling OR request.status = 'FAILED' AND request.cleanup_confirmed_by IS NULL
    OR NEW.tenant_config->'rollback'->>'rollbackId' IS DISTINCT FROM request.rollback_id::text) THEN
    RAISE EXCEPTION 'request % is %: deprovisioned comes under its rollback, while ROLLBACK_IN_PROGRESS, or FAILED with the cleanup confirmed', OLD.request_id, request.status
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;

  IF EXISTS (SELECT jsonb_array_elements(OLD.tenant_config->'removed') EXCEPT SELECT jsonb_array_elements(NEW.tenant_config->'removed')) THEN
    RAISE EXCEPTION 'request %: what was removed stays listed as it is; add to it', OLD.request_id USING ERRCODE = 'restrict_violation';
  END IF;
  SELECT concat_ws(' ', fresh.one->>'type', fresh.one->>'id') INTO odd
    FROM (SELECT jsonb_array_elements(NEW.tenant_config->'removed') AS one EXCEPT SELECT jsonb_array_elements(OLD.tenant_config->'removed')) AS fresh
    WHERE NOT is_rolling OR fresh.one->>'rollbackId' IS DISTINCT FROM request.rollback_id::text
      OR NOT (OLD.tenant_config->'artifacts') @> jsonb_build_array(fresh.one - '{at,by,rollbackId,how}'::text[]) LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'request % is %: only a rollback that has it moves an artifact to removed, as it was listed, and names itself (%)', OLD.request_id, request.status, odd
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  SELECT concat_ws(' ', gone.type, gone.id) INTO odd
    FROM (SELECT one->>'type', one->>'id' FROM jsonb_array_elements(OLD.tenant_config->'artifacts') AS one
          EXCEPT SELECT one->>'type', one->>'id' FROM jsonb_array_elements((NEW.tenant_config->'artifacts') || (NEW.tenant_config->'removed')) AS one) AS gone (type, id)
    WHERE request.rollback_id IS NOT NULL OR NOT EXISTS (
      SELECT FROM upa.corrections c WHERE c.request_id = OLD.request_id AND c.transaction = pg_current_xact_id()
        AND c.artifact->>'type' = gone.type AND c.artifact->>'id' = gone.id) LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'request % lists %: an artifact is never dropped; a rollback moves it to removed, and before any rollback a row of upa.corrections in the same transaction says who takes it off the list', OLD.request_id, odd
      USING ERRCODE = 'restrict_violation';
  END IF;
  IF request.rollback_id IS NOT NULL
    AND EXISTS (SELECT jsonb_array_elements(NEW.tenant_config->'artifacts') EXCEPT SELECT jsonb_array_elements(OLD.tenant_config->'artifacts')) THEN
    RAISE EXCEPTION 'request % is being rolled back: nothing is added to its artifacts once a rollback has had it; record them under another request', OLD.request_id
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  RETURN NULL;
END
$$;

-- When the transaction ends: a request whose artifacts nobody knows would look like one that has none.
CREATE FUNCTION upa.require_canonical_object() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM upa.canonical_objects WHERE request_id = NEW.request_id) THEN
    RAISE EXCEPTION 'request % has no Canonical Object: insert both in one transaction', NEW.request_id USING ERRCODE = 'foreign_key_violation';
  END IF;
  RETURN NULL;
END
$$;

CREATE FUNCTION upa.refuse_removal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '%.% is never deleted from: % is refused; a request that is taken back ends as ROLLED_BACK and is preserved',
    TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER requests_keep_their_course BEFORE INSERT OR UPDATE ON upa.provisioning_requests FOR EACH ROW EXECUTE FUNCTION upa.guard_request();
CREATE TRIGGER requests_stay BEFORE DELETE OR TRUNCATE ON upa.provisioning_requests FOR EACH STATEMENT EXECUTE FUNCTION upa.refuse_removal();
CREATE CONSTRAINT TRIGGER requests_have_objects AFTER INSERT ON upa.provisioning_requests
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION upa.require_canonical_object();
CREATE TRIGGER objects_keep_their_course AFTER INSERT OR UPDATE ON upa.canonical_objects FOR EACH ROW EXECUTE FUNCTION upa.guard_canonical_object();
CREATE TRIGGER objects_stay BEFORE DELETE OR TRUNCATE ON upa.canonical_objects FOR EACH STATEMENT EXECUTE FUNCTION upa.refuse_removal();
CREATE TRIGGER error_log_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON upa.error_log FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();
CREATE TRIGGER corrections_only_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON upa.corrections FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();
CREATE TRIGGER operations_only_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON upa.operations FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();
ALTER TABLE upa.provisioning_requests ENABLE ALWAYS TRIGGER requests_keep_their_course, ENABLE ALWAYS TRIGGER requests_stay,
  ENABLE ALWAYS TRIGGER requests_have_objects;
ALTER TABLE upa.canonical_objects ENABLE ALWAYS TRIGGER objects_keep_their_course, ENABLE ALWAYS TRIGGER objects_stay;
ALTER TABLE upa.error_log ENABLE ALWAYS TRIGGER error_log_only_grows;
ALTER TABLE upa.corrections ENABLE ALWAYS TRIGGER corrections_only_grow;
ALTER TABLE upa.operations ENABLE ALWAYS TRIGGER operations_only_grow;

-- The owner too: he could take it back, but not by mistake.
REVOKE DELETE, TRUNCATE ON upa.provisioning_requests, upa.canonical_objects FROM PUBLIC, CURRENT_USER;
REVOKE UPDATE, DELETE, TRUNCATE ON upa.error_log, upa.corrections, upa.operations FROM PUBLIC, CURRENT_USER;
