/** What [000] forbids, tried by SQL as whoever might: the owner of the tables, a replica, the house's own agent. The database itself refuses it. */
import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RequestCall } from '../../activities/provisioning/provisioning.ts';
import { postgres } from '../../activities/provisioning/registry.ts';
import { REQUEST_STATUSES, type Artifact, type RequestStatus } from '../../model/tenant.ts';
import { connect } from '../../store/database.ts';
import { migrate } from '../../store/migrate.ts';
import { recordRequest } from '../../store/provisioning.ts';
import { queryAt, type TestDatabase, testDatabase } from '../store/database.ts';
import { entry, WEBHOOK, WORKFLOW } from './contract.ts';

const AGENT = `agent_${randomUUID().slice(0, 8)}`;
const ROLLBACK = randomUUID();

let database: TestDatabase;
let asAgent = '';
beforeAll(async () => {
  database = await testDatabase();
  await migrate(database.url);
  // More than an agent needs: what is refused is not refused for want of a grant.
  await database.query(`CREATE ROLE ${AGENT} LOGIN; GRANT USAGE ON SCHEMA upa TO ${AGENT}; GRANT ALL ON ALL TABLES IN SCHEMA upa TO ${AGENT}`);
  const url = new URL(database.url);
  url.username = AGENT;
  asAgent = url.href;
}, 60_000);
afterAll(async () => {
  await database.query(`DROP OWNED BY ${AGENT}; DROP ROLE ${AGENT}`);
  await database.drop();
});

type Options = { url: string };
const callOf = (requestId: string, tenant: string): RequestCall<Options> => ({
  environment: 'production',
  tenant,
  options: { url: 'env:DATABASE_URL' },
  folder: '/',
  signal: new AbortController().signal,
  secret: () => Promise.resolve(database.url),
  requests: [requestId],
  rollbackId: ROLLBACK,
  operationId: randomUUID(),
  by: 'ana',
  at: '2026-11-21T10:00:00.000Z',
});

const STATES = ['completed', 'failed', 'begun', 'rollback failed', 'cleanup confirmed', 'rolled back'] as const;
type State = (typeof STATES)[number];

async function record(
  requestId: string,
  tenant: string,
  status: 'COMPLETED' | 'FAILED' = 'COMPLETED',
  artifacts: readonly Artifact[] = [WORKFLOW, WEBHOOK],
): Promise<void> {
  const at = connect(database.url, { connections: 1 });
  try {
    await recordRequest(at, { environment: 'production', requestId, tenant, version: null, status, artifacts, by: 'ana' });
  } finally {
    await at.close();
  }
}

/** A request of a tenant of its own, in this state. */
async function given(state: State): Promise<string> {
  const [requestId, tenant] = [`req-${randomUUID()}`, `acme-${randomUUID()}`];
  await record(requestId, tenant, state === 'failed' ? 'FAILED' : 'COMPLETED');
  const call = (): RequestCall<Options> => callOf(requestId, tenant);
  if (STATES.indexOf(state) >= 2) await postgres.begin(call());
  if (state === 'rollback failed' || state === 'cleanup confirmed') await postgres.fail(call(), entry({ event: 'rollback-failed' }));
  if (state === 'cleanup confirmed') await postgres.confirmCleanup(call());
  if (state === 'rolled back') {
    await postgres.release(call(), WORKFLOW, 'delete');
    await postgres.complete(call(), entry(), [WEBHOOK]);
  }
  return requestId;
}

const rowsOf = async (requestId: string): Promise<unknown> => [
  await database.query('SELECT * FROM upa.provisioning_requests WHERE request_id = $1', [requestId]),
  await database.query('SELECT * FROM upa.canonical_objects WHERE request_id = $1', [requestId]),
  await database.query('SELECT * FROM upa.error_log WHERE $1 = ANY(request_ids)', [requestId]),
];

const own = (requestId: string): string => `request_id = '${requestId}'`;
const setConfig = (requestId: string, part: unknown): string =>
  `UPDATE upa.canonical_objects SET tenant_config = tenant_config || '${JSON.stringify(part)}' WHERE ${own(requestId)}`;
