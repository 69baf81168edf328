/** What stakeholders hear of an incident and when, and what is left for review [001 Communication Templates, steps 4 and 5]: Slack, Discord and git as they are. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import type { WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RollbackState } from '../../model/state.ts';
import type { MessageReply } from '../../workflows/messages.ts';
import { startFakeChat, type FakeChat } from '../fakes/chat-process.ts';
import { confirmTarget, lines, PEOPLE, propose, repository, run, signRows, stepOf, waitsFor } from '../support/incident.ts';
import { eventually, LyingWorld } from '../support/lying-world.ts';
import type { World } from '../support/world.ts';

const HOOKS = { slack: 'canary-slack-hook', discord: 'canary-discord-hook' };
/** In seconds. */
const EVERY = 4;

let chat: FakeChat;
let lying: LyingWorld;
let world: World;
let product: string;
let remote: string;
beforeAll(async () => {
  chat = await startFakeChat();
  lying = await LyingWorld.create({
    paper: { told: [], untold: [], shown: [] },
    env: { SLACK: chat.slack(HOOKS.slack), DISCORD: chat.discord(HOOKS.discord) },
    yaml: [
      '    gates: { ci-pr: { command: ["true"] }, emission: { command: ["true"], covers: evidence } }',
      '    review: { repository: ./product, remote: origin }',
      'product: Portarium',
      // On one line: this world sorts its lines.
      `people: { ${PEOPLE.slice(1).join(', ')} }`,
      'channels: { incident: [{ file: ./incidents.log }], stakeholders: [{ file: ./stakeholders.log }, { slack: "env:SLACK" }], internal: [{ discord: "env:DISCORD" }], status: [{ file: ./status.log }] }',
      `communications: { updateEveryMinutes: ${EVERY / 60} }`,
      'unfreeze: { stableForSeconds: 0 }',
    ],
  });
  world = lying.world;
  ({ folder: product, remote } = await repository(world));
});
afterAll(async () => {
  await lying.close();
  await chat.stop();
});

const say = (handle: WorkflowHandle, name: string, body: unknown): Promise<MessageReply> =>
  handle.executeUpdate<MessageReply, [unknown]>(name, { args: [body] });
async function declared(component: string, more: Record<string, unknown> = {}): Promise<WorkflowHandle> {
  return propose(world, { components: [component], incident: `INC-${component}`, trigger: 'operator', by: 'carol', ...more });
}
const git = async (folder: string, ...args: string[]): Promise<string> => {
  const who = ['-c', 'user.name=t', '-c', 'user.email=t@t'];
  return (await run('git', ['-C', folder, ...who, ...args], { env: { PATH: process.env['PATH'], HOME: world.folder } })).stdout.trim();
};
const letters = async (file: string, handle: WorkflowHandle) => (await lines(world, file)).filter((one) => one['workflowId'] === handle.workflowId);
const templates = async (handle: WorkflowHandle, file = 'stakeholders.log') => (await letters(file, handle)).map((one) => one['template']);
const bodyOf = async (handle: WorkflowHandle, template: string, file = 'stakeholders.log'): Promise<string> =>
  String((await letters(file, handle)).findLast((one) => one['template'] === template)?.['body']);
const updateState = (state: RollbackState): string => stepOf(state, 'communication.update').state;
const reminders = async (handle: WorkflowHandle) => (await lying.toldOf(handle)).filter((one) => one.notice === 'reminder').map((one) => one.text);
const update = (more: Record<string, unknown> = {}) => ({ step: 'communication.update', by: 'cleo', ...more });
const TIME = String.raw`\d{4}-\d\d-\d\d \d\d:\d\d UTC`;

