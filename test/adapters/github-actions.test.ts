import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { AdapterCall, AdapterErrorKind } from '../../activities/adapters/adapter.ts';
import { githubActions, type GithubActionsOptions } from '../../activities/adapters/github-actions.ts';
import type { Control, Fault } from '../fakes/github.ts';
import { startFakeGithub, type FakeGithub } from '../fakes/github-process.ts';
import { adapterContract, rejection, type Fault as ContractFault, type Fixture } from './contract.ts';

type Call = AdapterCall<GithubActionsOptions>;
const CANARY = 'ghp_canary-7f3a/+=';
const OPERATION = '11111111-2222-4333-8444-555555555555/web.deploy/1';
const DISPATCH = { method: 'POST', path: '/dispatches$' };
const FIND_SECONDS = 0.6;
const FOREVER = { states: [{ status: 'queued', ms: null }] };

const rawOptions = (baseUrl: string): Record<string, unknown> => ({
  repository: 'acme/shop',
  workflow: 'rollback.yml',
  token: 'env:GITHUB_TOKEN',
  baseUrl,
  pollSeconds: 0.05,
  findSeconds: FIND_SECONDS,
  followSeconds: 20,
  requestSeconds: 1,
});

function callTo(github: FakeGithub, overrides: Partial<Call> = {}, options: Record<string, unknown> = {}): Call {
  return {
    environment: 'production',
    component: 'web',
    options: githubActions.options.parse({ ...rawOptions(github.url), ...options }),
    folder: '/srv',
    to: 'v2',
    healthPaths: [],
    operationId: OPERATION,
    attempt: 1,
    signal: new AbortController().signal,
    heartbeat: () => {},
    secret: () => Promise.resolve(CANARY),
    served: () => github.served('web'),
    ...overrides,
  };
}

/** One process for the file; each test begins with it anew. */
let github: FakeGithub;
beforeAll(async () => {
  github = await startFakeGithub();
});
afterAll(() => github.stop());
const anew = (): Promise<void> => github.control({ reset: true, token: CANARY, served: { web: 'v1' } });

async function setup(): Promise<Fixture<GithubActionsOptions>> {
  await anew();
  return {
    adapter: githubActions,
    rawOptions: rawOptions(github.url),
    start: 'v1',
    good: 'v2',
    bad: 'bad',
    missing: 'v9',
    call: (overrides) => callTo(github, overrides),
    effects: () => github.dispatches(),
    snapshot: () => github.state(),
    stall: async () => {
      await github.control({ plans: [FOREVER] });
      return callTo(github);
    },
    canary: CANARY,
    teardown: () => Promise.resolve(),
  };
}

const faulty = (name: string, control: Control, kinds: readonly AdapterErrorKind[]): ContractFault<GithubActionsOptions> => ({
  name,
  kinds,
  prepare: async (fixture) => {
    await github.control(control);
    return fixture.call();
  },
});
const on = (path: string, answer: NonNullable<Fault['answer']>): Control => ({ faults: [{ path, answer }] });
/** A dispatch takes effect and its answer is lost; the faults follow. */
const lostAndThen = (faults: readonly Fault[]): Control => ({
  // oxlint-disable-next-line unicorn/no-thenable -- The fake's own field, sent to it as JSON: data, and never awaited.
  faults: [{ ...DISPATCH, after: true, answer: 'reset', then: faults }],
});