const ending = { at: '2026-11-21T10:00:00.000Z', by: 'ana', rollbackId: ROLLBACK, reason: 'offboarded' };
const removedBy = (artifact: Artifact, rollbackId = ROLLBACK) => ({ ...artifact, at: ending.at, by: 'ana', rollbackId, how: 'done' });

/** The owner, who is a superuser here; a session without ordinary triggers; a plain role that has every grant. */
const everybody = (sql: string): readonly (() => Promise<unknown>)[] => [
  () => database.query(sql),
  () => database.query(`SET session_replication_role = replica; ${sql}`),
  () => queryAt(asAgent, sql),
];

/** What everybody is told who tries this; that it changed something counts as an answer of its own. */
async function refusals(requestId: string, sql: string): Promise<string[]> {
  const before = JSON.stringify(await rowsOf(requestId));
  const told: string[] = [];
  for (const attempt of everybody(sql))
    told.push(
      await attempt().then(
        () => `it was done: ${sql}`,
        (error: Error) => error.message,
      ),
    );
  return JSON.stringify(await rowsOf(requestId)) === before ? told : [...told, `it has changed something: ${sql}`];
}
const each = (message: string | RegExp): unknown[] =>
  Array.from({ length: 3 }, (): unknown => (typeof message === 'string' ? expect.stringContaining(message) : expect.stringMatching(message)));

/** By the owner and by the plain role, and taken back. */
async function tried(sql: string): Promise<'done'> {
  for (const url of [database.url, asAgent]) await queryAt(url, `BEGIN; ${sql}; SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK`);
  return 'done';
}

