/** Readings that only a worker can make, for the CLI: a plan that changes nothing, doctor, and the verification of a deployment. */
import type { StartInput } from '../model/input.ts';
import type { Plan } from '../model/plan.ts';
import { workflowIdOf } from '../model/plan.ts';
import type { Kind } from '../model/policy.ts';
import { refuse, type Refusal } from '../model/refusal.ts';
import { StoreUnavailable, type Deployment } from '../store/store.ts';
import { AdapterError, type Fence } from './adapters/adapter.ts';
import { checkHealth, checkServed, checkSmoke, readServed, type Checked } from './checks.ts';
import { allComponents, callOf, findComponent, NotPossible, type Component } from './components.ts';
import type { Attempt, Dependencies } from './dependencies.ts';
import { draft } from './draft.ts';
import { diagnoseTenants } from './deprovision/doctor.ts';
import { limitsOf } from './deprovision/place.ts';
import { diagnoseIncidents } from './incident/doctor.ts';
import { keep, type Kept } from './incident/keep.ts';
import { clean } from './recording.ts';

export type Ask =
  | { readonly ask: 'plan'; readonly kind: Kind; readonly input: StartInput }
  | { readonly ask: 'doctor'; readonly environment: string | null; readonly component: string | null }
  | { readonly ask: 'verify'; readonly deploymentId: string };

export interface Planned {
  readonly ask: 'plan';
  readonly workflowId: string;
  readonly plan: Plan | null;
  readonly planHash: string | null;
  readonly warnings: readonly string[];
  /** What the platforms cannot guarantee, and how a late attempt is fenced: per component. */
  readonly limits: Readonly<Record<string, { readonly fence: Fence | null; readonly limits: readonly string[] }>>;
  readonly refusal: Refusal | null;
}

/** `problem`: a rollback would not work now. `warning`: it would, with something missing. */
export interface Finding {
  readonly check: string;
  readonly verdict: 'ok' | 'warning' | 'problem';
  readonly detail: string;
  readonly remedy: string | null;
}
export interface Diagnosis {
  readonly environment: string;
  readonly component: string;
  readonly adapter: string | null;
  readonly fence: Fence | null;
  readonly target: string | null;
  readonly current: string | null;
  readonly findings: readonly Finding[];
}
export interface Doctored {
  readonly ask: 'doctor';
  readonly record: Finding;
  readonly components: readonly Diagnosis[];
  /** What an incident of each environment would find. */
  readonly incidents: readonly { readonly environment: string; readonly findings: readonly Finding[] }[];
  /** By environment, where tenants are provisioned. */
  readonly tenants: readonly { readonly environment: string; readonly findings: readonly Finding[] }[];
}

export interface Verified {
  readonly ask: 'verify';
  readonly passed: boolean;
  readonly deployment: Deployment | null;
  readonly checks: readonly { readonly check: string; readonly state: Checked['state']; readonly detail: string }[];
  readonly refusal: Refusal | null;
}
export type Inspected = Planned | Doctored | Verified;

export async function inspect(ask: Ask, deps: Dependencies, attempt: Attempt): Promise<Inspected> {
  if (ask.ask === 'plan') return preview(ask.kind, ask.input, deps, attempt);
  return ask.ask === 'doctor' ? doctor(ask.environment, ask.component, deps, attempt) : verify(ask.deploymentId, deps, attempt);
}

async function preview(kind: Kind, input: StartInput, deps: Dependencies, attempt: Attempt): Promise<Planned> {
  const workflowId = workflowIdOf({ kind, ...input });
  try {
    const { plan, planHash, warnings } = await draft(kind, input, null, deps, { ...attempt, firstScheduledMs: 0 });
    const loaded = await deps.config();
    const limits = Object.fromEntries(
      plan.targets.map(({ component }) => {
        const { adapter } = findComponent(loaded, deps.adapters, plan.environment, component);
        return [component, { fence: adapter.fence, limits: adapter.limits }];
      }),
    );
    const ofTenant = plan.tenant === null ? {} : limitsOf(loaded, plan.environment, plan.tenant, attempt);
    return { ask: 'plan', workflowId, plan, planHash, warnings, limits: { ...limits, ...ofTenant }, refusal: null };
  } catch (error) {
    const no = (rule: Parameters<typeof refuse>[0], explanation: string): Planned => ({
      ask: 'plan',
      workflowId,
      plan: null,
      planHash: null,
      warnings: [],
      limits: {},
      refusal: refuse(rule, explanation, input.by, new Date().toISOString()),
    });
    if (error instanceof NotPossible) return no(error.rule, error.message);
    if (error instanceof StoreUnavailable) return no('record-unavailable', 'Postgres cannot be reached by the worker; see backout doctor');
    throw error;
  }
}

