/** The incident report: what it says of each ending, and that nothing in it can pass for something else. */
import { describe, expect, test } from 'vitest';
import { markdownOf } from '../../client/report/markdown.ts';
import { reportOf } from '../../client/report/report.ts';
import type { Recorded } from '../../client/report/timeline.ts';
import type { RollbackState } from '../../model/state.ts';
import { given, longNight, made, planOf, type GivenOptions, type Telling } from './incident-given.ts';

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

/** Fields of the JSON as it was before incidents were reported; programs read them. */
const RELEASED = [
  'id rollbackId kind environment components targets trigger incident state outcome startedAt endedAt summary clock timeline steps answers refusals warnings',
  'remains waiting record planHash verify open sources madeAt',
].flatMap((line) => line.split(' '));

describe('the report of a deployRevert', () => {
  test('keeps every field it had, and has nothing of an incident', () => {
    expect(Object.keys(report(state()))).toEqual(expect.arrayContaining(RELEASED));
    expect(Object.keys(report(state()).steps[0] ?? {})).toEqual(['id', 'title', 'state', 'attempts', 'startedAt', 'endedAt', 'evidence']);
    expect(report(state())).toMatchObject({ incidentCommand: null, incident: { number: null, severity: 'SEV2', detectedAt: null, contact: null } });
  });

  const gate = (id: string, more: Partial<RollbackState['steps'][number]> = {}) =>
    step(id, { mode: 'gate', effect: 'read', operation: 'smoke', owner: null, receipt: null, ...more });

  test('tells what was proven, who decided, and how long an operator was awaited', () => {
    const of = state({
      steps: [
        step('web.deploy'),
        gate('web.smoke', { receipt: { after: [{ command: './smoke', exit: '0', seconds: 2 }] } }),
        gate('web.served', { operation: 'served', receipt: { after: { url: 'http://x', version: 'v1.0.0' } } }),
        step('availability', { mode: 'manual', operation: null, state: 'confirmed', attempts: 0, receipt: null, startedAt: AT(7), endedAt: AT(9) }),
      ],
    });
    const told = report(of);
    expect(told.gates.map((one) => [one.step, one.verdict, one.detail])).toEqual([
      ['web.smoke', 'passed', ''],
      ['web.served', 'passed', 'serves v1.0.0'],
    ]);
    expect(told.decisions).toMatchObject([{ by: 'ana', what: 'confirmed that the service is available again', why: 'bought boots', proof: 'self-declared' }]);
    expect(told.waitingTimes).toMatchObject({
      waits: [{ step: 'availability', awaited: 'operator', seconds: 2, answeredBy: 'ana' }],
      byRole: [{ role: 'operator', seconds: 2, waits: 1 }],
    });
    // The failed step was decided about, but that decision is of the record only.
    expect(
      report({
        ...of,
        answers: [...of.answers, { name: 'decide', step: 'web.deploy', by: 'ana', action: 'retry', reason: 'r', proof: 'self-declared', at: AT(6) }],
      }).waitingTimes.waits[0],
    ).toMatchObject({
      step: 'web.deploy',
      asked: 'decision',
      since: AT(4),
      seconds: 2,
    });
  });

  test('leaves follow-ups: the analysis within 48 hours, the release planned again, what was not checked', () => {
    const unchecked = gate('web.health', { operation: 'health', state: 'skipped', receipt: { detail: 'no health check is configured: nothing was checked' } });
    const left = report(state({ steps: [...state().steps, unchecked] }));
    expect(left.followUps.map((one) => [one.owner, one.due, one.source])).toEqual([
      ['ana', null, 'unchecked, web.health'],
      ['ana', '2026-11-23T10:00:10.000Z', 'post-mortem within 48 hours [004 section 6.2]'],
      ['ana', '2026-11-22T10:00:10.000Z', 'short-term actions within 24 hours [004 section 8.2]'],
    ]);
    expect(left.safeguards.filter((one) => one.seenIn === 'web.health')).toEqual([
      {
        gap: 'web has no health check: nothing was looked at',
        change: 'add environments.production.components.web.health',
        where: 'backout.yaml',
        seenIn: 'web.health',
      },
    ]);
    expect(markdownOf(left)).toContain('| Look at web by hand, and configure what is missing: no health check was there, so nothing was checked | ana |  |\n');
  });

  test('shows an open wait up to now, and what is not done yet', () => {
    const waiting = [{ step: 'availability', for: 'operator', since: AT(9), answer: 'backout confirm X --step availability', json: '' }];
    const open = report(
      state({
        state: 'waiting',
        outcome: null,
        answers: [],
        waiting,
        steps: [step('web.deploy'), step('availability', { mode: 'manual', state: 'waiting', endedAt: null })],
      }),
    );
    expect(open.waitingTimes.waits).toMatchObject([{ step: 'availability', asked: 'answer', since: AT(9), until: null, seconds: 50, answeredBy: null }]);
    expect(open.inShort.remains.slice(0, 2)).toEqual(['Awaited: operator, for availability.', '1 of 2 steps are not done: availability.']);
  });

  test('finds the gaps that the run shows', () => {
    const gaps = (of: RollbackState, ...more: Parameters<typeof entries>): string[] =>
      report(of, entries(...more)).safeguards.map((one) => `${one.where}: ${one.gap}`);
    const alone = state({ trigger: { ...state().trigger, by: 'ana' } });
    expect(gaps(alone)).toEqual(['backout.yaml: ana started it and confirmed availability alone']);
    expect(gaps({ ...alone, steps: alone.steps.map((one) => ({ ...one, fourEyes: true })) })).toEqual([]);
    expect(gaps(state({ clock: { ...state().clock, machineSeconds: 400, breached: true } }))).toEqual([
      'runbook: The time target of 300 s was missed: 6 min 40 s of machine time',
    ]);
    expect(gaps(state(), { at: AT(3), type: 'drift', component: 'web', failure: { message: 'm' } })).toEqual([
      'runbook: web was changed after it had been put back: a person, or an automation that deploys the newest version again',
    ]);
    expect(
      gaps(state(), {
        at: AT(3),
        type: 'notice',
        notice: 'handed-over',
        text: 'nobody has answered availability; handed over to on-call-lead',
        undelivered: ['a webhook could not be told: 500'],
      }),
    ).toEqual([
      'backout.yaml: Not every incident channel took what it was told: a webhook could not be told: 500',
      'backout.yaml: Nobody answered availability in time, and it was handed over',
    ]);
    expect(gaps(state(), { at: AT(3), type: 'resumed', input: { resumes: { by: 'ana', reason: 'r' } } })).toEqual([
      'runbook: Its execution was ended from outside while it was open',
    ]);
    expect(gaps(state(), { at: AT(40), type: 'notice', notice: 'degraded', text: 'after the rollback: web: HTTP 500', undelivered: [] })).toEqual([
      'runbook: It got worse after it had been confirmed',
    ]);
  });
});

