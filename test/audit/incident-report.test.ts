/** The deliverables of an incident rollback [001 Post-Rollback Deliverables, 004 section 8]: told by the worker, by the record alone, and by the state alone. */
import { describe, expect, test } from 'vitest';
import { followUpsDocument, followUpsMarkdown, markdownOf } from '../../client/report/markdown.ts';
import type { Report } from '../../client/report/report.ts';
import type { IncidentReport } from '../../client/report/command.ts';
import type { Freeze } from '../../model/freeze.ts';
import { at, given, ID, longNight, made, PLAN, PLAN_2, planOf, ROLLBACK, TARGETS, type Given, type Telling } from './incident-given.ts';

const night = given(longNight);
const [byWorker, byRecord, byState] = [made(night.fromWorker, night.recorded), made(night.fromRecord, night.recorded), made(night.fromWorker, [])];
const command = ({ incidentCommand }: Report): IncidentReport => {
  if (!incidentCommand) throw new Error('the report is of no incident');
  return incidentCommand;
};
const all = [...new Set(['merges', 'claims', 'promotions', 'deployments'])];
/** Declared and frozen, and then what the test is about. */
const declared =
  (then: (telling: Telling) => void = () => undefined) =>
  (telling: Telling) => {
    telling.say('03:02:00', 'confirm', 'carol', 'declaration', { data: { criticalArea: 'orders', missedWindow: 'the window of 02:30' } });
    telling.put('03:02:01', 'freeze', {
      environment: 'production',
      incident: 'INC-42',
      by: 'carol',
      scopes: all,
      exceptions: { roles: ['api-lead'], items: ['incident'] },
    });
    telling.ran('freeze', ['03:02:00', '03:02:01'], 'done', { after: { environments: ['production'], scopes: all } });
    then(telling);
  };
const reportOn = (one: Given, from: 'fromWorker' | 'fromRecord' = 'fromWorker'): Report => made(one[from], one.recorded);