describe('the status of a request', () => {
  const REACHABLE: Readonly<Record<State, readonly RequestStatus[]>> = {
    completed: ['ROLLBACK_IN_PROGRESS'],
    failed: ['ROLLBACK_IN_PROGRESS'],
    begun: ['FAILED'],
    'rollback failed': ['ROLLBACK_IN_PROGRESS'],
    'cleanup confirmed': ['ROLLBACK_IN_PROGRESS'],
    'rolled back': [],
  };
  const ENDING: readonly State[] = ['begun', 'cleanup confirmed'];
  it.each(STATES)('of one that is %s goes where the policy lets it, and nowhere else', async (state) => {
    const requestId = await given(state);
    const [row] = await database.query<{ status: RequestStatus }>(`SELECT status FROM upa.provisioning_requests WHERE ${own(requestId)}`);
    const others = REQUEST_STATUSES.filter((one) => one !== row?.status);
    const goTo = (status: RequestStatus): string =>
      `UPDATE upa.provisioning_requests SET status = '${status}', rollback_id = '${ROLLBACK}' WHERE ${own(requestId)}`;
    for (const status of others.filter((one) => REACHABLE[state].includes(one))) expect(await tried(goTo(status)), status).toBe('done');
    for (const status of others.filter((one) => !REACHABLE[state].includes(one))) {
      const isEarly = ENDING.includes(state) && status === 'ROLLED_BACK';
      const refusal = isEarly ? 'ROLLED_BACK comes once its Canonical Object says deprovisioned' : /is no transition; allowed are|is terminal/;
      expect(await refusals(requestId, goTo(status))).toEqual(each(refusal));
    }
  });

  const end = (requestId: string): string =>
    `${setConfig(requestId, { status: 'deprovisioned', rollback: ending })}; UPDATE upa.provisioning_requests SET status = 'ROLLED_BACK' WHERE ${own(requestId)}`;
  it.each(ENDING)('of one that is %s ends with deprovisioned and ROLLED_BACK, and who and when are not left out', async (state) => {
    const requestId = await given(state);
    expect(await tried(end(requestId))).toBe('done');
    for (const rollback of [null, { ...ending, by: '' }, { ...ending, at: '' }, { by: 'ana' }])
      expect(await refusals(requestId, setConfig(requestId, { status: 'deprovisioned', rollback }))).toEqual(each('tenant_config_shape'));
  });

  it.each(STATES.filter((state) => !ENDING.includes(state)))('of one that is %s does not jump to deprovisioned and ROLLED_BACK', async (state) => {
    const requestId = await given(state);
    expect(await refusals(requestId, end(requestId))).toEqual(each(/deprovisioned comes under its rollback|never goes back/));
  });

  it('comes as COMPLETED or FAILED, with its Canonical Object', async () => {
    const insert = (values: string): string =>
      `INSERT INTO upa.provisioning_requests (request_id, environment, tenant, status, rollback_id) VALUES ('new', 'e', 't', ${values})`;
    for (const status of ['ROLLBACK_IN_PROGRESS', 'ROLLED_BACK'])
      expect(await refusals('new', insert(`'${status}', '${ROLLBACK}'`))).toEqual(each('comes as COMPLETED or FAILED'));
    expect(await refusals('new', insert(`'FAILED', '${ROLLBACK}'`))).toEqual(each('comes as COMPLETED or FAILED'));
    expect(await refusals('new', insert(`'DONE', NULL`))).toEqual(each(/requests_status_known|comes as COMPLETED or FAILED/));
    expect(await refusals('new', insert(`'COMPLETED', NULL`))).toEqual(each('has no Canonical Object: insert both in one transaction'));
  });

  it('that says a rollback failed is written by that failure alone', async () => {
    const failed = await given('failed');
    const set = (requestId: string, columns: string): string => `UPDATE upa.provisioning_requests SET ${columns} WHERE ${own(requestId)}`;
    const confirmed = `cleanup_confirmed_by = 'eve', cleanup_confirmed_at = now()`;
    expect(await refusals(failed, set(failed, `rollback_failed = true, rollback_id = '${ROLLBACK}'`))).toEqual(each('changes only with a transition'));
    expect(await refusals(failed, set(failed, `rollback_failed = true, rollback_id = '${ROLLBACK}', ${confirmed}`))).toEqual(
      each('changes only with a transition'),
    );
    expect(await refusals(failed, set(failed, confirmed))).toEqual(each('requests_cleanup_after_failure'));
    const begun = await given('begun');
    expect(await refusals(begun, set(begun, confirmed))).toEqual(each('requests_cleanup_after_failure'));
    expect(await refusals(begun, set(begun, `status = 'FAILED', ${confirmed}`))).toEqual(each('a cleanup is confirmed once the rollback is FAILED'));
    expect(await refusals(begun, set(begun, `status = 'FAILED', rollback_id = gen_random_uuid()`))).toEqual(each('changes only with a transition'));
    expect(await refusals(begun, set(begun, `version = 'x'`))).toEqual(each('its version changes only before any rollback'));
    expect(await tried(set(failed, `version = 'x'`))).toBe('done');
    const clean = await given('cleanup confirmed');
    expect(await refusals(clean, set(clean, confirmed))).toEqual(each('its cleanup was confirmed by ana'));
    expect(await refusals(clean, set(clean, `cleanup_confirmed_by = NULL, cleanup_confirmed_at = NULL`))).toEqual(each('only a new rollback takes that back'));
    expect(
      await tried(`${set(clean, `status = 'ROLLBACK_IN_PROGRESS'`)}; DO $$ BEGIN
      ASSERT (SELECT cleanup_confirmed_by IS NULL AND NOT rollback_failed FROM upa.provisioning_requests WHERE ${own(clean)}); END $$`),
    ).toBe('done');
  });
});

