/** Would an incident of this environment find what it needs? Roles, gates, carriers, the repository for review; and what levels 2 and 3 go back with. Changes nothing. */
import { resolve } from 'node:path';
import { FREEZE_SCOPES } from '../../model/freeze.ts';
import { INCIDENT_ROLES } from '../../model/roles.ts';
import type { LoadedConfig } from '../../model/config-file.ts';
import { AdapterError } from '../adapters/adapter.ts';
import { environmentOf, NotPossible } from '../components.ts';
import type { Attempt, Dependencies } from '../dependencies.ts';
import { StoreUnavailable } from '../../store/store.ts';
import type { Finding } from '../inspect.ts';
import { carriedFindings } from './carried-doctor.ts';
import { callTo, carrierOf } from './carriers.ts';
import { diagnoseData } from './data-doctor.ts';
import { ok, problem, warning } from './findings.ts';
import { reviewProblem } from './review.ts';

export async function diagnoseIncidents(loaded: LoadedConfig, name: string, deps: Dependencies, attempt: Attempt): Promise<Finding[]> {
  const environment = environmentOf(loaded, name);
  const names = Object.keys(environment.freeze?.carriers ?? {});
  return [
    ...rolesOf(loaded),
    ...gatesOf(Object.values(environment.gates ?? {}).map((gate) => gate.covers)),
    ...(loaded.config.channels.stakeholders.length > 0
      ? [ok('stakeholders', 'a channel is configured')]
      : [warning('stakeholders', 'no channel is configured', 'add channels.stakeholders')]),
    ...(await Promise.all(names.map((carrier) => carrierFinding(loaded, name, carrier, attempt)))),
    ...(await reviewOf(loaded, environment.review?.repository ?? null, attempt.signal)),
    ...(await frozen(name, deps)),
    ...(await carriedFindings(loaded, name, deps, attempt)),
    ...(await diagnoseData(loaded, name, deps, attempt)),
  ];
}

function rolesOf({ config: { people } }: LoadedConfig): Finding[] {
  if (!people) return [warning('roles', 'no people are configured: anyone may declare and unfreeze, self-declared', 'name them under people:')];
  const held = new Set(Object.values(people).flatMap((person) => person.roles));
  const open = ['operator', ...Object.keys(INCIDENT_ROLES)].filter((role) => !held.has(role));
  return open.length === 0
    ? [ok('roles', 'operator and every role of [001] are held by somebody')]
    : [warning('roles', `nobody has ${open.join(', ')}`, 'give the roles to people, or assign them when it comes to it')];
}

function gatesOf(covers: readonly string[]): Finding[] {
  const open = ['ci', 'evidence'].filter((cover) => !covers.includes(cover));
  return open.length === 0
    ? [ok('gates', `${covers.length} configured`)]
    : [warning('gates', `none covers ${open.join(' and ')}`, 'add it under gates: [001 step 4]')];
}

async function carrierFinding(loaded: LoadedConfig, environment: string, name: string, attempt: Attempt): Promise<Finding> {
  const check = `freeze ${name}`;
  try {
    const carrier = carrierOf(loaded, environment, name);
    const call = { environment, incident: 'inspection', folder: loaded.folder, operationId: 'inspection', scopes: FREEZE_SCOPES };
    const parts = await carrier.carrier.inspect(callTo(carrier, { ...call, signal: attempt.signal, heartbeat: attempt.heartbeat }));
    return ok(check, `${carrier.carrier.name} answers; it would hold ${parts.map((part) => part.name).join(', ') || 'nothing'}`);
  } catch (error) {
    if (error instanceof AdapterError || error instanceof NotPossible) return problem(check, error.message, 'mend it in backout.yaml, or renew its credential');
    throw error;
  }
}

async function reviewOf({ folder }: LoadedConfig, repository: string | null, signal: AbortSignal): Promise<Finding[]> {
  if (repository === null) return [];
  const found = await reviewProblem(resolve(folder, repository), signal);
  return [found === null ? ok('review', `${repository} is a repository`) : problem('review', found, 'mend review.repository in backout.yaml')];
}

async function frozen(environment: string, { store }: Dependencies): Promise<Finding[]> {
  try {
    const held = await store.freezes({ environment, inForceOnly: true });
    return held.length === 0
      ? [ok('freeze', 'nothing is frozen')]
      : held.map((one) => warning('freeze', `${one.inForce.join(', ')} frozen for ${one.incident} since ${one.at}`, `see ${one.workflowId}`));
  } catch (error) {
    if (error instanceof StoreUnavailable) return [];
    throw error;
  }
}