describe.each([
  ['the worker', byWorker],
  ['the record alone', byRecord],
])('an incident report from %s', (_, report) => {
  const incident = command(report);

  test('says who declared what, and who held which role', () => {
    expect(incident.declaration).toEqual({
      by: 'carol',
      at: at('03:02:00'),
      level: 'L1',
      trigger: 'ci-failed-in-critical-area',
      reason: 'npm run ci:pr fails in orders, and orders are lost',
      criticalArea: 'orders',
      missedWindow: 'the release window of 02:30',
    });
    expect(incident.roles.find((one) => one.role === 'incident-commander')).toMatchObject({
      title: 'Incident Commander',
      holders: ['dan'],
      acted: ['carol', 'dan'],
      handOvers: [{ at: at('03:05:00'), from: 'carol', to: 'dan', by: 'carol', reason: 'I have been up since five' }],
    });
    // Decided about a step of his, and never led.
    expect(incident.roles.find((one) => one.role === 'api-lead')).toMatchObject({ holders: ['abe'], acted: ['abe'] });
    expect(report.incident).toMatchObject({ number: 'INC-42', severity: 'P1', contact: '#inc-42' });
  });

  test('says what stood still, since when, who was let through, and who lifted it', () => {
    const lifted = all.map((scope) => ({ scope, at: at('03:40:04'), by: 'dan' }));
    const frozen = { scopes: all, frozenAt: at('03:02:01'), by: 'carol', lifted, inForce: [] };
    expect(incident.freeze).toEqual({
      environments: [
        { environment: 'production', ...frozen },
        { environment: 'staging', ...frozen },
      ],
      exceptions: { roles: ['incident-commander', 'api-lead', 'infrastructure-lead'], items: ['rollback', 'incident'] },
      carriers: [{ carrier: 'github', state: 'lifted', at: at('03:40:03'), detail: null }],
      inForce: [],
    });
  });

  test('compares now and then, with what changes from minute to minute as it was last seen', () => {
    expect(incident.comparison.map((one) => one.component)).toEqual(['api', 'web']);
    expect(incident.comparison[0]?.rows).toEqual([
      { what: 'version', now: 'v2.6.0', then: 'v2.5.3' },
      { what: 'commit', now: '9f31c07', then: '41c09aa' },
      { what: 'migrations', now: '0042_orders', then: '0041_carts' },
      { what: 'cutover', now: 'orders@119021', then: 'orders@118204' },
    ]);
  });

  test('has the verdict of every check, every run of it, and the kept output with its hash', () => {
    expect(report.gates.map((one) => `${one.step} ${one.verdict} ${one.runs.length}`)).toEqual([
      'health passed 2',
      'smoke passed 2',
      'served passed 2',
      'parity passed 2',
      'gate.ci-pr failed 2',
      'gate.emission inconclusive 2',
      'stability passed 2',
    ]);
    const gate = report.gates.find((one) => one.step === 'gate.ci-pr');
    expect(gate?.evidence).toEqual({ file: `/srv/.backout/evidence/${ROLLBACK}/ci-pr-2.log`, sha256: 'ab12'.repeat(16), bytes: 18_204 });
    expect(gate?.runs[0]?.evidence?.file).toContain('ci-pr.log');
    expect(report.gates[0]?.byComponent).toEqual({ api: 'passed', web: 'unchecked' });
  });

  test('shows the checklist item by item, risks and blockers with who signed for them', () => {
    expect(incident.cleanup.map(({ step, answer, by, note, evidence }) => ({ step, answer, by, note, evidence }))).toEqual([
      {
        step: 'cleanup.data',
        answer: 'not-applicable',
        by: 'dora',
        note: 'no schema and no data was touched',
        evidence: [
          { item: 'repair-notes', text: null },
          { item: 'tenant-isolation-test', text: null },
        ],
      },
      {
        step: 'cleanup.evidence',
        answer: 'done',
        by: 'dora',
        note: null,
        evidence: [
          { item: 'chain-verification', text: 'https://ci/verify/7' },
          { item: 'incident-links', text: 'https://wiki/INC-42' },
          { item: 'beside that', text: 'the sheet in the drive' },
        ],
      },
      {
        step: 'cleanup.credentials',
        answer: 'not-applicable',
        by: 'sam',
        note: 'no credential was in the release',
        evidence: [
          { item: 'rotation-log', text: null },
          { item: 'scope-verification', text: null },
        ],
      },
    ]);
    expect(incident.ownership).toMatchObject({ by: 'dan', nextCycleOwner: 'abe', reviewOwner: 'ivy' });
    // Signed again after the drift: one signature each, the last.
    expect(incident.acceptedRisks).toMatchObject([{ step: 'gate.emission', by: 'dan', proof: 'self-declared', at: at('03:30:50'), due: '2026-11-28' }]);
    expect(incident.baselineBlockers).toMatchObject([
      { step: 'gate.ci-pr', by: 'dan', at: at('03:30:30'), link: 'https://tracker/CART-7', failedBefore: 'https://ci/main/8817', due: null },
    ]);
  });

  test('shows each condition of the unfreeze, met and by what', () => {
    expect(incident.unfreeze.conditions.map((one) => one.met)).toEqual([true, true, true, true]);
    expect(incident.unfreeze.conditions[1]?.by).toContain('gate.ci-pr signed off by dan');
    expect(incident.unfreeze.confirmed).toEqual([{ by: 'dan', at: at('03:40:00'), scopes: null }]);
  });

  test('lists what was told whom, and where it was committed for review', () => {
    expect(incident.communications.map(({ template, at: when, subject, sent }) => [template, when, subject, sent['stakeholders']])).toEqual([
      ['declared', at('03:02:04'), 'Portarium delivery rollback declared - 2026-11-21 03:02 UTC', '1 of 1'],
      ['update', at('03:34:01'), 'Portarium rollback in progress - 2026-11-21 03:34 UTC', '1 of 1'],
      ['recovery', at('03:40:01'), 'Portarium rollback complete - controlled unfreeze', '1 of 1'],
    ]);
    expect(incident.review).toEqual({ commit: '77d0c5b1e2', branch: 'rollback/INC-42', path: 'docs/review/INC-42-01a1fdec.md', remote: 'origin' });
  });

  test('tells of takeovers, of void confirmations and of drift', () => {
    expect(incident.takeovers).toEqual([{ at: at('03:02:40'), by: 'carol', choice: 'take-over', from: 'deployRevert/production/web', components: ['web'] }]);
    // The plan that took its place is the same event, told once.
    expect(incident.voided).toEqual([
      { step: 'target', at: at('03:04:02'), by: 'carol', confirmedAt: at('03:04:00'), plan: PLAN, why: 'config SESSION_KEY of web is not what the plan shows' },
    ]);
    expect(report.drift.map(({ what, subject }) => [what, subject])).toEqual([
      ['component', 'web'],
      ['component', 'web'],
    ]);
  });

  test('lists every decision with who, when and why', () => {
    const lines = report.decisions.map((one) => `${one.at.slice(11, 19)} ${one.by} ${one.what}${one.why === null ? '' : `: ${one.why}`}`);
    expect(lines.slice(0, 5)).toEqual([
      '03:02:00 carol declared rollback mode: orders are being lost',
      '03:02:40 carol took over the components of another rollback',
      `03:04:00 carol confirmed the target, plan ${PLAN}`,
      `03:06:00 dan confirmed the target, plan ${PLAN_2}`,
      '03:07:30 abe decided to try web.deploy again: freed 20 GB',
    ]);
    expect(lines.at(-1)).toBe('03:40:00 dan confirmed the unfreeze');
    expect(report.decisions.find((one) => one.due !== null)).toMatchObject({ step: 'gate.emission', action: 'skip', due: '2026-11-28', by: 'dan' });
  });

  test('tells how long who was awaited, and counts what was awaited at once only once', () => {
    const waits = report.waitingTimes.waits.map(
      (one) => `${one.since.slice(11, 19)} ${one.step ?? ''} ${one.asked} ${one.awaited} ${one.seconds} ${one.answeredBy ?? ''}`,
    );
    expect(waits).toEqual([
      '02:58:10 declaration answer incident-commander 230 carol',
      '03:02:05 takeover answer incident-commander 35 carol',
      // Asked twice: the first time ended void.
      '03:02:45 target answer incident-commander 75 carol',
      '03:04:08 target answer incident-commander 112 dan',
      '03:06:12 web.deploy decision api-lead 78 abe',
      '03:08:21 gate.ci-pr decision incident-commander 639 dan',
      '03:08:25 gate.emission decision data-evidence-lead 695 dan',
      // Answered before it was asked.
      '03:14:00 cleanup.evidence answer data-evidence-lead 0 dora',
      '03:20:00 cleanup.data answer data-evidence-lead 60 dora',
      '03:20:00 cleanup.credentials answer security-lead 240 sam',
      '03:20:00 ownership answer incident-commander 300 dan',
      // Since the drift, not since its first failure.
      '03:26:02 web.deploy decision api-lead 178 abe',
      '03:29:30 gate.emission decision data-evidence-lead 80 dan',
      '03:29:49 gate.ci-pr decision incident-commander 41 dan',
      '03:31:52 unfreeze answer incident-commander 488 dan',
      '03:32:04 communication.update answer communications-owner 116 cleo',
    ]);
    expect(report.waitingTimes.byRole.find((one) => one.role === 'incident-commander')).toEqual({
      role: 'incident-commander',
      seconds: 230 + 35 + 75 + 112 + 639 + 300 + 41 + 488,
      waits: 8,
    });
    // 03:08:25 to 03:20:00 covers 03:14:00; 03:20:00 to 03:21:00 follows it.
    expect(report.waitingTimes.byRole.find((one) => one.role === 'data-evidence-lead')?.seconds).toBe(695 + 60 + 80);
  });

  test('answers at its top what happened, who decided, what was proven, what remains', () => {
    const { happened, decided, proven, remains } = report.inShort;
    expect(happened.slice(1)).toEqual([
      'Frozen: production and staging (merges, claims, promotions, deployments), from 03:02 UTC until 03:40 UTC.',
      'Meanwhile reality moved: web was put back to v1.0.0, and now releases has v1.1.0 in place.',
    ]);
    expect(decided).toContain('03:05 UTC: carol gave the role Incident Commander to dan');
    expect(decided.at(-2)).toBe('03:40 UTC: dan confirmed the unfreeze');
    expect(proven.slice(0, 3)).toEqual([
      '5 of 7 checks passed: health (web unchecked), smoke, served, parity, stability.',
      'Failed: gate.ci-pr (known baseline blocker, by dan).',
      'Could not tell: gate.emission (accepted as risk by dan until 2026-11-28).',
    ]);
    expect(remains).toHaveLength(report.followUps.length);
    for (const title of ['Who decided', 'What was proven', 'What remains']) expect(markdownOf(report)).toContain(`### ${title}`);
  });
});

