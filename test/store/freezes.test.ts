import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FREEZE_SCOPES } from '../../model/freeze.ts';
import { verifyChain } from '../../model/record.ts';
import { digest } from '../../store/digest.ts';
import { openStore } from '../../store/postgres.ts';
import type { FreezeRequest, Store, UnfreezeRequest } from '../../store/store.ts';
import { queryAt, type TestDatabase, testDatabase } from './database.ts';
import { all, AT, entry } from './given.ts';

const EXCEPTIONS = { roles: ['incident-commander'], items: ['rollback', 'incident'] };
const LATER = '2026-11-21T11:00:00.000Z';

let database: TestDatabase;
let store: Store;
let other: Store;
beforeAll(async () => {
  database = await testDatabase();
  store = openStore(database.url);
  other = openStore(database.url);
  await store.migrate();
}, 60_000);
afterAll(async () => {
  await store.close();
  await other.close();
  await database.drop();
});

let environment = '';
beforeEach(() => {
  environment = `production-${randomUUID()}`;
});

function freezing(more: Partial<FreezeRequest> = {}): FreezeRequest {
  const rollbackId = more.rollbackId ?? randomUUID();
  const incident = more.incident ?? 'INC-1';
  return {
    environment,
    incident,
    rollbackId,
    workflowId: `l1Rollback/${environment}/${incident}`,
    by: 'ana',
    at: AT,
    scopes: FREEZE_SCOPES,
    exceptions: EXCEPTIONS,
    entry: entry(rollbackId, `${rollbackId}/step/freeze`, { type: 'freeze', environment, incident }),
    ...more,
  };
}

function lifting(more: Partial<UnfreezeRequest> = {}): UnfreezeRequest {
  const rollbackId = more.rollbackId ?? randomUUID();
  const incident = more.incident ?? 'INC-1';
  return {
    environment,
    incident,
    rollbackId,
    by: 'ben',
    at: LATER,
    scopes: FREEZE_SCOPES,
    entry: entry(rollbackId, `${rollbackId}/step/lift/${randomUUID()}`, { type: 'unfreeze', environment, incident }),
    ...more,
  };
}

describe('freezing', () => {
  it('writes the freeze and the entry that tells of it', async () => {
    const request = freezing({ scopes: ['deployments', 'merges', 'merges'] });
    const { freeze, already, position } = await store.freeze({ ...request, entries: [entry(request.rollbackId, `${request.rollbackId}/said`)] });
    expect(already).toBe(false);
    expect(freeze).toEqual({
      freezeId: expect.any(String),
      environment,
      incident: 'INC-1',
      rollbackId: request.rollbackId,
      workflowId: request.workflowId,
      by: 'ana',
      at: AT,
      scopes: ['merges', 'deployments'],
      inForce: ['merges', 'deployments'],
      lifted: [],
      exceptions: EXCEPTIONS,
      event: request.entry.event,
    });
    expect(await store.freezes({ environment })).toEqual([freeze]);
    expect(await store.find(request.entry.event)).toEqual(request.entry);
    expect(await store.position(request.rollbackId)).toEqual(position);
    expect(position.entries).toBe(2);
  });

  it('is taken over by a later rollback of the same incident, and held apart from another incident and another environment', async () => {
    const first = await store.freeze(freezing());
    const successor = freezing();
    expect(await store.freeze(successor)).toMatchObject({ already: true, freeze: first.freeze, position: { entries: 0 } });
    expect(await store.find(successor.entry.event)).toBeNull();
    expect(await store.freeze(freezing({ incident: 'INC-2' }))).toMatchObject({ already: false });
    expect((await store.freezes({ environment })).map((one) => one.incident)).toEqual(['INC-2', 'INC-1']);
    expect(await store.freezes({ environment: 'staging' })).toEqual([]);
    expect(await store.freezes({ environment, incident: 'INC-1' })).toHaveLength(1);
  });

  it('adds the scopes that are missing, and nothing else', async () => {
    await store.freeze(freezing({ scopes: ['merges', 'claims'] }));
    const more = await store.freeze(freezing());
    expect(more).toMatchObject({ already: false, freeze: { scopes: ['promotions', 'deployments'] } });
    expect(await store.freeze(freezing({ scopes: ['merges'] }))).toMatchObject({ already: true, freeze: { scopes: ['merges', 'claims'] } });
    expect(await store.freezes({ environment })).toHaveLength(2);
  });

  it('leaves one row where ten freeze at once', async () => {
    const requests = Array.from({ length: 10 }, () => freezing());
    await Promise.all(Array.from({ length: 10 }, (_, n) => (n % 2 === 0 ? other : store).ping()));
    const answers = await Promise.all(requests.map((request, n) => (n % 2 === 0 ? other : store).freeze(request)));
    expect(answers.filter((one) => !one.already)).toHaveLength(1);
    expect(new Set(answers.map((one) => one.freeze.freezeId)).size).toBe(1);
    expect(await database.query('SELECT count(*)::int FROM ops.freezes WHERE environment = $1', [environment])).toEqual([{ count: 1 }]);
    expect((await Promise.all(requests.map((request) => store.find(request.entry.event)))).filter((one) => one !== null)).toHaveLength(1);
    expect(verifyChain(await all(store.chain()), digest)).toEqual([]);
  });

  it('by an attempt that comes late does not freeze again what was lifted since', async () => {
    const request = freezing();
    await store.freeze(request);
    await store.unfreeze(lifting());
    expect(await store.freeze(request)).toMatchObject({ already: true, freeze: { inForce: [] } });
    expect(await store.freezes({ environment, inForceOnly: true })).toEqual([]);
    expect(await store.freeze(freezing())).toMatchObject({ already: false });
  });

  it('keeps what people type, whatever is in it', async () => {
    const odd = 'INC \u0000 \\u0000 \ud800 😀';
    await store.freeze(freezing({ incident: odd, by: '\u0000' }));
    expect(await store.freeze(freezing({ incident: odd }))).toMatchObject({
      already: true,
      freeze: { incident: 'INC \ufffd \\u0000 \ufffd 😀', by: '\ufffd' },
    });
    expect(await store.unfreeze(lifting({ incident: odd }))).toMatchObject({ already: false });
  });

  it('of nothing is a mistake', async () => {
    await expect(store.freeze(freezing({ scopes: [] }))).rejects.toThrow('at least one of merges, claims, promotions, deployments');
  });
});