describe('a request and its Canonical Object', () => {
  it.each(['completed', 'cleanup confirmed', 'rolled back'] as const)('of one that is %s are never deleted, and never another’s', async (state) => {
    const requestId = await given(state);
    for (const table of ['provisioning_requests', 'canonical_objects']) {
      for (const sql of [`DELETE FROM upa.${table} WHERE ${own(requestId)}`, `DELETE FROM upa.${table} WHERE false`, `TRUNCATE upa.${table} CASCADE`])
        expect(await refusals(requestId, sql)).toEqual(
          each(new RegExp(`upa\\.${table} is never deleted from|upa\\.canonical_objects is never deleted from|only grows`)),
        );
      for (const change of [`request_id = 'other'`, `tenant = 'Acme'`, `environment = 'staging'`])
        expect(await refusals(requestId, `UPDATE upa.${table} SET ${change} WHERE ${own(requestId)}`)).toEqual(
          each(/never change|is terminal|never goes back|belongs to the request of its id|violates foreign key/),
        );
    }
    expect(await refusals(requestId, `UPDATE upa.provisioning_requests SET created_at = now() WHERE ${own(requestId)}`)).toEqual(each(/never change/));
  });

  it('stay as they are once they are ROLLED_BACK and deprovisioned', async () => {
    const requestId = await given('rolled back');
    expect(await refusals(requestId, `UPDATE upa.provisioning_requests SET version = 'x' WHERE ${own(requestId)}`)).toEqual(each('is terminal'));
    for (const part of [{ status: 'active', rollback: null }, { artifacts: [] }, { removed: [] }, { rollback: { ...ending, by: 'eve' } }, {}])
      expect(await refusals(requestId, setConfig(requestId, part))).toEqual(each('never goes back'));
  });

  it('once deprovisioned, can only end: no failure and no further rollback after it', async () => {
    for (const [state, status] of [
      ['begun', 'FAILED'],
      ['cleanup confirmed', 'ROLLBACK_IN_PROGRESS'],
    ] as const) {
      const requestId = await given(state);
      const sql = `${setConfig(requestId, { status: 'deprovisioned', rollback: ending })}; UPDATE upa.provisioning_requests SET status = '${status}' WHERE ${own(requestId)}`;
      expect(await refusals(requestId, sql)).toEqual(each('only ROLLED_BACK may follow'));
    }
  });

  it('name the rollback that ended them, and no other', async () => {
    const requestId = await given('begun');
    expect(await refusals(requestId, setConfig(requestId, { status: 'deprovisioned', rollback: { ...ending, rollbackId: randomUUID() } }))).toEqual(
      each('deprovisioned comes under its rollback'),
    );
  });
});