test('what the record alone tells is what the worker tells, but for who holds a role that nobody answered in', () => {
  for (const part of ['gates', 'decisions', 'waitingTimes', 'drift', 'timeline'] as const) expect(byRecord[part], part).toEqual(byWorker[part]);
  const { roles: told, ...rest } = command(byWorker);
  expect(command(byRecord)).toMatchObject(rest);
  expect(told.map((one) => one.known)).toEqual(Array.from({ length: 6 }, () => 'configured'));
  expect(command(byRecord).roles.find((one) => one.role === 'infrastructure-lead')).toMatchObject({ holders: [], known: 'unknown' });
  expect(byWorker.followUps.find((one) => one.source === 'unchecked, health')?.owner).toBe('ivy');
  expect(byRecord.followUps.find((one) => one.source === 'unchecked, health')?.owner).toBe('infrastructure-lead');
});

test('without the record the state still says what was frozen, checked, decided and left', () => {
  expect(command(byState).freeze.environments.map((one) => [one.environment, one.inForce])).toEqual([
    ['production', []],
    ['staging', []],
  ]);
  expect(byState.gates.map((one) => one.verdict)).toEqual(byWorker.gates.map((one) => one.verdict));
  expect(byState.decisions).toEqual(byWorker.decisions);
  expect(command(byState).baselineBlockers).toHaveLength(1);
  expect(byState.inShort.proven.at(-1)).toBe('The record could not be read for this report.');
});