const ok = (check: string, detail: string): Finding => ({ check, verdict: 'ok', detail, remedy: null });
const warning = (check: string, detail: string, remedy: string): Finding => ({ check, verdict: 'warning', detail, remedy });
const problem = (check: string, detail: string, remedy: string): Finding => ({ check, verdict: 'problem', detail, remedy });

async function doctor(environment: string | null, name: string | null, deps: Dependencies, attempt: Attempt): Promise<Doctored> {
  const loaded = await deps.config();
  const record = await deps.store.ping().then(
    () => ok('record', 'Postgres answers'),
    () => problem('record', 'Postgres cannot be reached', 'start it, or set DATABASE_URL on the worker'),
  );
  const all = allComponents(loaded, deps.adapters).filter(
    (one) => (environment === null || one.environment === environment) && (name === null || one.name === name),
  );
  const components = await Promise.all(
    all.map(async (one): Promise<Diagnosis> =>
      one.component
        ? diagnose(one.component, record.verdict === 'ok', deps, attempt)
        : {
            environment: one.environment,
            component: one.name,
            adapter: null,
            fence: null,
            target: null,
            current: null,
            findings: [problem('configuration', one.problem?.message ?? '', 'mend backout.yaml')],
          },
    ),
  );
  const places = name === null ? Object.keys(loaded.config.environments).filter((one) => environment === null || one === environment) : [];
  const has = (one: string, what: 'components' | 'tenants'): boolean => Object.keys(loaded.config.environments[one]?.[what] ?? {}).length > 0;
  const incidents = await Promise.all(
    places.filter((one) => has(one, 'components')).map(async (one) => ({ environment: one, findings: await diagnoseIncidents(loaded, one, deps, attempt) })),
  );
  const tenants = await Promise.all(
    places.filter((one) => has(one, 'tenants')).map(async (one) => ({ environment: one, findings: await diagnoseTenants(loaded, one, attempt) })),
  );
  return { ask: 'doctor', record, components, incidents, tenants };
}

async function diagnose(component: Component, recordThere: boolean, deps: Dependencies, attempt: Attempt): Promise<Diagnosis> {
  const { adapter, config, environment, name } = component;
  const findings: Finding[] = [ok('configuration', `${adapter.name}, ${config.type}`)];
  const call = (to: string) => callOf(component, { to, operationId: 'inspection', attempt: 1, signal: attempt.signal, heartbeat: attempt.heartbeat });
  const look = async (to: string) =>
    adapter.inspect(call(to)).catch((error: unknown) => {
      if (error instanceof AdapterError) return error;
      throw error;
    });
  const seen = await look('');
  const current = seen instanceof AdapterError ? null : seen.current;
  if (seen instanceof AdapterError)
    findings.push(
      problem(
        'platform',
        seen.message,
        seen.kind === 'unauthorized' ? 'renew the credential on the worker' : 'see whether the platform is up and backout.yaml names it rightly',
      ),
    );
  else if (current === null)
    findings.push(warning('platform', `${adapter.name} answers, and cannot say which version is in place`, 'see whether the component runs at all'));
  else findings.push(ok('platform', `${adapter.name} has ${current} in place`));
  findings.push(...(await probes(component, current, attempt)));
  if (!recordThere)
    return {
      environment,
      component: name,
      adapter: adapter.name,
      fence: adapter.fence,
      target: null,
      current,
      findings: [...findings, problem('target', 'unknown, since the record cannot be read', 'start Postgres')],
    };
  const target = await deps.store.lastHealthy(environment, name, current);
  if (!target)
    findings.push(
      problem(
        'target',
        'no other version is recorded as healthy',
        'record deployments in CI and verify them: backout deployment record, backout deployment verify',
      ),
    );
  else {
    const there = await look(target.version);
    if (!(there instanceof AdapterError)) {
      findings.push(
        there.targetPresent === false
          ? problem('target', `${target.version} is known healthy, and ${adapter.name} no longer has it`, 'keep old releases on the platform')
          : ok(
              'target',
              `${target.version}, healthy since ${target.completedAt ?? target.deployedAt}${there.targetPresent === 'unknown' ? '; the platform does not say whether it is still there' : ''}`,
            ),
      );
    }
  }
  findings.push(await claims(component, deps), await drill(component, deps));
  return { environment, component: name, adapter: adapter.name, fence: adapter.fence, target: target?.version ?? null, current, findings };
}