describe('the artifacts of a Canonical Object', () => {
  const MORE: Artifact = { type: 'crm', id: 'hub-1' };
  it.each(STATES.slice(0, 5))('of one that is %s are never dropped', async (state) => {
    const requestId = await given(state);
    for (const artifacts of [[], [WORKFLOW], [{ ...WORKFLOW, id: 'x7kq2' }, WEBHOOK]])
      expect(await refusals(requestId, setConfig(requestId, { artifacts }))).toEqual(each(/an artifact is never dropped|being rolled back: nothing is added/));
  });

  it('move to removed as they were, by the rollback that has the request', async () => {
    const requestId = await given('begun');
    const removed = [removedBy(WEBHOOK)];
    expect(await tried(setConfig(requestId, { artifacts: [WORKFLOW], removed }))).toBe('done');
    expect(await refusals(requestId, setConfig(requestId, { artifacts: [WORKFLOW], removed: [removedBy(WEBHOOK, randomUUID())] }))).toEqual(
      each('names itself (webhook acme/intake)'),
    );
    expect(await refusals(requestId, setConfig(requestId, { artifacts: [WORKFLOW], removed: [removedBy({ ...WEBHOOK, platform: 'other' })] }))).toEqual(
      each('as it was listed'),
    );
    expect(await refusals(requestId, setConfig(requestId, { removed: [removedBy(MORE)] }))).toEqual(each('names itself (crm hub-1)'));
    for (const state of ['completed', 'failed'] as const) {
      const untouched = await given(state);
      expect(await refusals(untouched, setConfig(untouched, { artifacts: [WORKFLOW], removed }))).toEqual(each('only a rollback that has it'));
    }
    await database.query(setConfig(requestId, { artifacts: [WORKFLOW], removed }));
    for (const forged of [[], [{ ...removedBy(WEBHOOK), by: 'eve' }]])
      expect(await refusals(requestId, setConfig(requestId, { removed: forged }))).toEqual(each('what was removed stays listed'));
    expect(await refusals(requestId, setConfig(requestId, { artifacts: [WORKFLOW, WEBHOOK] }))).toEqual(each('tenant_config_shape'));
  });

  it('may be added to while no rollback has the request', async () => {
    for (const state of ['completed', 'failed'] as const)
      expect(await tried(setConfig(await given(state), { artifacts: [WORKFLOW, WEBHOOK, MORE] }))).toBe('done');
    for (const state of ['begun', 'rollback failed', 'cleanup confirmed'] as const) {
      const requestId = await given(state);
      for (const artifacts of [
        [WORKFLOW, WEBHOOK, MORE],
        [{ ...WORKFLOW, name: 'renamed' }, WEBHOOK],
      ])
        expect(await refusals(requestId, setConfig(requestId, { artifacts }))).toEqual(each('nothing is added to its artifacts once a rollback has had it'));
    }
  });

  it('leave the list before any rollback only where the same transaction says who took them off', async () => {
    const correct = (requestId: string): string =>
      `INSERT INTO upa.corrections (request_id, artifact, corrected_by) VALUES ('${requestId}', '${JSON.stringify(WEBHOOK)}', 'ana')`;
    const requestId = await given('completed');
    const drop = setConfig(requestId, { artifacts: [WORKFLOW] });
    expect(await tried(`${correct(requestId)}; ${drop}`)).toBe('done');
    expect(await refusals(requestId, `${correct(await given('completed'))}; ${drop}`)).toEqual(each('never dropped'));
    await database.query(correct(requestId));
    expect(await refusals(requestId, drop)).toEqual(each('never dropped'));
    for (const state of ['begun', 'rollback failed', 'cleanup confirmed'] as const) {
      const rolling = await given(state);
      expect(await refusals(rolling, `${correct(rolling)}; ${setConfig(rolling, { artifacts: [WORKFLOW] })}`)).toEqual(each('never dropped'));
    }
  });

  it.each([
    ['no list', { artifacts: {} }],
    ['no list of what was removed', { removed: null }],
    ['a status that is none', { status: 'gone' }],
    ['an unknown type', { artifacts: [WORKFLOW, WEBHOOK, { type: 'database', id: 'x' }] }],
    ['no id', { artifacts: [WORKFLOW, WEBHOOK, { type: 'crm', id: '' }] }],
    ['an id that is no text', { artifacts: [WORKFLOW, WEBHOOK, { type: 'crm', id: 7 }] }],
    ['a further key, a secret perhaps', { artifacts: [WORKFLOW, WEBHOOK, { ...MORE, apiKey: 'x' }] }],
    ['one artifact twice', { artifacts: [WORKFLOW, WEBHOOK, { ...WEBHOOK, name: 'again' }] }],
    ['an end while it is active', { rollback: ending }],
  ])('have a shape: %s is refused', async (_, part) => {
    const requestId = await given('completed');
    expect(await refusals(requestId, setConfig(requestId, part))).toEqual(each('tenant_config_shape'));
  });

  it('may stand beside what the house keeps there, which stays', async () => {
    const requestId = await given('completed');
    await database.query(setConfig(requestId, { timezone: 'Europe/Madrid' }));
    const [row] = await database.query<{ tenant: string }>(`SELECT tenant FROM upa.provisioning_requests WHERE ${own(requestId)}`);
    const call = callOf(requestId, row?.tenant ?? '');
    await postgres.begin(call);
    await postgres.release(call, WORKFLOW, 'delete');
    await postgres.complete(call, entry(), [WEBHOOK]);
    expect(await database.query(`SELECT tenant_config->>'timezone' AS zone FROM upa.canonical_objects WHERE ${own(requestId)}`)).toEqual([
      { zone: 'Europe/Madrid' },
    ]);
  });
});