describe('the gaps of an incident rollback', () => {
  const gaps = (
    plan: Parameters<typeof planOf>[0],
    story: (telling: Telling) => void = () => undefined,
    options: Omit<GivenOptions, 'plan'> = {},
  ): string[] => {
    const one = given(story, { plan: planOf(plan), ...options });
    return made(one.fromWorker, one.recorded).safeguards.map((gap) => gap.gap);
  };
  const every = gaps({ gates: [], carriers: [], review: false, parity: false });

  test.each([
    'No gate covers the checks of CI, such as npm run ci:pr [001 step 4]',
    'No gate covers evidence and event emission [001 step 4]',
    "The critical endpoints of api were not compared with the target's own document [001 step 3a]",
    'The freeze was held by the register alone: no platform refused a merge, a promotion or a deployment',
    'The results of the gates were not committed for review [001 step 4]',
    'For web, the state of its migrations and the cutover point of evidence and event stream did not stand beside the target [001 step 2]',
  ])('%s', (gap) => {
    expect(every).toContain(gap);
  });

  test('are none of these where everything is configured', () => {
    expect(gaps({}, longNight).filter((gap) => /gate|register alone|committed|api/.test(gap))).toEqual([]);
  });

  test('are roles that nobody held, people that are not configured, channels that are not there, configuration that was not recorded', () => {
    expect(gaps({}, undefined, { roles: { 'incident-commander': ['carol'] } })).toContain('Nobody had the role Security Lead');
    expect(gaps({}, undefined, { warnings: ['no people are configured: anyone may declare, confirm and unfreeze, self-declared'] })).toContain(
      'No people are configured: anyone could declare, confirm and unfreeze, by his own word',
    );
    const told = ({ ran }: Telling): void =>
      ran('communication.declared', ['03:02:02', '03:02:03'], 'done', { after: { subject: 'S', sent: { stakeholders: '0 of 0', internal: '1 of 1' } } });
    expect(gaps({}, told)).toContain('No channel for stakeholders is configured: what was to be told them was told nobody');
    const unrecorded = ({ ran }: Telling): void =>
      ran('web.config', ['03:02:02', '03:02:03'], 'skipped', { detail: 'no configuration was recorded with the target' });
    expect(gaps({}, unrecorded)).toContain('No configuration of web was recorded with its target, so drifted keys could not be set back [001 step 3b]');
  });

  test('are not guessed from the record alone: who never answered may have been there', () => {
    const one = given(() => undefined, {});
    expect(made(one.fromRecord, one.recorded).safeguards.filter((gap) => gap.seenIn === 'roles')).toEqual([]);
    const warned = given(() => undefined, { warnings: ['nobody has the role incident-commander: assign it to somebody'] });
    expect(made(warned.fromRecord, warned.recorded).safeguards.filter((gap) => gap.seenIn === 'roles')).toMatchObject([
      { gap: 'Nobody had the role Incident Commander' },
    ]);
  });
});