adapterContract<GithubActionsOptions>({
  name: 'github-actions',
  setup,
  faults: [
    faulty('a token that is not valid', { token: 'another' }, ['unauthorized']),
    faulty('a token that may not', on('/runs$', { status: 403 }), ['unauthorized']),
    faulty('another repository, or none that the token may see', { repository: 'acme/other' }, ['not-found']),
    faulty('no such workflow', { workflow: 'other.yml' }, ['not-found']),
    faulty('a disabled workflow', { state: 'disabled_inactivity' }, ['conflict']),
    faulty('a workflow without workflow_dispatch', { dispatchable: false }, ['conflict']),
    faulty('a workflow with other inputs', { inputs: { tag: { required: true } } }, ['conflict']),
    faulty('429 on the list', on('/runs$', { status: 429, headers: { 'retry-after': '7' } }), ['rate-limited']),
    faulty('429 on the dispatch', on('/dispatches$', { status: 429, headers: { 'retry-after': '7' } }), ['rate-limited']),
    faulty('403 for too many requests', on('/dispatches$', { status: 403, headers: { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '99' } }), [
      'rate-limited',
    ]),
    faulty('502 on the list', on('/runs$', { status: 502, body: '<html>502</html>' }), ['unavailable']),
    faulty('a list that never answers', on('/runs$', 'hang'), ['unavailable']),
    faulty('a list that resets', on('/runs$', 'reset'), ['unavailable']),
    faulty('HTML for a list', on('/runs$', 'html'), ['unexpected-response']),
    faulty('a list that is too large', on('/runs$', 'huge'), ['unexpected-response']),
    faulty('a list of another shape', on('/runs$', { status: 200, body: '{"runs":[]}' }), ['unexpected-response']),
    faulty('502 instead of a dispatch', on('/dispatches$', { status: 502 }), ['unknown']),
    faulty('a reset instead of a dispatch', on('/dispatches$', 'reset'), ['unknown']),
  ],
});

