/**
 * Further houses beside the one of `grave.ts`, for incidents by the handful in one world: each an environment of its own with one component on paper, a real
 * database, an evidence chain and a key service. Everything is at v1.0.0 as it was verified, then at v1.1.0.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import type { Server } from 'node:http';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { TASK_QUEUE } from '../../model/task-queue.ts';
import type { Kind } from '../../model/policy.ts';
import type { RollbackState, StepView } from '../../model/state.ts';
import { sha256 } from '../../store/digest.ts';
import type { MessageReply } from '../../workflows/messages.ts';
import { startKeyService, type KeyService } from '../fakes/key-service-process.ts';
import { graveWorld, houseDatabase, layKey, placeYaml, type Grave } from './grave.ts';
import { PEOPLE, startInput } from './incident.ts';
import { paperYaml, readSheet, servePaper, writeSheet, type Sheet } from './lying-platform.ts';
import { LYING_WORKER } from './lying-worker.ts';
import type { World } from './world.ts';

/** The newest migration of the target. */
const FIRST = '20260101000001_orders';

export class Plot {
  readonly name: string;
  readonly world: World;
  readonly keys: KeyService;
  /** Of the keys. */
  readonly folder: string;
  readonly url: string;
  readonly query: Grave['query'];
  /** The key that runs, in `NAME.env`; a random one. */
  readonly exposed: string;
  /** The deployment that is to be taken back. */
  readonly bad: string;

  constructor(made: Pick<Plot, 'name' | 'world' | 'keys' | 'folder' | 'url' | 'query' | 'exposed' | 'bad'>) {
    this.name = made.name;
    this.world = made.world;
    this.keys = made.keys;
    this.folder = made.folder;
    this.url = made.url;
    this.query = made.query;
    this.exposed = made.exposed;
    this.bad = made.bad;
  }

  /** Applied as the house's tool does it, and recorded by CI with the bad deployment. */
  async migrate(name: string, up: string, inverse: string | null): Promise<void> {
    await this.apply(name, up);
    await this.record(name, up, inverse);
  }

  /** As CI does it; `component`: with a deployment of another one than this plot's. */
  async record(name: string, sql: string, inverse: string | null, component?: string): Promise<void> {
    const deploymentId = component === undefined ? this.bad : await recorded(this.world, this.name, 'v1.1.0', component);
    await this.world.store.recordMigrations({ deploymentId, database: 'main', migrations: [{ name, hash: `sha256:${sha256(sql)}`, sql, inverse }] });
  }

  /** Applied, and told to nobody. */
  async apply(name: string, up: string): Promise<void> {
    await this.query(up);
    await this.query('INSERT INTO supabase_migrations.schema_migrations VALUES ($1, $2, $3)', [name, [up], name]);
  }

  write(more: Partial<Sheet>): void {
    writeSheet(this.world.folder, this.name, more);
  }
  get sheet(): Sheet {
    return readSheet(this.world.folder, this.name);
  }

  idOf(kind: Kind): string {
    return `${kind}/${this.name}/INC-${this.name}`;
  }
  /** By the commander, which declares it. */
  async start(kind: Kind = 'l1Rollback', more: Record<string, unknown> = {}): Promise<WorkflowHandle> {
    const input = startInput({ environment: this.name, components: [this.name], incident: `INC-${this.name}`, trigger: 'operator', by: 'carol', ...more });
    return this.world.client.workflow.start(kind, { workflowId: this.idOf(kind), taskQueue: TASK_QUEUE, args: [input] });
  }

  /** What the key in `NAME.env` is good for. */
  async charges(tenant = 'acme'): Promise<number> {
    return this.keys.charges(/^PAYMENTS_KEY=(.*)$/m.exec(await readFile(join(this.world.folder, `${this.name}.env`), 'utf8'))?.[1] ?? '', tenant);
  }
  async columns(table = 'orders'): Promise<string[]> {
    return (await this.query<{ name: string }>('select column_name as name from information_schema.columns where table_name = $1', [table])).map(
      (one) => one.name,
    );
  }
  async ledger(): Promise<string[]> {
    return (await this.query<{ version: string }>('select version from supabase_migrations.schema_migrations order by 1')).map((one) => one.version);
  }
}

export interface Graveyard<Name extends string> {
  readonly grave: Grave;
  readonly plots: Readonly<Record<Name, Plot>>;
  readonly close: () => Promise<void>;
}

