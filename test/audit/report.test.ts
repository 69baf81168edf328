/** The incident report: what it says of each ending, and that nothing in it can pass for something else. */
import { describe, expect, test } from 'vitest';
import { markdownOf } from '../../client/report/markdown.ts';
import { reportOf } from '../../client/report/report.ts';
import type { Recorded } from '../../client/report/timeline.ts';
import type { RollbackState } from '../../model/state.ts';

const AT = (second: number): string => `2026-11-21T10:00:${String(second).padStart(2, '0')}.000Z`;
const ROLLBACK = '01a1fdec-ec78-71cc-8b47-b10cf201721e';

const step = (id: string, more: Partial<RollbackState['steps'][number]> = {}): RollbackState['steps'][number] => ({
  id,
  title: `Step ${id}`,
  mode: 'automatic',
  effect: 'deploy',
  component: 'web',
  owner: 'operator',
  operation: 'deploy',
  attests: null,
  fourEyes: false,
  state: 'done',
  attempts: 1,
  startedAt: AT(1),
  endedAt: AT(4),
  receipt: { before: { version: 'v1.1.0' }, after: { version: 'v1.0.0' }, ids: { pid: 42 } },
  failure: null,
  ...more,
});

const state = (more: Partial<RollbackState> = {}): RollbackState => ({
  rollbackId: ROLLBACK,
  id: 'deployRevert/production/web',
  runId: ROLLBACK,
  kind: 'deployRevert',
  environment: 'production',
  components: ['web'],
  tenant: null,
  incident: null,
  trigger: { type: 'verification', cause: 'smoke-failed', reason: 'checkout answers 500', by: 'ci', at: AT(0) },
  state: 'closed',
  outcome: 'rolled-back',
  planHash: 'sha256:plan',
  targets: [{ component: 'web', from: 'v1.1.0', to: 'v1.0.0', config: 'sha256:config' }],
  clock: { targetSeconds: 300, machineSeconds: 11.8, humanSeconds: 42, breached: false },
  steps: [step('web.deploy'), step('availability', { mode: 'manual', state: 'confirmed', attempts: 0, receipt: null })],
  waiting: [],
  answers: [{ name: 'confirm', step: 'availability', by: 'ana', proof: 'self-declared', at: AT(9), note: 'bought boots' }],
  remains: [],
  refusals: [],
  warnings: [],
  stopped: null,
  record: { entries: 9, head: 'sha256:head', behind: false },
  ...more,
});

const entries = (...of: { readonly at: string; readonly type: string; readonly [more: string]: unknown }[]): Recorded[] =>
  of.map((one, index) => ({ seq: index + 1, entry: { event: `${ROLLBACK}/${index}`, rollbackId: ROLLBACK, ...one } }));
const STORY = entries(
  {
    at: AT(0),
    type: 'opened',
    input: { by: 'ci', trigger: 'verification', cause: 'smoke-failed', reason: 'checkout answers 500', impact: '3 % of the orders', severity: 'SEV2' },
    plan: { targets: [{ component: 'web', from: 'v1.1.0', to: 'v1.0.0' }] },
  },
  { at: AT(4), type: 'step', step: 'web.deploy', state: 'failed', failure: { type: 'NotAtTarget', message: 'web is at v1.1.0' } },
  { at: AT(5), type: 'notice', notice: 'stopped', text: 'web.deploy failed', undelivered: ['a webhook'] },
  // Rode with a later entry, and was said before it.
  { at: AT(7), type: 'step', step: 'web.deploy', state: 'done', failure: null },
  {
    at: AT(8),
    type: 'answer',
    answer: {
      name: 'decide',
      step: 'web.deploy',
      by: 'ana',
      action: 'retry',
      reason: 'disk was full',
      analysis: 'freed 20 GB',
      proof: 'self-declared',
      at: AT(6),
    },
  },
  { at: AT(9), type: 'refusal', refusal: { rule: 'role', source: 'product.md 6', explanation: 'ben has no role', by: 'ben', at: AT(8), message: 'confirm' } },
  { at: AT(10), type: 'closed', outcome: 'rolled-back' },
  { at: AT(30), type: 'history', runId: ROLLBACK },
);
const report = (of: RollbackState, recorded: Recorded[] = STORY) =>
  reportOf({ state: of, recorded, sources: ['the state is what the workflow itself says'], madeAt: AT(59) });