describe('what only grows', () => {
  it.each(['error_log', 'corrections', 'operations'])('upa.%s: no change, no deletion, no truncation', async (table) => {
    const requestId = await given('rolled back');
    for (const sql of [
      `UPDATE upa.${table} SET request_id${table === 'corrections' ? '' : 's'} = DEFAULT`,
      `DELETE FROM upa.${table}`,
      `TRUNCATE upa.${table}`,
    ])
      expect(await refusals(requestId, sql.replace('request_ids = DEFAULT', `request_ids = '{x}'`))).toEqual(each(`upa.${table} only grows`));
  });

  it('upa.error_log holds one entry an operation, of the two kinds there are', async () => {
    const insert = (kind: string, event: string): string =>
      `INSERT INTO upa.error_log (event, kind, environment, tenant, request_ids, rollback_id, "timestamp", logged_by, reason, artifacts_removed, artifacts_not_removable)
       VALUES ('${event}', '${kind}', 'e', 't', '{r}', '${ROLLBACK}', now(), 'ana', '', '{}', '[]')`;
    const event = randomUUID();
    await database.query(insert('rolled-back', event));
    expect(await refusals('r', insert('rolled-back', event))).toEqual(each('error_log_event_key'));
    expect(await refusals('r', insert('forgotten', randomUUID()))).toEqual(each('error_log_kind_known'));
  });
});

describe('the owner who is no superuser', () => {
  it('brings the tables up and uses them, and may delete nothing', async () => {
    const role = `owner_${randomUUID().slice(0, 8)}`;
    const url = new URL(await database.another());
    await queryAt(url.href, `CREATE ROLE ${role} LOGIN; GRANT CREATE ON DATABASE ${url.pathname.slice(1)} TO ${role}`);
    url.username = role;
    await migrate(url.href);
    const at = connect(url.href, { connections: 1 });
    await recordRequest(at, { environment: 'e', requestId: 'r', tenant: 't', version: null, status: 'COMPLETED', artifacts: [WEBHOOK], by: null });
    const call = (): RequestCall<Options> => ({ ...callOf('r', 't'), environment: 'e', secret: () => Promise.resolve(url.href) });
    await postgres.begin(call());
    await postgres.fail(call(), entry({ event: 'rollback-failed' }));
    await postgres.confirmCleanup(call());
    await postgres.complete(call(), entry(), [WEBHOOK]);
    expect(await postgres.log(call())).toHaveLength(2);
    for (const table of ['provisioning_requests', 'canonical_objects', 'error_log', 'corrections', 'operations'])
      for (const sql of [`DELETE FROM upa.${table}`, `TRUNCATE upa.${table}`]) await expect(at.query(sql)).rejects.toThrow('permission denied');
    await expect(at.query(`UPDATE upa.error_log SET reason = ''`)).rejects.toThrow('permission denied');
    await at.close();
    await queryAt(database.url, `DROP DATABASE ${url.pathname.slice(1)} WITH (FORCE)`);
    await database.query(`DROP ROLE ${role}`);
    await database.query(`CREATE DATABASE ${url.pathname.slice(1)}`); // The fixture drops it.
  });
});