describe('lifting', () => {
  it('takes scopes away, says by whom and when, and keeps the row', async () => {
    await store.freeze(freezing());
    const first = lifting({ scopes: ['deployments'] });
    expect(await store.unfreeze(first)).toMatchObject({ already: false, position: { entries: 1 } });
    const [freeze] = await store.freezes({ environment, inForceOnly: true });
    expect(freeze).toMatchObject({
      scopes: FREEZE_SCOPES,
      inForce: ['merges', 'claims', 'promotions'],
      lifted: [{ scope: 'deployments', by: 'ben', at: LATER, rollbackId: first.rollbackId, event: first.entry.event }],
    });
    await store.unfreeze(lifting());
    expect(await store.freezes({ environment, inForceOnly: true })).toEqual([]);
    expect(await store.freezes({ environment })).toMatchObject([{ inForce: [], lifted: FREEZE_SCOPES.map((scope) => ({ scope })) }]);
  });

  it('reaches every freeze of the incident, and none of another: the second keeps holding', async () => {
    await store.freeze(freezing({ scopes: ['merges'] }));
    await store.freeze(freezing({ scopes: ['claims', 'promotions'] }));
    await store.freeze(freezing({ incident: 'INC-2' }));
    await store.unfreeze(lifting());
    expect((await store.freezes({ environment, inForceOnly: true })).map((one) => [one.incident, one.inForce])).toEqual([['INC-2', FREEZE_SCOPES]]);
    expect(
      await database.query('SELECT count(*)::int FROM ops.unfreezes u JOIN ops.freezes f USING (freeze_id) WHERE f.environment = $1', [environment]),
    ).toEqual([{ count: 3 }]);
  });

  it('where nothing is in force writes nothing', async () => {
    const request = lifting();
    expect(await store.unfreeze(request)).toMatchObject({ already: true, position: { entries: 0 } });
    expect(await store.find(request.entry.event)).toBeNull();
  });

  it('by an attempt that comes late does not lift what was frozen since', async () => {
    await store.freeze(freezing());
    const request = lifting();
    await store.unfreeze(request);
    await store.freeze(freezing());
    expect(await store.unfreeze(request)).toMatchObject({ already: true });
    expect(await store.freezes({ environment, inForceOnly: true })).toHaveLength(1);
  });

  it('ten times at once is done once', async () => {
    await store.freeze(freezing());
    const answers = await Promise.all(Array.from({ length: 10 }, (_, n) => (n % 2 === 0 ? other : store).unfreeze(lifting())));
    expect(answers.filter((one) => !one.already)).toHaveLength(1);
  });
});