describe('the report', () => {
  test('answers why it was executed, and to which version [002 section 10]', () => {
    expect(report(state()).summary).toBe(
      'ci asked for a rollback of web in production (verification, smoke-failed), because: checkout answers 500. It went back: web from v1.1.0 to v1.0.0. It ended rolled-back after 12 s of machine time and 42 s in which only people were awaited, within the target of 5 min 00 s.',
    );
  });

  test('tells what happened in the order of the clocks, and leaves out what happened to the evidence afterwards', () => {
    expect(report(state()).timeline.map((one) => `${one.at.slice(17, 19)} ${one.who}: ${one.what}`)).toEqual([
      '00 ci: started it (verification, smoke-failed): checkout answers 500. The plan: web from v1.1.0 to v1.0.0',
      '04 Backout: web.deploy: failed, web is at v1.1.0',
      '05 Backout: told the incident channel (stopped): web.deploy failed; not every channel took it',
      '06 ana: decided on web.deploy: retry: disk was full; freed 20 GB',
      '07 Backout: web.deploy: done',
      '08 ben: was refused (confirm): ben has no role',
      '10 Backout: closed it: rolled-back',
    ]);
  });

  test('has the clock, the steps with their receipts in short, and the answers with how they are known', () => {
    const text = markdownOf(report(state()));
    expect(text).toContain('| Machine time | 12 s |\n| People awaited | 42 s |\n| Together | 54 s |\n| Target (machine time) | 5 min 00 s, kept |');
    expect(text).toContain('| `web.deploy` | Step web.deploy | ✔ done | 1 | 3.0 s | v1.1.0 → v1.0.0; pid 42 |');
    expect(text).toContain('| 2026-11-21 10:00:09 | ana | confirm | `availability` | self-declared |');
    expect(text).toContain('backout audit deployRevert/production/web');
    expect(text).toContain('`sha256:head`');
  });

  test('marks what only a person can say as not filled, and takes over what the start said', () => {
    const { open } = report(state());
    expect(open.map((one) => one.answer)).toEqual(['3 % of the orders', null, null, null, null, null]);
    expect(markdownOf(report(state())).split('Not filled: to be written by a person.')).toHaveLength(6);
  });

  test('of a missed target, of remains and of refusals says so', () => {
    const late = report(
      state({
        outcome: 'failed',
        clock: { targetSeconds: 5, machineSeconds: 11.8, humanSeconds: 0, breached: true },
        remains: [{ artifact: 'web', reason: 'disk full', owner: null }],
        warnings: ['no smoke test'],
        refusals: [{ rule: 'role', source: 'product.md 6', explanation: 'ben has no role', by: 'ben', at: AT(8), message: 'confirm' }],
      }),
    );
    const text = markdownOf(late);
    expect(late.summary).toContain('The plan was to go back: web from v1.1.0 to v1.0.0. It ended failed');
    for (const part of ['5.0 s, **missed**', '| web | disk full | nobody yet |', '## What was refused', '## Warnings\n\n- no smoke test'])
      expect(text).toContain(part);
  });

  test('of one that is not closed says how things stand, and who is awaited', () => {
    const text = markdownOf(
      report(
        state({ state: 'waiting', outcome: null, waiting: [{ step: 'availability', for: 'operator', since: AT(9), answer: 'backout confirm X', json: '' }] }),
      ),
    );
    expect(text).toContain('# Rollback of web to v1.0.0: waiting');
    expect(text).toContain('> This rollback is not closed.');
    expect(text).toContain('- operator, for `availability`: `backout confirm X`');
    expect(text).toContain('| Ended | not closed |');
  });

  test('of a refused start says that nothing was changed, and why', () => {
    const refused = entries({
      at: AT(0),
      type: 'refused',
      input: null,
      refusal: { rule: 'cause', source: '[002 section 3]', explanation: 'that is no cause', by: 'ci', at: AT(0) },
    });
    const text = markdownOf(
      report(
        state({
          outcome: 'refused',
          targets: [],
          steps: [],
          answers: [],
          refusals: [{ rule: 'cause', source: '[002 section 3]', explanation: 'that is no cause', by: 'ci', at: AT(0) }],
          planHash: null,
        }),
        refused,
      ),
    );
    expect(text).toContain('It was refused and nothing was changed: that is no cause');
    expect(text).toContain('refused the start of ci');
    expect(text).not.toContain('## Steps');
  });

  test('without the record is made from the state', () => {
    expect(report(state(), []).timeline.map((one) => one.what)).toEqual([
      'started it (verification, smoke-failed): checkout answers 500',
      'web.deploy: done',
      'confirmed availability: bought boots',
    ]);
  });

  test('lets nothing that people or platforms said become a table, a heading, a link or a command of the terminal', () => {
    const evil = '| x |\n# owned <b> [a](http://b) `c` *d* \u001B[2J';
    const text = markdownOf(report(state({ trigger: { ...state().trigger, reason: evil, by: evil }, warnings: [evil] })));
    expect(text).not.toContain('\u001B');
    expect(text).not.toMatch(/^# owned/m);
    expect(text).not.toMatch(/[^\\]<b>/);
    expect(text).toContain(String.raw`- \| x \| \# owned \<b\> \[a\](http://b) \`c\` \*d\*`);
    for (const line of text.split('\n').filter((one) => one.startsWith('| Started'))) expect(line.match(/[^\\]\|/g)).toHaveLength(2);
  });
});
