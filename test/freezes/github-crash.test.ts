/** What was there before is known and one ruleset is made, whoever dies, comes twice, or comes at the same time. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, it } from 'vitest';
import { github as carrier } from '../../activities/freezes/github.ts';
import { rejection } from '../adapters/contract.ts';
import type { Control } from '../fakes/github-rules.ts';
import { anew, callTo, CANARY, edit, FROZEN, github, lifting, NOTE, rawOptions, standing } from './github-fixture.ts';

describe('github, when something goes wrong', () => {
  beforeEach(anew);

  it.each([true, false])('many sets at once make one ruleset, whether GitHub refuses a taken name or not (%s)', async (uniqueNames) => {
    await github.control({ uniqueNames, faults: [{ method: 'POST', path: '/rulesets$', delayMs: 300 }] });
    const receipts = await Promise.all([1, 2, 3, 4].map((number) => carrier.set(callTo({ operationId: `op/${number}` }))));
    expect((await github.ledger()).filter((entry) => entry.event === 'ruleset.create')).toHaveLength(1);
    for (const { before } of receipts) expect(before).toEqual(receipts[0]?.before);
  });

  it('a name that is taken in the last moment: by a freeze it is well, by something else it is said', async () => {
    await github.control({ faults: [{ method: 'POST', path: '/rulesets$', delayMs: 400 }] });
    const setting = carrier.set(callTo({ scopes: ['merges'] }));
    await expect.poll(async () => (await github.requests()).includes('POST /repos/acme/shop/rulesets')).toBe(true);
    await github.control({ rulesetsMore: [FROZEN] });
    expect(await setting).toMatchObject({ after: { parts: [{ frozen: true }] } });
    await anew();
    await github.control({ rulesetsMore: [{ ...FROZEN, target: 'tag' }] });
    expect(await rejection(carrier.set(callTo({ scopes: ['merges'] })))).toMatchObject({
      kind: 'conflict',
      message: expect.stringMatching(/Name must be unique/),
    });
  });

  it('the note is there before the first change, names the incident, and goes with the lift', async () => {
    const { before } = await carrier.set(callTo());
    const [first] = await github.ledger();
    expect(first).toMatchObject({ event: 'variable', what: `POST ${NOTE}` });
    const { variables } = await github.state();
    expect(JSON.parse(variables[NOTE] ?? '')).toMatchObject({ parts: { 'workflow promote.yml': { incident: 'INC-42', was: 'active' } } });
    await carrier.lift(lifting(before, { scopes: ['merges', 'deployments'] }));
    expect(Object.keys(JSON.parse((await github.state()).variables[NOTE] ?? '').parts)).toEqual(['workflow promote.yml', 'workflow nightly.yml']);
    await carrier.lift(lifting(before, { scopes: ['promotions'] }));
    expect((await github.state()).variables).toEqual({});
  });

  it('the last of two incidents lifts what the first one set, without a receipt', async () => {
    const start = await standing();
    await carrier.set(callTo());
    expect((await carrier.set(callTo({ incident: 'INC-43' }))).before).toMatchObject({ 'workflow promote.yml': 'active' });
    await carrier.lift(lifting(null, { incident: 'INC-43' }));
    expect(await standing()).toEqual(start);
  });

  it('what an earlier incident noted of a part that is not frozen any more is out of date', async () => {
    await carrier.set(callTo());
    await edit(({ environments }) => Object.assign(environments['production'] ?? {}, { reviewers: [{ type: 'User', id: 33 }] }));
    await carrier.set(callTo({ incident: 'INC-43' }));
    await carrier.lift(lifting(null, { incident: 'INC-43' }));
    expect((await github.state()).environments).toMatchObject({ production: { reviewers: [{ type: 'User', id: 33 }] }, 'eu/west': { reviewers: [] } });
  });

  it('without note and receipt only the ruleset is lifted, and it says what it left', async () => {
    await carrier.set(callTo());
    await github.control({ variables: {} });
    const { detail } = await carrier.lift(lifting(null));
    expect(detail).toMatch(/workflow promote.yml is left frozen, because nobody knows what was there before; put it back by hand/);
    expect(await github.rulesOn('main')).toEqual([]);
    expect((await github.state()).workflows['promote.yml']).toBe('disabled_manually');
  });

  it('a note that somebody spoilt is for a person; so is a receipt that says something else', async () => {
    const { before } = await carrier.set(callTo());
    await github.control({ variables: { [NOTE]: 'oops' } });
    expect(await rejection(carrier.lift(lifting(null)))).toMatchObject({
      kind: 'configuration',
      message: expect.stringMatching(/somebody changed it, so what was/),
    });
    await github.control({ variables: {} });
    expect(await rejection(carrier.lift(lifting({ ...Object(before), 'environment production': 'x' })))).toMatchObject({
      kind: 'configuration',
      message: expect.stringMatching(/what was noted of environment production before the freeze cannot be read/),
    });
    await carrier.lift(lifting(before));
    expect((await github.state()).environments['production']?.reviewers).toEqual([{ type: 'User', id: 31 }]);
  });

  /** An attempt in a process of its own, killed when its write has arrived and before the answer comes. */
  async function killed(action: 'set' | 'lift', method: string, path: string): Promise<void> {
    await github.control({ faults: [{ method, path, after: true, answer: 'hang' }] });
    const { environment, name, incident, operationId, scopes } = callTo();
    const job = {
      action,
      options: { ...rawOptions(github.url), requestSeconds: 30 },
      call: { environment, name, incident, operationId, scopes, before: null },
    };
    const [effects, asked] = [await github.effects(), (await github.requests()).length];
    const child = spawn(process.execPath, [fileURLToPath(new URL('../fakes/github-rules-attempt.ts', import.meta.url)), JSON.stringify(job)], {
      stdio: 'inherit',
      env: { ...process.env, GITHUB_TOKEN: CANARY },
    });
    const ended = once(child, 'exit');
    const arrived = async (): Promise<boolean> => (await github.requests()).slice(asked).some((line) => new RegExp(`^${method} .*${path}`).test(line));
    await expect.poll(arrived, { timeout: 8000, interval: 20 }).toBe(true);
    expect(await github.effects()).toBeGreaterThan(effects);
    child.kill('SIGKILL');
    expect((await ended)[1]).toBe('SIGKILL');
  }

  it.each([
    ['POST', '/rulesets$'],
    ['PUT', '/promote.yml/disable$'],
    ['PUT', '/environments/production$'],
    ['PUT', '/environments/eu/west$'],
  ])('a set killed after its %s to %s arrived: the next one goes on, and lift still knows what was there', async (method, path) => {
    const start = await standing();
    await killed('set', method, path);
    await carrier.set(callTo());
    expect((await carrier.inspect(callTo())).filter((part) => !part.frozen)).toEqual([]);
    expect(await github.effects()).toBe(5);
    await carrier.lift(lifting(null));
    expect(await standing()).toEqual(start);
  });

  it.each([
    ['PUT', '/rulesets/'],
    ['PUT', '/promote.yml/enable$'],
    ['PUT', '/environments/production$'],
  ])('a lift killed after its %s to %s arrived: the next one goes on', async (method, path) => {
    const start = await standing();
    await carrier.set(callTo());
    await killed('lift', method, path);
    await carrier.lift(lifting(null));
    expect(await standing()).toEqual(start);
    expect(await github.effects()).toBe(10);
  });

  it.each([
    [{ plan: 'free' }, 'unauthorized', /403: Upgrade to GitHub Pro .*rulesets of a private repository need a paid plan/],
    [{ token: 'another' }, 'unauthorized', /401: Bad credentials \(give the token Administration, Actions and Variables: read and write/],
    [{ environments: {} }, 'not-found', /reading environment production failed \[repository=acme\/shop\]: 404.*check repository, workflows and environments/],
    [
      { actors: { Team: [7], User: [], Integration: [], RepositoryRole: [] } },
      'conflict',
      /422: .*User with the id 32.*check the ids in bypass and rollbackOwners/,
    ],
    [{ permissions: { administration: 'write', actions: 'read', variables: 'write' } }, 'unauthorized', /disabling workflow promote.yml failed .*403/],
  ] as const)('says what to do: %j', async (control, kind, message) => {
    await github.control(control as unknown as Control);
    const error = await rejection(carrier.set(callTo()));
    expect(error.kind).toBe(kind);
    expect(error.message).toMatch(message);
  });

  it('says how long a rate limit asks to wait, and has kept what it did until then', async () => {
    await github.control({ faults: [{ method: 'PUT', path: '/disable$', answer: { status: 429, headers: { 'retry-after': '7' } } }] });
    expect(await rejection(carrier.set(callTo()))).toMatchObject({ kind: 'rate-limited', retryAfterMs: 7000 });
    await carrier.set(callTo());
    expect((await github.ledger()).filter((entry) => entry.scope === 'merges')).toHaveLength(1);
  });
});