describe('the database itself', () => {
  const INSERT = `INSERT INTO ops.freezes (freeze_id, environment, incident, rollback_id, workflow_id, declared_by, frozen_at, scopes, exceptions, event)
    VALUES ($1, $2, 'INC-1', $3, 'w', 'eve', now(), $4, '{}', $5)`;
  const LIFT = `INSERT INTO ops.unfreezes (freeze_id, scope, lifted_by, lifted_at, rollback_id, event) VALUES ($1, $2, 'eve', now(), $3, $4)`;

  it.each([
    `UPDATE ops.freezes SET scopes = '{merges}'`,
    'UPDATE ops.freezes SET scopes = scopes WHERE false',
    'DELETE FROM ops.freezes',
    'TRUNCATE ops.freezes',
    `UPDATE ops.unfreezes SET lifted_by = 'eve'`,
    'DELETE FROM ops.unfreezes',
    'TRUNCATE ops.unfreezes',
    'SET session_replication_role = replica; DELETE FROM ops.unfreezes',
  ])('refuses %s even to its superuser', async (change) => {
    await expect(database.query(change)).rejects.toThrow(/ops\.(?:un)?freezes only grows: (?:UPDATE|DELETE|TRUNCATE) is refused/);
  });

  it('refuses what the record does not tell, also where a replication role turns foreign keys off', async () => {
    const { freeze } = await store.freeze(freezing());
    const { rollbackId, entry: told } = freezing({ incident: 'INC-2' });
    await store.append(rollbackId, [told, entry(rollbackId, `${rollbackId}/note`, { type: 'step' })]);
    const INSERTED_AS_REPLICA = `SET session_replication_role = replica;
      INSERT INTO ops.unfreezes SELECT freeze_id, 'merges', 'eve', now(), rollback_id, 'nothing' FROM ops.freezes WHERE freeze_id = '${freeze.freezeId}'`;
    const forged = [
      [INSERT, [randomUUID(), environment, rollbackId, ['merges'], 'nothing']],
      // Entries there are; they tell of something else, of another incident, of another rollback.
      [INSERT, [randomUUID(), environment, rollbackId, ['merges'], `${rollbackId}/note`]],
      [INSERT, [randomUUID(), environment, rollbackId, ['merges'], told.event]],
      [INSERT, [randomUUID(), environment, randomUUID(), ['merges'], freeze.event]],
      [LIFT, [freeze.freezeId, 'merges', freeze.rollbackId, 'nothing']],
      [LIFT, [freeze.freezeId, 'merges', freeze.rollbackId, freeze.event]],
      [INSERTED_AS_REPLICA, []],
    ] as const;
    for (const [sql, values] of forged) await expect(database.query(sql, values)).rejects.toThrow('holds only what the record tells');
    expect(await store.freezes({ environment, inForceOnly: true })).toEqual([freeze]);
  });

  it('refuses to lift what nobody froze', async () => {
    const { freeze } = await store.freeze(freezing({ scopes: ['merges'] }));
    const { rollbackId, entry: told } = lifting();
    await store.append(rollbackId, [told]);
    await expect(database.query(LIFT, [freeze.freezeId, 'claims', rollbackId, told.event])).rejects.toThrow(`no freeze ${freeze.freezeId} holds claims`);
    await expect(database.query(LIFT, [randomUUID(), 'merges', rollbackId, told.event])).rejects.toThrow('holds merges');
  });

  it.each([[['everything']], [[]], [['merges', null]]])('knows the scopes of the runbook and no others: %j', async (scopes) => {
    const { rollbackId, entry: told } = freezing();
    await store.append(rollbackId, [told]);
    await expect(database.query(INSERT, [randomUUID(), environment, rollbackId, scopes, told.event])).rejects.toThrow('freezes_scopes_known');
  });

  it('freezes and lifts for an owner who is no superuser, and lets him change nothing', async () => {
    const url = await database.another();
    const role = `owner_${randomUUID().slice(0, 8)}`;
    await queryAt(url, `CREATE ROLE ${role} LOGIN PASSWORD 'secret'; GRANT CREATE ON DATABASE ${new URL(url).pathname.slice(1)} TO ${role}`);
    const asOwner = new URL(url);
    asOwner.username = role;
    asOwner.password = 'secret';
    const owned = openStore(asOwner.href);
    try {
      await owned.migrate();
      await owned.freeze(freezing());
      await owned.unfreeze(lifting({ scopes: ['merges'] }));
      expect(await owned.freezes({ inForceOnly: true })).toMatchObject([{ inForce: ['claims', 'promotions', 'deployments'] }]);
      for (const table of ['ops.freezes', 'ops.unfreezes']) await expect(queryAt(asOwner.href, `DELETE FROM ${table}`)).rejects.toThrow('permission denied');
    } finally {
      await owned.close();
      await queryAt(url, `DROP OWNED BY ${role} CASCADE; DROP ROLE ${role}`);
    }
  });
});