describe('follow-ups', () => {
  const lines = (report: Report): string[] => report.followUps.map((one) => `${one.action} | ${one.owner} | ${one.due ?? '-'} | ${one.source}`);

  test('name an action, a person and a date, and where they come from', () => {
    expect(lines(byWorker)).toEqual([
      'Mend the known baseline blocker gate.ci-pr, tracked at https://tracker/CART-7: carts › totals fails on main for a week | dan | - | baseline blocker, gate.ci-pr',
      'Settle the accepted risk of gate.emission (emission passes): the collector is slow at night | dan | 2026-11-28 | accepted risk, gate.emission',
      'Look at web by hand, and configure what is missing: no health check was there, so nothing was checked | ivy | - | unchecked, health',
      'Find out who or what did this, and keep it from happening again: web was put back to v1.0.0, and now releases has v1.1.0 in place | abe | - | drift, web',
      'Check api against its schema: the migrations are at 0042_orders, and were at 0041_carts with the version it went back to | dora | - | comparison of now and then [001 step 2]',
      // The start was CI's: a machine cannot answer.
      'Answer why it was started 8 minutes after it was detected | dan | - | late start without a justification [002 section 3]',
      'Write the root cause, the lessons learned and the prevention into the post-mortem, and share it | ivy | 2026-11-23T03:50:30.000Z | post-mortem within 48 hours [004 section 6.2]',
      'Mend what was taken back, test it in staging and plan its re-deployment: api, web | abe | 2026-11-22T03:50:30.000Z | short-term actions within 24 hours [004 section 8.2]',
    ]);
  });

  test('of a partial end are the freeze that stays, said once, and what was left', () => {
    const remains = [
      { artifact: 'web.deploy', reason: 'not attempted', owner: 'api-lead' },
      { artifact: 'freeze of merges in production', reason: 'stays', owner: 'incident-commander' },
    ];
    const one = given(declared(), { outcome: 'partial', frozen: all, worker: { remains } });
    expect(lines(reportOn(one)).slice(0, 2)).toEqual([
      'Lift the freeze of merges, claims, promotions, deployments in production by a controlled unfreeze: start the rollback of this incident again to come to it: backout start l1Rollback --environment production --component api web --to api=v2.5.3 --to web=v1.0.0 --incident INC-42 --cause ci-failed-in-critical-area --reason WHY --by YOU | dan | - | freeze still in force [001 step 5]',
      'Settle what was left: web.deploy: not attempted | abe | - | what remains',
    ]);
    expect(reportOn(one).inShort.happened[1]).toContain('Still frozen: merges, claims, promotions, deployments.');
    // The record alone sees that nothing was lifted.
    expect(command(reportOn(one, 'fromRecord')).freeze.inForce).toEqual(all);
  });

  test.each([
    ['without a finding', [], 'Find out why the time target of 900 s was missed', 'dan'],
    ['with its finding', ['the registry was slow'], 'Act on the finding, so that the time target of 900 s is kept next time: the registry was slow', 'carol'],
  ])('of a missed target %s', (_, findings, action, owner) => {
    const one = given(
      declared(({ put, say }) => {
        put('03:20:00', 'breach', { targetSeconds: 900, machineMs: 900_100 });
        for (const note of findings) say('03:25:00', 'confirm', 'carol', 'investigation', { note });
      }),
      { outcome: 'rolled-back-late', clock: { machineMs: 905_000, humanMs: 0, breached: true } },
    );
    expect(reportOn(one).followUps).toContainEqual({ action, owner, due: null, source: 'time target missed [002 section 7]' });
    const waits = reportOn(one).waitingTimes.waits.filter((wait) => wait.step === 'investigation');
    expect(waits.map((wait) => [wait.seconds, wait.answeredBy])).toEqual(findings.map(() => [300, 'carol']));
  });

  test('are a checklist in Markdown and a document in JSON', () => {
    const text = followUpsMarkdown(byWorker);
    expect(text).toContain('# Follow-ups of `l1Rollback/production/INC-42`');
    expect(text.match(/^- \[ \] /gm)).toHaveLength(8);
    expect(text).toContain('(owner: dan; due: 2026-11-28; from: accepted risk, gate.emission)');
    expect(followUpsDocument(byWorker)).toMatchObject({ id: ID, incident: 'INC-42', outcome: 'rolled-back', followUps: byWorker.followUps });
    const refused = given(() => undefined, { outcome: 'refused', input: { detectedAt: null } });
    expect(followUpsMarkdown(reportOn(refused))).toContain('Nothing is left to follow up.');
  });
});