describe('github-actions', () => {
  let beats: string[];
  const call = (overrides: Partial<Call> = {}, options: Record<string, unknown> = {}): Call =>
    callTo(
      github,
      {
        heartbeat: (progress) => {
          beats.push(progress);
        },
        ...overrides,
      },
      options,
    );

  beforeEach(async () => {
    beats = [];
    await anew();
  });

  it('gives the run, with which inputs, and the commit', async () => {
    const receipt = await githubActions.apply(call());
    const [dispatched] = await github.ledger();
    expect(dispatched).toMatchObject({ event: 'dispatch', inputs: { version: 'v2', component: 'web', environment: 'production', operation: OPERATION } });
    expect(receipt).toMatchObject({
      ids: { runId: dispatched?.run, runUrl: expect.stringContaining(`/actions/runs/${dispatched?.run}`), runAttempt: 1 },
      after: { conclusion: 'success' },
    });
    expect(receipt.detail).toBeUndefined();
  });

  it.each([
    ['failure', /ended as failure: http\S+; read the failed job/],
    ['cancelled', /somebody cancelled it/],
    ['timed_out', /time limit/],
    ['action_required', /must approve/],
    ['neutral', /neither success nor failure/],
    ['skipped', /skipped/],
    ['stale', /runner is online/],
    ['startup_failure', /ended as startup_failure.*not a success/],
  ])('a run that ends as %s has failed, and says where and what to do', async (conclusion, expected) => {
    await github.control({ plans: [{ conclusion }] });
    const error = await rejection(githubActions.apply(call()));
    expect(error.kind).toBe('failed');
    expect(error.message).toMatch(expected);
    expect(error.message).toMatch(/^\[github-actions\] run failed \[repository=acme\/shop, workflow=rollback\.yml\]: it ended as/);
    const again = await rejection(githubActions.apply(call({ attempt: 2 })));
    expect(again.kind).toBe('failed');
    expect(await github.dispatches()).toBe(1);
  });

  it('waits for approval, says where, and goes on after it; a state it does not know is waited for as well', async () => {
    await github.control({
      plans: [
        {
          states: [
            { status: 'requested', ms: 80 },
            { status: 'pending', ms: 80 },
            { status: 'waiting', ms: null },
            { status: 'in_progress', ms: 80 },
          ],
        },
      ],
    });
    const applying = githubActions.apply(call());
    await expect.poll(() => beats.join('\n'), { timeout: 5000 }).toMatch(/waiting for approval at http\S+\/actions\/runs\/\d+/);
    await github.control({ approve: true });
    expect((await applying).after).toMatchObject({ conclusion: 'success' });
    expect(beats.join('\n')).toMatch(/run requested: http/);
  });

  it('a run cancelled at GitHub is not a success', async () => {
    await github.control({ plans: [FOREVER] });
    const failed = rejection(githubActions.apply(call()));
    await expect.poll(() => github.dispatches()).toBe(1);
    const [dispatched] = await github.ledger();
    await fetch(`${github.url}/repos/acme/shop/actions/runs/${dispatched?.run}/cancel`, {
      method: 'POST',
      headers: { authorization: `Bearer ${CANARY}`, 'user-agent': 'a person' },
    });
    expect(await failed).toMatchObject({ kind: 'failed', message: expect.stringContaining('cancelled') });
    expect(await github.served('web')).toBe('v1');
  });

  it('a run that takes longer than followSeconds is unknown, and goes on', async () => {
    await github.control({ plans: [FOREVER] });
    expect(await rejection(githubActions.apply(call({}, { followSeconds: 0.3 })))).toMatchObject({
      kind: 'unknown',
      message: expect.stringMatching(/had not ended after 0.3 s .*\/actions\/runs\/\d+/),
    });
  });

  it.each([
    ['a 500', { status: 500 }],
    ['a 502 in HTML', { status: 502, body: '<html>' }],
    ['a reset', 'reset'],
    ['no answer', 'hang'],
    ['HTML with 200', 'html'],
  ] as const)('%s after the effect: the run is found, and dispatched once', async (_, answer) => {
    await github.control({ staleMs: 300, faults: [{ ...DISPATCH, after: true, answer }] });
    expect((await githubActions.apply(call())).after).toMatchObject({ conclusion: 'success' });
    expect(await github.dispatches()).toBe(1);
  });

  it('an error without effect is unknown, and the same attempt never dispatches again', async () => {
    await github.control({ faults: [{ ...DISPATCH, answer: { status: 503 } }] });
    const error = await rejection(githubActions.apply(call()));
    expect(error).toMatchObject({
      kind: 'unknown',
      message: expect.stringMatching(/503: Server Error, and no run named 1111\S+ appeared within 0.6 s; look at http\S+ before anything is dispatched again/),
    });
    expect((await github.requests()).filter((line) => line.endsWith('/dispatches'))).toHaveLength(1);
  });

  it('errors after the lost dispatch do not hide the run: the list is asked again, no earlier than it allows', async () => {
    const path = '/runs$';
    const faults: Fault[] = [
      { path, answer: 'hang' },
      { path, answer: { status: 502 } },
      { path, answer: { status: 429, headers: { 'retry-after': '1' } } },
    ];
    await github.control(lostAndThen(faults));
    const startedAt = Date.now();
    expect((await githubActions.apply(call({}, { requestSeconds: 0.5 }))).after).toMatchObject({ conclusion: 'success' });
    expect(Date.now() - startedAt).toBeGreaterThanOrEqual(1500);
    expect(await github.dispatches()).toBe(1);
  });

  it('a list that stays away after a lost dispatch leaves it unknown', async () => {
    await github.control(lostAndThen([{ path: '/runs$', answer: { status: 502 }, times: 99 }]));
    expect((await rejection(githubActions.apply(call({}, { followSeconds: 1 })))).kind).toBe('unknown');
    expect(await github.dispatches()).toBe(1);
  });

  it('an attempt killed right after its dispatch arrived: the next one finds the run, one effect', async () => {
    await github.control({ staleMs: 600, faults: [{ ...DISPATCH, after: true, answer: 'hang' }] });
    const { environment, component, to, operationId } = call();
    const job = { options: { ...rawOptions(github.url), requestSeconds: 30 }, call: { environment, component, to, operationId, attempt: 1 } };
    const child = spawn(process.execPath, [fileURLToPath(new URL('../fakes/github-attempt.ts', import.meta.url)), JSON.stringify(job)], {
      stdio: 'inherit',
      env: { ...process.env, GITHUB_TOKEN: CANARY },
    });
    const ended = once(child, 'exit');
    await expect.poll(() => github.dispatches(), { timeout: 8000, interval: 20 }).toBe(1);
    child.kill('SIGKILL');
    expect((await ended)[1]).toBe('SIGKILL');

    const receipt = await githubActions.apply(call({ attempt: 2 }));
    expect(receipt.after).toMatchObject({ conclusion: 'success' });
    expect(await github.dispatches()).toBe(1);
    expect(await githubActions.verify(call())).toMatchObject({ current: 'v2', operationId: OPERATION });
  }, 15_000);

  it('the first attempt looks once and dispatches, a later one looks for findSeconds before', async () => {
    await githubActions.apply(call());
    expect((await github.requests()).findIndex((line) => line.endsWith('/dispatches'))).toBe(1);
    const second = Date.now();
    await githubActions.apply(call({ attempt: 2, operationId: OPERATION.replace(/1$/, '2') }));
    expect(Date.now() - second).toBeGreaterThanOrEqual(FIND_SECONDS * 1000);
    expect(await github.dispatches()).toBe(2);
  });

  it('a look that took too long proves nothing: it looks again before it dispatches', async () => {
    await github.control({ faults: [{ path: '/runs$', after: true, delayMs: 1200 }] });
    const applying = githubActions.apply(call({}, { requestSeconds: 5 }));
    await new Promise((resolve) => {
      setTimeout(resolve, 200);
    });
    await githubActions.apply(call());
    await applying;
    expect(await github.dispatches()).toBe(1);
  });

  it('follows a run that is not to be read yet, and through errors', async () => {
    const path = '/actions/runs/';
    await github.control({
      staleGetMs: 200,
      faults: [
        { path, answer: { status: 500 } },
        { path, answer: 'reset' },
        { path, answer: 'html' },
      ],
    });
    expect((await githubActions.apply(call())).after).toMatchObject({ conclusion: 'success' });
    expect(beats.join('\n')).toMatch(/500: Server Error; asking again for http/);
    expect(await github.dispatches()).toBe(1);
  });

  it('asks for a run no earlier than a rate limit allows', async () => {
    await github.control({ faults: [{ path: '/actions/runs/', answer: { status: 429, headers: { 'retry-after': '1' } } }] });
    const startedAt = Date.now();
    expect((await githubActions.apply(call())).after).toMatchObject({ conclusion: 'success' });
    expect(Date.now() - startedAt).toBeGreaterThanOrEqual(1000);
  });

  it('a run that really deploys decides by how its command ends', async () => {
    await github.control({ command: 'test "$COMPONENT-$ENVIRONMENT-$VERSION" = web-production-v2' });
    await githubActions.apply(call());
    expect(await github.served('web')).toBe('v2');
    expect((await rejection(githubActions.apply(call({ to: 'v1', operationId: OPERATION.replace(/1$/, '2') })))).kind).toBe('failed');
    expect(await github.served('web')).toBe('v2');
  });

  it('a token that is withdrawn while a run goes on leaves the end unknown', async () => {
    await github.control({ plans: [FOREVER] });
    const failed = rejection(githubActions.apply(call()));
    await expect.poll(() => beats.join('\n')).toMatch(/run queued/);
    await github.control({ token: 'another' });
    expect(await failed).toMatchObject({ kind: 'unknown', message: expect.stringMatching(/401: Bad credentials.*the run goes on at http/) });
  });

  it('says how long a rate limit asks to wait', async () => {
    await github.control({ faults: [{ path: '/runs$', answer: { status: 429, headers: { 'retry-after': '7' } } }] });
    expect(await rejection(githubActions.apply(call()))).toMatchObject({ kind: 'rate-limited', retryAfterMs: 7000 });
  });

  it.each(['refuse', 'ignore'] as const)('a server that does not know return_run_details (%s) dispatches once', async (runDetails) => {
    await github.control({ runDetails, staleMs: 300 });
    expect((await githubActions.apply(call())).after).toMatchObject({ conclusion: 'success' });
    expect(await github.dispatches()).toBe(1);
  });

  it.each([
    [150, 2],
    [1150, 11],
  ])('finds its run behind %i others', async (count, pages) => {
    await github.control({ seed: { count: 1, ageMs: 60_000, inputs: { component: 'web', environment: 'production', version: 'v2', operation: OPERATION } } });
    await github.control({
      seed: { count, everyMs: 20, inputs: { component: 'web', environment: 'production', version: 'v3', operation: `${OPERATION}#` }, conclusion: 'failure' },
    });
    expect((await githubActions.apply(call())).after).toMatchObject({ conclusion: 'success' });
    expect(await github.dispatches()).toBe(0);
    expect((await github.requests()).filter((line) => line.endsWith('/runs')).length).toBeGreaterThanOrEqual(pages);
  });

  it('inspect: the newest success here, only where it went to what is served; others neither by component nor by environment', async () => {
    const inputs = { component: 'web', environment: 'production', version: 'v1', operation: 'aaaa/web.deploy/1' };
    await github.control({ seed: { count: 1, ageMs: 5000, inputs } });
    await github.control({ seed: { count: 1, ageMs: 4000, inputs: { ...inputs, environment: 'staging', operation: 'bbbb/web.deploy/1' } } });
    await github.control({ seed: { count: 1, ageMs: 3000, inputs: { ...inputs, component: 'web-api', operation: 'cccc/web-api.deploy/1' } } });
    await github.control({ seed: { count: 1, ageMs: 2000, inputs: { ...inputs, version: 'v2', operation: 'dddd/web.deploy/1' }, conclusion: 'failure' } });
    const seen = await githubActions.inspect(call());
    expect(seen).toMatchObject({
      current: 'v1',
      targetPresent: true,
      operationId: 'aaaa/web.deploy/1',
      facts: { lastRunStatus: 'failure', runInFlight: null },
    });
    expect(await githubActions.inspect(call({ served: () => Promise.resolve('v2') }))).toMatchObject({ current: 'v2', operationId: null });
    expect(await githubActions.inspect(call({ served: () => Promise.resolve(null) }))).toMatchObject({ current: null });
  });

  it('inspect shows a run in flight', async () => {
    await github.control({ plans: [FOREVER] });
    const abort = new AbortController();
    const ended = rejection(githubActions.apply(call({ signal: abort.signal })));
    await expect.poll(() => beats.join('\n')).toMatch(/run queued/);
    const { facts } = await githubActions.inspect(call());
    expect(facts).toMatchObject({ lastRunStatus: 'queued', runInFlight: facts['lastRunUrl'] });
    abort.abort();
    expect(await ended).toMatchObject({ kind: 'unavailable', message: expect.stringContaining('interrupted') });
  });

  it.each([
    ['v1', true],
    ['v9', 'unknown'],
    ['0123456789abcdef0123456789abcdef01234567', true],
    ['ffffffffffffffffffffffffffffffffffffffff', 'unknown'],
    ['../../../user', 'unknown'],
  ])('target %s is present: %s', async (to, present) => {
    expect((await githubActions.inspect(call({ to }))).targetPresent).toBe(present);
  });

  it.each([
    ['a disabled workflow', { state: 'disabled_manually' }, 'configuration', /disabled_manually; enable it at http/],
    ['no workflow', { workflow: 'other.yml' }, 'not-found', /check repository and workflow/],
    ['no run-name', { runName: null }, 'configuration', /lacks a run-name .* add: run-name: Rollback \$\{\{ inputs.component \}\}/],
    ['a run-name without the operation', { runName: 'Rollback ${{ inputs.version }}' }, 'configuration', /lacks a run-name/],
    ['a workflow file that the token may not read', { contents: false }, 'not-found', /reading .github\/workflows\/rollback.yml on main failed .*404/],
    ['a bad token', { token: 'another' }, 'unauthorized', /401: Bad credentials \(give the token/],
  ] as const)('inspect refuses %s', async (_, control, kind, message) => {
    await github.control(control);
    const error = await rejection(githubActions.inspect(call()));
    expect(error.kind).toBe(kind);
    expect(error.message).toMatch(message);
  });

  it('a run-name that was lost since the inspection: the receipt tells, and an accepted dispatch that cannot be found is for a person', async () => {
    await github.control({ runName: 'Rollback' });
    expect((await githubActions.apply(call())).detail).toMatch(/lacks the operation id/);
    await github.control({ runDetails: 'ignore' });
    expect(await rejection(githubActions.apply(call()))).toMatchObject({
      kind: 'unexpected-response',
      message: expect.stringContaining('GitHub accepted it, and no run named'),
    });
  });

  it('takes other names of inputs, and a token with a line break after it', async () => {
    const inputs = { version: 'tag', component: 'service', environment: 'env', operation: 'op' };
    await github.control({
      inputs: Object.fromEntries(Object.values(inputs).map((name) => [name, { required: true }])),
      plans: [{ conclusion: 'success' }],
      runName: '>-\n  ${{ inputs.service }} ${{ inputs.tag }}\n  ${{ inputs.env }} ${{ inputs.op }}',
    });
    const renamed = call({ secret: () => Promise.resolve(`${CANARY}\n`) }, { inputs });
    await githubActions.inspect(renamed);
    await githubActions.apply(renamed);
    expect(await github.ledger()).toContainEqual(
      expect.objectContaining({ event: 'dispatch', inputs: { tag: 'v2', service: 'web', env: 'production', op: OPERATION } }),
    );
  });

  it('an empty token, and one that is no header, are configuration; neither is shown', async () => {
    expect((await rejection(githubActions.apply(call({ secret: () => Promise.resolve(' \n') })))).kind).toBe('configuration');
    const error = await rejection(githubActions.apply(call({ secret: () => Promise.resolve('canary\nsecond line') })));
    expect(error.kind).toBe('configuration');
    expect(String(error.stack)).not.toContain('canary');
  });

  it.each([
    [{ repository: '../x' }, 'repository'],
    [{ repository: 'acme' }, 'repository'],
    [{ workflow: '.github/workflows/rollback.yml' }, 'workflow'],
    [{ workflow: '..' }, 'workflow'],
    [{ token: 'ghp_literal' }, 'token'],
    [{ baseUrl: 'http://example.com' }, 'baseUrl'],
    [{ baseUrl: 'http://localhost.example.com' }, 'baseUrl'],
    [{ inputs: { version: 'same', component: 'same' } }, 'inputs'],
    [{ inputs: { tag: 'x' } }, 'inputs'],
    [{ pollSeconds: 0 }, 'pollSeconds'],
  ])('options %j are refused at %s', (options, place) => {
    const { error } = githubActions.options.safeParse({ ...rawOptions('https://api.github.com'), ...options });
    expect(error?.issues[0]?.path[0]).toBe(place);
  });

  it('manual names the host of an Enterprise server and quotes what would break out of the shell', () => {
    const lines = githubActions.manual(call({ to: "v2'; rm -rf /; '" }, { baseUrl: 'https://ghes.example/api/v3', token: 'file:secrets/token' })).join('\n');
    expect(lines).toContain('--repo ghes.example/acme/shop');
    expect(lines).toContain("$(cat '/srv/secrets/token')");
    expect(lines).toContain("'version=v2'\\''; rm -rf /; '\\'''");
    expect(githubActions.manual(call({}, { baseUrl: 'https://api.github.com' })).join('\n')).toContain('--repo acme/shop');
  });
});