async function probes({ config }: Component, current: string | null, attempt: Attempt): Promise<Finding[]> {
  const missing = [...(config.smoke.length === 0 ? ['smoke'] : []), ...(config.health.length === 0 ? ['health'] : []), ...(config.served ? [] : ['served'])];
  const findings = missing.map((what) =>
    warning(what, 'not configured: a rollback could not verify it', `add ${what} to the component in backout.yaml [002 section 8]`),
  );
  if (config.health.length > 0) {
    const health = await checkHealth({ ...config, settleSeconds: 0.001 }, attempt.signal);
    findings.push(
      health.state === 'done' ? ok('health', 'answers') : warning('health', health.failure?.message ?? 'unhealthy', 'this may be the very reason to roll back'),
    );
  }
  if (config.served) {
    const served = await readServed(config.served, attempt.signal);
    if (served.version !== null && served.version === current) findings.push(ok('served', served.version));
    else
      findings.push(
        warning(
          'served',
          served.version === null
            ? `cannot be read: ${served.problem ?? 'no version'}`
            : `${served.version} is served, the platform says ${current ?? 'nothing'}`,
          'see what stands between the platform and the user',
        ),
      );
  }
  return findings;
}

async function claims(component: Component, deps: Dependencies): Promise<Finding> {
  const [claim] = await deps.store.claims({ environment: component.environment, components: [component.name] });
  if (!claim) return ok('claim', 'free');
  const open = await deps.isOpen(claim.workflowId);
  return open
    ? warning('claim', `held by ${claim.workflowId}, started by ${claim.by}`, `follow it: backout watch ${claim.workflowId}`)
    : problem('claim', `held by ${claim.workflowId}, which is abandoned`, `go on with it: backout resume ${claim.workflowId}`);
}

async function drill(component: Component, deps: Dependencies): Promise<Finding> {
  const ended = (await deps.store.rollbacks({ environment: component.environment, component: component.name, limit: 50 })).find(
    (one) => one.outcome === 'rolled-back' || one.outcome === 'rolled-back-late',
  );
  return ended
    ? ok('drill', `last rolled back ${ended.closedAt ?? ''}${ended.trigger === 'drill' ? ' as a drill' : ''}`)
    : warning('drill', 'never rolled back', `rehearse it: backout start deployRevert --trigger drill …`);
}

/** The checks alone set `success` and `health_check_passed` [product.md 5]. */
async function verify(deploymentId: string, deps: Dependencies, attempt: Attempt): Promise<Verified> {
  const deployment = await deps.store.deployment(deploymentId);
  const no = (rule: Parameters<typeof refuse>[0], explanation: string): Verified => ({
    ask: 'verify',
    passed: false,
    deployment,
    checks: [],
    refusal: refuse(rule, explanation, 'cli', new Date().toISOString()),
  });
  if (!deployment) return no('target-known', `there is no deployment ${deploymentId}; record it first with backout deployment record`);
  if (deployment.status === 'rolled_back') return no('target-known-healthy', `deployment ${deploymentId} was rolled back; deploy again and record that`);
  const loaded = await deps.config();
  let component: Component;
  try {
    component = findComponent(loaded, deps.adapters, deployment.environment, deployment.component);
  } catch (error) {
    if (error instanceof NotPossible) return no(error.rule, error.message);
    throw error;
  }
  const { config, folder, hide } = component;
  const place = { folder, environment: deployment.environment, component: deployment.component, version: deployment.version };
  // The version first: checks against another version would say nothing about this one.
  const served = await checkServed(config, deployment.version, component.adapter.name, attempt.signal);
  const results = [
    ['served', served],
    ['health', await checkHealth(config, attempt.signal)],
    ['smoke', await checkSmoke(config, { place, hide }, attempt.signal)],
  ] as const;
  const passed = results.every(([, result]) => result.state !== 'failed') && results.some(([, result]) => result.state === 'done');
  const checks = clean(
    results.map(([check, result]) => ({ check, state: result.state, detail: result.failure?.message ?? result.receipt.detail ?? 'passed' })),
  );
  const kept = passed ? await keep(loaded, component, deployment.version, attempt) : null;
  const stored = await deps.store.verifyDeployment(deploymentId, passed, checks, {
    ...clean({ version: deployment.version, checks: results.map(([check, result]) => ({ check, receipt: result.receipt })) }),
    ...(kept && isKept(kept) ? { kept } : {}),
  });
  const unkept = (kept?.problems ?? []).map((detail) => ({ check: 'kept', state: 'skipped' as const, detail }));
  return { ask: 'verify', passed, deployment: stored, checks: [...checks, ...unkept], refusal: null };
}

/** Is there anything that belongs to the version beside its code? */
const isKept = ({ facts, marks, openapi, ledgers, consoles }: Kept): boolean =>
  Object.keys(facts).length > 0 || marks.some((mark) => mark !== null) || openapi !== null || ledgers !== undefined || consoles !== undefined;