describe('the freeze', () => {
  const freeze = (more: Partial<Freeze> = {}): Freeze => ({
    freezeId: 'f1',
    environment: 'production',
    incident: 'INC-42',
    rollbackId: ROLLBACK,
    workflowId: ID,
    by: 'carol',
    at: at('03:02:01'),
    scopes: ['merges', 'claims', 'promotions', 'deployments'],
    inForce: [],
    lifted: [],
    exceptions: { roles: [], items: [] },
    event: 'e',
    ...more,
  });

  test('is what the register says now: a later rollback of the incident may have lifted it', () => {
    const one = given(declared(), { outcome: 'partial', frozen: all });
    const lifted = (['merges', 'claims', 'promotions', 'deployments'] as const).map((scope) => ({
      scope,
      by: 'dan',
      at: at('09:00:00'),
      rollbackId: 'later',
      event: 'u',
    }));
    const report = made(one.fromWorker, one.recorded, { freezes: [freeze({ lifted }), freeze({ freezeId: 'f2', at: at('08:00:00') })] });
    expect(command(report).freeze).toMatchObject({
      inForce: [],
      environments: [{ frozenAt: at('03:02:01'), inForce: [], lifted: [{ by: 'dan', at: at('09:00:00') }, {}, {}, {}] }],
    });
    expect(report.followUps.some((follow) => follow.action.startsWith('Lift the freeze'))).toBe(false);
  });

  test('that an earlier rollback of the incident left behind is said to be', () => {
    const one = given(({ say, ran }) => {
      say('03:02:00', 'confirm', 'carol', 'declaration', {});
      ran('freeze', ['03:02:00', '03:02:01'], 'already', { after: { environments: ['production'], scopes: ['merges'] } });
    });
    expect(command(reportOn(one, 'fromRecord')).freeze.environments).toEqual([
      { environment: 'production', scopes: ['merges'], frozenAt: null, by: null, lifted: [], inForce: ['merges'] },
    ]);
    expect(markdownOf(reportOn(one))).toContain('by an earlier rollback of the incident');
  });

  test('that is lifted in scopes shows when each was, and what is left', () => {
    const unfreeze = (telling: Telling, time: string, by: string, scopes: readonly string[]): void => {
      telling.say(time, 'confirm', by, 'unfreeze', { data: { scopes } });
      telling.put(time, 'unfreeze', { environment: 'production', incident: 'INC-42', by: 'carol', scopes });
    };
    const one = given(
      declared((telling) => {
        unfreeze(telling, '03:30:00', 'dan', ['merges']);
        unfreeze(telling, '03:40:00', 'carol', ['merges', 'claims']);
      }),
    );
    expect(command(reportOn(one, 'fromRecord')).freeze.environments[0]).toMatchObject({
      lifted: [
        { scope: 'merges', at: at('03:30:00'), by: 'dan' },
        { scope: 'claims', at: at('03:40:00'), by: 'carol' },
      ],
      inForce: ['promotions', 'deployments'],
    });
    expect(
      reportOn(one)
        .decisions.map((decision) => decision.what)
        .slice(1),
    ).toEqual(['confirmed the unfreeze of merges', 'confirmed the unfreeze of merges, claims']);
  });

  test.each([
    ['let go', [['decide', 'skip', { due: '2026-12-01' }]] as const, 'left-to-people'],
    ['not decided about', [] as const, 'failed'],
  ])('on a platform that cannot hold it, %s', (_, decisions, state) => {
    const one = given(
      declared(({ ran, say }) => {
        ran('freeze.github', ['03:02:00', '03:02:02'], 'failed', null, ['Unauthorized', 'github says 401']);
        for (const [name, action, more] of decisions) say('03:03:00', name, 'carol', 'freeze.github', { action, reason: 'the token is gone', ...more });
      }),
      { outcome: null },
    );
    expect(command(reportOn(one)).freeze.carriers).toEqual([{ carrier: 'github', state, at: at('03:02:02'), detail: 'github says 401' }]);
    expect(reportOn(one).safeguards).toContainEqual(expect.objectContaining({ gap: 'github could not be frozen: github says 401' }));
  });

  test('that somebody lifted by hand is told as drift, as a follow-up and as a gap', () => {
    const one = given(
      declared(({ ran, put }) => {
        ran('freeze.github', ['03:02:00', '03:02:02'], 'done');
        put('03:10:00', 'drift', { carrier: 'github', failure: { message: 'github is not frozen any more: ruleset: off' } });
      }),
    );
    expect(reportOn(one).drift).toEqual([{ at: at('03:10:00'), what: 'freeze', subject: 'github', detail: 'github is not frozen any more: ruleset: off' }]);
    expect(command(reportOn(one)).freeze.carriers).toMatchObject([{ state: 'lifted-by-hand' }]);
    expect(reportOn(one).followUps.find((follow) => follow.source === 'drift, github')?.owner).toBe('dan');
    expect(reportOn(one).safeguards).toContainEqual(expect.objectContaining({ gap: 'The freeze was lifted by hand on github', where: 'runbook' }));
  });
});