describe.concurrent('stakeholders', () => {
  it('[001 Templates A, B, C] hear of the declaration, of what goes on when it is asked for and when it is due, and of the end before it is unfrozen', async () => {
    const handle = await declared('told');
    const waiting = await waitsFor(world, handle, 'target');
    await eventually('they are told', async () => (await templates(handle)).length === 1);
    const [first] = await letters('stakeholders.log', handle);
    expect(first?.['subject']).toMatch(new RegExp(`^Portarium delivery rollback declared - ${TIME}$`));
    expect(String(first?.['body']).split('\n')).toEqual([
      'Status: Rollback mode active.',
      'Trigger: reliability or integrity has regressed: orders are lost.',
      'Scope level: L1.',
      'Freeze scope: feature merges, claims of implementation work and environment promotions paused; deployments restricted to rollback owners.',
      'Current owner: carol (Incident Commander).',
      expect.stringMatching(new RegExp(`^Next update: ${TIME}\\.$`)),
      'Incident: INC-told, environment production.',
    ]);
    const posted = (await chat.posted()).filter((one) => one.text.includes('INC-told'));
    expect(posted.find((one) => one.chat === 'slack')?.text).toBe(`${String(first?.['subject'])}\n\n${String(first?.['body'])}`);
    expect(posted.find((one) => one.chat === 'discord')?.text).toMatch(/^INCIDENT: Rollback Initiated - INC-told[^]*Severity: P1[^]*Point of Contact: #inc-42/);
    expect(await bodyOf(handle, 'declared', 'status.log')).toMatch(/ - Investigating\n/);

    // Asked for before it is due, while a person is awaited: it is sent at once, and the clock stands still.
    const news = update({ note: 'we have found it', data: { risks: ['stale caches'] } });
    expect((await say(handle, 'confirm', { ...news, by: 'carol' })).refusal?.rule).toBe('role');
    await Promise.all([say(handle, 'confirm', news), say(handle, 'confirm', news)]);
    await eventually('it is sent', async () => (await templates(handle)).length === 2);
    const meanwhile = await world.until(handle, 'sent', (state) => updateState(state) === 'pending');
    expect(meanwhile.state).toBe('waiting');
    expect(await bodyOf(handle, 'update')).toMatch(
      new RegExp(
        '^Rollback target: told v1\\.0\\.0 \\(.*in place of v1\\.1\\.0\\)\\.\nActions completed:\n- .*[^]*\nActions in progress:\n- .*target.*\\(waiting for incident-commander\\)' +
          `\nRisks:\n- stale caches\n[^]*Next update: ${TIME}\\.\nIncident: INC-told, environment production\\.\nNote: we have found it\\.$`,
      ),
    );

    // Nobody says anything: it is due, its owner is reminded, once, and nothing is sent by itself.
    const due = await world.until(handle, 'due', (state) => updateState(state) === 'waiting');
    expect(due.clock.machineSeconds - waiting.clock.machineSeconds).toBeLessThan(1);
    expect(due.waiting.map((one) => [one.step, one.for])).toContainEqual(['communication.update', 'communications-owner']);
    await eventually('she is reminded', async () => (await reminders(handle)).length > 0);
    await confirmTarget(world, handle);
    await waitsFor(world, handle, 'ownership');
    await signRows(handle);
    await waitsFor(world, handle, 'unfreeze');
    const unfreeze = { step: 'unfreeze', by: 'carol' };
    expect((await say(handle, 'confirm', unfreeze)).refusal).toMatchObject({
      rule: 'unfreeze-conditions',
      explanation: 'nothing is unfrozen yet: "communication updates are sent" is not met (communication.update is waiting)',
    });
    expect(await templates(handle)).toEqual(['declared', 'update']);
    expect(await reminders(handle)).toEqual(['an update to stakeholders is due; communications-owner is awaited for communication.update']);
    // The same words again are another update, now that one is due.
    expect(await say(handle, 'confirm', news)).toMatchObject({ accepted: true });
    await world.until(handle, 'caught up', (state) => state.incidentCommand?.conditions[3]?.met === true);
    expect(await say(handle, 'confirm', unfreeze)).toMatchObject({ accepted: true });
    const end = await world.closed(handle);
    expect(end).toMatchObject({ outcome: 'rolled-back', incidentCommand: { nextUpdateAt: null } });
    expect(await templates(handle)).toEqual(['declared', 'update', 'update', 'recovery']);
    expect(new Set((await letters('stakeholders.log', handle)).map((one) => one['id'])).size).toBe(4);
    const [freeze] = await world.store.freezes({ incident: 'INC-told' });
    const last = (await letters('stakeholders.log', handle)).at(-1);
    expect(String(last?.['at']) < freeze!.lifted[0]!.at).toBe(true);
    expect(last?.['subject']).toBe('Portarium rollback complete - controlled unfreeze');
    expect(last?.['body']).toMatch(
      new RegExp(
        `^Rollback completed at: ${TIME}\\.\nVerification status: .+\nRemaining risks/follow-ups:\n- [^]*\nUnfreeze scope:\n- feature merges\n- claims of implementation work` +
          '\n- environment promotions\n- deployments\nPost-incident review owner: carol\\.',
      ),
    );
    expect(await bodyOf(handle, 'recovery', 'status.log')).toMatch(/ - Resolved\n/);
  });
});

describe('a channel that is dead', () => {
  it('[001 step 5] holds up no rollback and every unfreeze; told by hand, with where, or told at last, it is over', async () => {
    await chat.control({ hooks: { [HOOKS.slack]: 'deleted' } });
    const handle = await declared('untold');
    await confirmTarget(world, handle);
    const state = await waitsFor(world, handle, 'ownership');
    expect(state.stopped).toBeNull();
    expect(stepOf(state, 'communication.declared')).toMatchObject({
      state: 'failed',
      failure: { type: 'Undelivered' },
      receipt: { after: { sent: { stakeholders: '1 of 2' } } },
    });
    expect(state.waiting[0]).toMatchObject({ step: 'communication.declared', for: 'communications-owner', json: expect.stringMatching(/^decide /) as string });
    await eventually('its owner hears of it', async () =>
      (await reminders(handle)).some((text) =>
        text.startsWith('communication.declared failed: not everybody was told (declared): stakeholders: a Slack webhook: HTTP 404'),
      ),
    );
    await signRows(handle);
    await waitsFor(world, handle, 'unfreeze');
    const refusalOf = async () => (await say(handle, 'confirm', { step: 'unfreeze', by: 'carol' })).refusal?.explanation;
    expect(await refusalOf()).toMatch(/"communication updates are sent" is not met \(communication\.declared is failed/);
    const done = { step: 'communication.declared', by: 'cleo', action: 'done', reason: 'called them' };
    expect((await say(handle, 'decide', done)).refusal).toMatchObject({
      rule: 'evidence',
      explanation: expect.stringMatching(/a link to what was sent/) as string,
    });
    expect(await say(handle, 'decide', { ...done, evidence: ['https://mail/7'] })).toMatchObject({ accepted: true });

    // An update goes the same way: it may be said again, in the same words too, by the channel or by hand.
    const news = update({ note: 'nearly there' });
    const tried = async (): Promise<void> => {
      await say(handle, 'confirm', news);
      await world.until(handle, 'undelivered', (one) => updateState(one) === 'failed');
    };
    await tried();
    expect(await refusalOf()).toMatch(/communication\.update is failed\)$/);
    expect((await say(handle, 'decide', { ...done, step: 'communication.update' })).refusal?.rule).toBe('evidence');
    expect((await say(handle, 'decide', { ...done, step: 'communication.update', action: 'skip', due: '2099-12-01' })).refusal?.rule).toBe('not-skippable');
    await say(handle, 'decide', { ...done, step: 'communication.update', evidence: ['https://mail/8'] });
    await world.until(handle, 'told by hand', (one) => updateState(one) === 'pending' && one.incidentCommand?.conditions[3]?.met === true);
    await world.until(handle, 'due', (one) => updateState(one) === 'waiting');
    await tried();
    await chat.control({ hooks: {} });
    const slack = async (): Promise<number> => (await chat.posted()).filter((one) => one.chat === 'slack' && one.text.includes('INC-untold')).length;
    await say(handle, 'confirm', news);
    await eventually('it is told at last', async () => (await slack()) === 1);
    await world.until(handle, 'caught up', (one) => updateState(one) === 'pending');
    await chat.control({ hooks: { [HOOKS.slack]: 'archived' } });
    await say(handle, 'confirm', update({ note: 'once more' }));
    await world.until(handle, 'undelivered', (one) => updateState(one) === 'failed');
    await chat.control({ hooks: {} });
    await say(handle, 'decide', { step: 'communication.update', by: 'cleo', action: 'retry', reason: 'it is up again' });
    await eventually('it is told', async () => (await slack()) === 2);
    await world.until(handle, 'due', (one) => updateState(one) === 'waiting');
    // Whoever ends it now leaves it as it is: nobody was told.
    await say(handle, 'stop', { by: 'carol', reason: 'another way' });
    await say(handle, 'decide', { action: 'close', by: 'carol', reason: 'another way' });
    const end = await world.closed(handle);
    expect([end.outcome, updateState(end)]).toEqual(['partial', 'waiting']);
  });
});

describe('the review', () => {
  it('[001 step 4] is committed on a branch whose remote has moved, and moves again; nothing of anybody is lost', async () => {
    const branch = 'rollback/INC-shown';
    // Somebody pushes to that branch from elsewhere, somebody else has a commit of his own on it here.
    const elsewhere = join(world.folder, 'elsewhere');
    await mkdir(elsewhere);
    await git(elsewhere, 'clone', '--quiet', remote, '.');
    await git(elsewhere, 'checkout', '--quiet', '-b', branch, 'origin/main');
    await git(elsewhere, 'commit', '--quiet', '--allow-empty', '-m', 'from elsewhere');
    await git(elsewhere, 'push', '--quiet', 'origin', branch);
    await git(product, 'checkout', '--quiet', '-b', branch);
    await git(product, 'commit', '--quiet', '--allow-empty', '-m', 'only here');
    // A third one is quicker with his push than we are, once.
    await writeFile(
      join(remote, 'hooks', 'update'),
      '#!/bin/sh\n[ -e raced ] && exit 0\ntouch raced\nunset GIT_QUARANTINE_PATH\ngit update-ref "$1" "$(git -c user.name=t -c user.email=t@t commit-tree "$2^{tree}" -p "$2" -m quicker)"\nexit 1\n',
      { mode: 0o755 },
    );
    const handle = await declared('shown');
    await confirmTarget(world, handle);
    await waitsFor(world, handle, 'ownership');
    await signRows(handle);
    const checkedOut = await world.stopped(handle);
    expect(stepOf(checkedOut, 'review').failure).toMatchObject({
      type: 'ReviewFailed',
      message: `the branch ${branch} is checked out in ${product}; check out another one there, or configure another branch`,
      remedy: 'see what git says of the repository, then decide retry',
    });
    await git(product, 'checkout', '--quiet', 'main');
    // In a tree beside the repository it is as much in use.
    await git(product, 'worktree', 'add', '--quiet', join(world.folder, 'tree'), branch);
    const retry = { step: 'review', by: 'dora', action: 'retry', reason: 'another one is checked out' };
    await say(handle, 'decide', retry);
    await world.until(handle, 'in use', (state) => stepOf(state, 'review').failure?.message.includes(join(world.folder, 'tree')) === true);
    await git(product, 'worktree', 'remove', join(world.folder, 'tree'));
    await say(handle, 'decide', retry);
    const state = await world.until(handle, 'committed', (one) => stepOf(one, 'review').state === 'done');
    const { commit, path } = stepOf(state, 'review').receipt?.ids ?? {};
    expect(path).toBe(`docs/review/INC-shown-${state.rollbackId.slice(0, 8)}.md`);
    expect((await git(remote, 'log', '--format=%s', branch)).split('\n')).toEqual([
      'Verification of the rollback of INC-shown',
      'quicker',
      'from elsewhere',
      'first',
    ]);
    expect(await git(remote, 'rev-parse', branch)).toBe(commit);
    expect(await git(product, 'log', '--format=%s', '-n', '1', branch)).toBe('only here');
    expect(await git(product, 'status', '--porcelain')).toBe('');
    const text = await git(remote, 'show', `${branch}:${String(path)}`);
    expect(text).toMatch(/^# Verification of the rollback of INC-shown\n/);
    for (const row of [
      /^\| health \| done \|/m,
      /^\| Credential hygiene \| not-applicable \| sam \|/m,
      /^\| Evidence is rollback safe \| done \| dora \| chain-verification=https:\/\/ci\/verify\/7; /m,
    ])
      expect(text).toMatch(row);
  });
});

describe('the addresses of the channels', () => {
  it('are in no history, record, log or answer', async () => {
    const ids = ['INC-told', 'INC-untold'].map((incident) => `l1Rollback/production/${incident}`);
    const histories = await Promise.all(ids.map(async (id) => historyToJSON(await world.client.workflow.getHandle(id).fetchHistory())));
    const decoded = histories.join('').replaceAll(/"data": "([A-Za-z0-9+/=]+)"/g, (_, data: string) => Buffer.from(data, 'base64').toString('utf8'));
    let chain = '';
    for await (const entry of world.store.chain()) chain += entry.body;
    const logs = await Promise.all(['worker.log', 'incidents.log', 'stakeholders.log'].map((name) => readFile(join(world.folder, name), 'utf8')));
    const shown = await Promise.all(['show', 'report', 'why'].map((command) => world.cli([command, ids[1] ?? ''])));
    expect(decoded).toContain('a Slack webhook');
    for (const text of [decoded, chain, ...logs, ...shown.flatMap((one) => [one.stdout, one.stderr])])
      for (const hook of Object.values(HOOKS)) expect(text.includes(hook)).toBe(false);
  });
});