/** By name, with further lines of the component. A second Security Lead beside the first. */
export async function graveyard<Name extends string>(of: Readonly<Record<Name, readonly string[]>>): Promise<Graveyard<Name>> {
  let world: World | undefined;
  const sheets = await servePaper(() => world?.folder ?? '');
  const laid = await Promise.all((Object.entries(of) as [Name, readonly string[]][]).map(async ([name, more]) => ({ name, more, ...(await keysOf(name)) })));
  const grave = await graveWorld({
    worker: false,
    people: [...PEOPLE, '  sid: { roles: [security-lead] }'],
    yaml: laid.flatMap(({ name, more, keys, folder }) => [
      `  ${name}:`,
      '    components:',
      ...paperYaml(name, sheets.port, more),
      ...placeYaml({ url: `file:./${name}.db`, keysUrl: keys.url, folder, envFile: `${name}.env`, database: ['lockTimeoutSeconds: 0.5'] }),
    ]),
  });
  ({ world } = grave);
  const here = world;
  const plots = await Promise.all(laid.map(async ({ name, keys, folder }) => [name, await plotOf(here, name, keys, folder)] as const));
  await world.worker({}, LYING_WORKER);
  return { grave, plots: Object.fromEntries(plots) as Record<Name, Plot>, close: () => closeAll(grave, laid, sheets.server) };
}

async function keysOf(name: string): Promise<{ keys: KeyService; folder: string }> {
  const folder = join(process.env['BACKOUT_TEST_FOLDER'] ?? '/tmp', `backout-keys-${name}-${randomUUID()}`);
  await mkdir(folder, { recursive: true });
  return { keys: await startKeyService(folder), folder };
}

async function plotOf(world: World, name: string, keys: KeyService, folder: string): Promise<Plot> {
  const exposed = `canary-${randomBytes(12).toString('hex')}`;
  const { url, query } = await houseDatabase(world);
  await writeFile(join(world.folder, `${name}.db`), url, { mode: 0o600 });
  await writeFile(join(world.folder, `${name}.env`), `RATE_LIMIT=100\nPAYMENTS_KEY=${exposed}\n`);
  await layKey(folder, 'key-2025', exposed);
  const good = await recorded(world, name, 'v1.0.0');
  await world.store.verifyDeployment(good, true, [], { kept: { facts: {}, marks: [], openapi: null, ledgers: { main: FIRST }, problems: [] } });
  return new Plot({ name, world, keys, folder, url, query, exposed, bad: await recorded(world, name, 'v1.1.0') });
}

async function recorded(world: World, environment: string, version: string, component = environment): Promise<string> {
  const deploymentId = randomUUID();
  const what = { environment, component, version, commit: '0123abc', branch: 'main', status: 'in_progress', platformRef: null, deployedBy: 'ci' } as const;
  await world.store.recordDeployment({ deploymentId, ...what });
  return deploymentId;
}

async function closeAll(grave: Grave, laid: readonly { readonly keys: KeyService }[], sheets: Server): Promise<void> {
  await grave.close();
  await Promise.all(laid.map(({ keys }) => keys.stop()));
  sheets.close();
}

export const say = (handle: WorkflowHandle, name: string, body: unknown): Promise<MessageReply> =>
  handle.executeUpdate<MessageReply, [unknown]>(name, { args: [body] });

/** What whoever is responsible answers to a step when all is well. */
function answerTo({ id, owner, demands, approval }: StepView, planHash: string | null): Record<string, unknown> {
  const by: Readonly<Record<string, string>> = { 'data-evidence-lead': 'dora', 'security-lead': 'sam' };
  const answer = { step: id, by: by[owner ?? ''] ?? 'carol', note: 'as it was found' };
  if (id === 'target' || approval === true) return { ...answer, plan: planHash };
  if (id === 'credentials') return { ...answer, data: { unaffected: demands?.lists } };
  if (id === 'ownership') return { ...answer, data: { nextCycleOwner: 'abe', reviewOwner: 'carol' } };
  const evidence = (demands?.items ?? []).map((item) => `${item}=https://wiki/${item}`);
  return { ...answer, evidence, ...(demands?.choices ? { choice: demands.choices[0] } : {}) };
}

/** Everybody says yes to whatever is asked, until `step` waits, or to the end. Throws where it is refused, or stands still. */
export async function answered(
  world: World,
  handle: WorkflowHandle,
  until?: string,
  instead: Readonly<Record<string, Record<string, unknown>>> = {},
): Promise<RollbackState> {
  for (;;) {
    const state = await world.until(
      handle,
      `asked for something, or at ${until ?? 'its end'}`,
      (one) => one.state === 'closed' || one.state === 'stopped' || one.steps.some((step) => step.state === 'waiting' && step.beside !== true),
    );
    if (state.state === 'stopped') throw new Error(`it stands still: ${state.stopped ?? ''}`);
    const waiting = state.steps.filter((step) => step.state === 'waiting' && step.beside !== true);
    if (state.state === 'closed' || waiting.some((step) => step.id === until)) return state;
    const replies = await Promise.all(waiting.map((step) => say(handle, 'confirm', { ...answerTo(step, state.planHash), ...instead[step.id] })));
    // What was seen of one plan may be another's by now: it is looked at anew.
    const refused = replies.flatMap(({ refusal }) => (refusal && refusal.rule !== 'stale-plan' && refusal.rule !== 'not-asked' ? [refusal.explanation] : []));
    if (refused.length > 0) throw new Error(refused.join('; '));
  }
}