test('a plan that took the place of a confirmed one makes its confirmation void', () => {
  const one = given(
    declared(({ say, put }) => {
      say('03:04:00', 'confirm', 'carol', 'target', { plan: PLAN });
      put('03:05:00', 'replanned', { plan: { ...planOf(), targets: [{ ...TARGETS[0]!, from: 'v2.7.0' }] }, planHash: PLAN_2, planHashBefore: PLAN });
    }),
  );
  expect(command(reportOn(one)).voided).toEqual([
    { step: 'target', at: at('03:05:00'), by: 'carol', confirmedAt: at('03:04:00'), plan: PLAN, why: 'the plan is another one: api from v2.7.0 to v2.5.3' },
  ]);
});

test('a proposal that nobody declared has frozen and changed nothing, and leaves nothing to mend', () => {
  const one = given(({ say }) => say('03:02:00', 'decline', 'carol', 'declaration', { reason: 'CI was red for another reason' }), {
    outcome: 'refused',
    input: { detectedAt: null },
  });
  const report = reportOn(one);
  expect(report).toMatchObject({ followUps: [], incidentCommand: { declaration: null, freeze: { environments: [], inForce: [] } } });
  expect(report.inShort.happened[1]).toBe('Rollback mode was proposed and never declared: nothing was frozen, nothing was changed.');
  expect(report.decisions).toMatchObject([{ by: 'carol', what: 'declined declaration', why: 'CI was red for another reason' }]);
  expect(report.waitingTimes.waits).toMatchObject([{ step: 'declaration', seconds: 230 }]);
});

test('what is told by hand, and what was not delivered, is shown as such', () => {
  const one = given(
    declared(({ ran, say }) => {
      ran('communication.declared', ['03:02:02', '03:02:09'], 'failed', { after: { subject: 'S', sent: { stakeholders: '0 of 1' } } }, [
        'Undelivered',
        'the chat is down',
      ]);
      say('03:06:00', 'decide', 'cleo', 'communication.declared', { action: 'done', reason: 'told in the call', evidence: ['https://call/7'] });
    }),
  );
  expect(command(reportOn(one)).communications).toMatchObject([
    { template: 'declared', problem: 'the chat is down', byHand: null },
    { template: 'declared', at: at('03:06:00'), byHand: { by: 'cleo', evidence: ['https://call/7'] } },
  ]);
  expect(reportOn(one).safeguards).toContainEqual(expect.objectContaining({ seenIn: 'communication.declared', where: 'runbook' }));
});