describe('the house’s agent', () => {
  const newRequest = (requestId: string, tenant: string): string =>
    `INSERT INTO upa.provisioning_requests (request_id, environment, tenant, status) VALUES ('${requestId}', 'production', '${tenant}', 'COMPLETED');
     INSERT INTO upa.canonical_objects VALUES ('${requestId}', 'production', '${tenant}', '${JSON.stringify({ status: 'active', artifacts: [], removed: [], rollback: null })}')`;
  /** Runs `sql` in a transaction of the agent, then `meanwhile` until that waits for it; then the agent commits. */
  async function interleaved<T>(url: string, sql: string, meanwhile: () => Promise<T>): Promise<T> {
    const agent = new Client({ connectionString: url });
    await agent.connect();
    try {
      await agent.query(`BEGIN; ${sql}`);
      const waiting = meanwhile();
      waiting.catch(() => undefined);
      await database.query(`DO $$ BEGIN
        FOR n IN 1..500 LOOP
          PERFORM pg_stat_clear_snapshot();
          EXIT WHEN EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock');
          PERFORM pg_sleep(0.02);
        END LOOP;
      END $$`);
      await agent.query('COMMIT');
      return await waiting;
    } finally {
      await agent.end();
    }
  }

  it('needs no more than the grants that the migration names', async () => {
    const role = `plain_${randomUUID().slice(0, 8)}`;
    await database.query(`CREATE ROLE ${role} LOGIN; GRANT USAGE ON SCHEMA upa TO ${role};
      GRANT SELECT, INSERT ON upa.provisioning_requests, upa.canonical_objects, upa.corrections TO ${role};
      GRANT UPDATE (version) ON upa.provisioning_requests TO ${role}; GRANT UPDATE (tenant_config) ON upa.canonical_objects TO ${role}`);
    const url = new URL(database.url);
    url.username = role;
    const [requestId, tenant] = [randomUUID(), randomUUID()];
    await queryAt(url.href, newRequest(requestId, tenant));
    await queryAt(url.href, setConfig(requestId, { artifacts: [WORKFLOW, WEBHOOK] }));
    await queryAt(url.href, `UPDATE upa.provisioning_requests SET version = '2' WHERE ${own(requestId)}`);
    for (const sql of [
      `UPDATE upa.provisioning_requests SET status = 'ROLLBACK_IN_PROGRESS'`,
      'DELETE FROM upa.canonical_objects',
      'SELECT FROM upa.error_log',
    ])
      await expect(queryAt(url.href, sql)).rejects.toThrow('permission denied');
    await database.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  });

  it('provisions nothing for a tenant that is being rolled back, and again when that has ended', async () => {
    const [requestId, tenant] = [randomUUID(), randomUUID()];
    await record(requestId, tenant);
    await postgres.begin(callOf(requestId, tenant));
    expect(await refusals('next', newRequest('next', tenant))).toEqual(
      each(`tenant ${tenant} is being rolled back in production (request ${requestId} is ROLLBACK_IN_PROGRESS)`),
    );
    expect(await tried(newRequest('next', `${tenant} `))).toBe('done');
    await postgres.complete(callOf(requestId, tenant), entry(), [WORKFLOW, WEBHOOK]);
    expect(await tried(newRequest('next', tenant))).toBe('done');
  });

  it('and a rollback that begins wait for each other: what he adds is seen, or he is refused', async () => {
    const [requestId, tenant] = [randomUUID(), randomUUID()];
    await record(requestId, tenant, 'COMPLETED', [WORKFLOW]);
    await interleaved(asAgent, setConfig(requestId, { artifacts: [WORKFLOW, WEBHOOK] }), () => postgres.begin(callOf(requestId, tenant)));
    expect(await postgres.requests(callOf(requestId, tenant))).toMatchObject([{ status: 'ROLLBACK_IN_PROGRESS', config: { artifacts: [WORKFLOW, WEBHOOK] } }]);

    const begin = (id: string): string => `UPDATE upa.provisioning_requests SET status = 'ROLLBACK_IN_PROGRESS', rollback_id = '${ROLLBACK}' WHERE ${own(id)}`;
    const [second, other] = [randomUUID(), randomUUID()];
    await record(second, other, 'COMPLETED', [WORKFLOW]);
    const added = interleaved(database.url, begin(second), () => queryAt(asAgent, setConfig(second, { artifacts: [WORKFLOW, WEBHOOK] })));
    await expect(added).rejects.toThrow('nothing is added');

    const [third, another] = [randomUUID(), randomUUID()];
    await record(third, another, 'COMPLETED', [WORKFLOW]);
    await interleaved(asAgent, newRequest(`${third}-2`, another), () => postgres.begin(callOf(third, another)));
    expect((await postgres.requests(callOf(third, another))).map((one) => one.status)).toEqual(['ROLLBACK_IN_PROGRESS', 'COMPLETED']);
    const [fourth, last] = [randomUUID(), randomUUID()];
    await record(fourth, last, 'COMPLETED', [WORKFLOW]);
    await expect(interleaved(database.url, begin(fourth), () => queryAt(asAgent, newRequest(`${fourth}-2`, last)))).rejects.toThrow('is being rolled back');
  });
});
