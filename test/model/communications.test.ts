/** What people are told: every subject and body field of [001 templates A, B, C] and [004 section 6], and what a status page must not say. */
import { describe, expect, it } from 'vitest';
import { channelName, TEMPLATES, type Facts, type Template } from '../../model/communications.ts';
import { NOT_STATED, render } from '../../model/templates.ts';

const FACTS: Facts = {
  at: '2026-11-21T03:10:42.000Z',
  product: 'Portarium',
  incident: 'INC-42',
  environment: 'production',
  level: 'L1',
  trigger: 'checkout answers 500',
  severity: 'P1',
  impact: 'orders cannot be placed',
  contact: '#incident-42',
  commander: 'carol',
  freezeScopes: ['merges', 'promotions'],
  nextUpdateAt: '2026-11-21T03:40:00.000Z',
  targets: [
    { component: 'web', from: 'v2.5.3', to: 'v2.5.2', commit: 'c0ffee', build: 'b7', deployment: 'dep-7', inPlace: true },
    { component: 'api', from: null, to: 'v9', inPlace: false },
  ],
  done: ['Put web back to v2.5.2', 'The register is frozen'],
  inProgress: ['Put api back to v9'],
  next: ['Every component starts and is healthy'],
  risks: ['the queue is long'],
  verification: ['3 of 4 checks passed (health, smoke, served)', 'npm run ci:pr: not run yet'],
  remaining: ['npm run ci:pr: risk accepted by carol'],
  unfreezeScopes: ['merges', 'promotions'],
  reviewOwner: 'dan',
  completedAt: '2026-11-21T03:55:00.000Z',
  status: 'Identified',
  notes: null,
};
const NOTHING: Facts = {
  ...FACTS,
  incident: null,
  trigger: '',
  severity: null,
  impact: null,
  contact: null,
  commander: null,
  freezeScopes: [],
  nextUpdateAt: null,
  targets: [],
  done: [],
  inProgress: [],
  next: [],
  risks: [],
  verification: [],
  remaining: [],
  unfreezeScopes: [],
  reviewOwner: null,
  completedAt: null,
};

type Row = readonly [field: string, template: Template, audience: 'stakeholders' | 'internal' | 'status', full: string, unknown: string];
const A: readonly Row[] = [
  ['Status', 'declared', 'stakeholders', 'Status: Rollback mode active.', 'Status: Rollback mode active.'],
  ['Trigger', 'declared', 'stakeholders', 'Trigger: checkout answers 500.', 'Trigger: not stated.'],
  ['Scope level', 'declared', 'stakeholders', 'Scope level: L1.', 'Scope level: L1.'],
  ['Freeze scope', 'declared', 'stakeholders', 'Freeze scope: feature merges and environment promotions paused.', 'Freeze scope: none.'],
  ['Current owner', 'declared', 'stakeholders', 'Current owner: carol (Incident Commander).', 'Current owner: not stated (Incident Commander).'],
  ['Next update', 'declared', 'stakeholders', 'Next update: 2026-11-21 03:40 UTC.', 'Next update: not stated.'],
];
const B: readonly Row[] = [
  [
    ...(['Rollback target', 'update', 'stakeholders'] as const),
    'Rollback target: web v2.5.2 (commit c0ffee, build b7, deployment dep-7, in place of v2.5.3); api v9 (in place of an unknown version).',
    'Rollback target: not stated.',
  ],
  ['Actions completed', 'update', 'stakeholders', 'Actions completed:\n- Put web back to v2.5.2\n- The register is frozen\n', 'Actions completed:\n- none\n'],
  ['Actions in progress', 'update', 'stakeholders', 'Actions in progress:\n- Put api back to v9\n', 'Actions in progress:\n- none\n'],
  ['Risks', 'update', 'stakeholders', 'Risks:\n- the queue is long\n', 'Risks:\n- none\n'],
  ['Next update', 'update', 'stakeholders', 'Next update: 2026-11-21 03:40 UTC.', 'Next update: not stated.'],
];
const C: readonly Row[] = [
  ['Rollback completed at', 'recovery', 'stakeholders', 'Rollback completed at: 2026-11-21 03:55 UTC.', 'Rollback completed at: not stated.'],
  [
    ...(['Verification status', 'recovery', 'stakeholders'] as const),
    'Verification status: 3 of 4 checks passed (health, smoke, served); npm run ci:pr: not run yet.',
    'Verification status: not stated.',
  ],
  [
    ...(['Remaining risks', 'recovery', 'stakeholders'] as const),
    'Remaining risks/follow-ups:\n- npm run ci:pr: risk accepted by carol\n',
    'Remaining risks/follow-ups:\n- none\n',
  ],
  ['Unfreeze scope', 'recovery', 'stakeholders', 'Unfreeze scope:\n- feature merges\n- environment promotions\n', 'Unfreeze scope:\n- none\n'],
  ['Post-incident review owner', 'recovery', 'stakeholders', 'Post-incident review owner: dan.', 'Post-incident review owner: not stated.'],
];
const INTERNAL: readonly Row[] = TEMPLATES.flatMap((template): Row[] => [
  ['Time', template, 'internal', 'Time: 2026-11-21 03:10 UTC\n', 'Time: 2026-11-21 03:10 UTC\n'],
  ['Severity', template, 'internal', 'Severity: P1\n', 'Severity: not stated\n'],
  ['Impact', template, 'internal', 'Impact: orders cannot be placed\n', 'Impact: not stated\n'],
  ['Trigger', template, 'internal', 'Trigger: checkout answers 500\n', 'Trigger: not stated\n'],
  [
    ...(['Risks', template, 'internal'] as const),
    template === 'recovery' ? '\n\nRemaining risks/follow-ups:\n- npm run ci:pr: risk accepted by carol\n' : '\n\nRisks:\n- the queue is long\n',
    template === 'recovery' ? '\n\nRemaining risks/follow-ups:\n- none\n' : '\n\nRisks:\n- none\n',
  ],
  [
    ...(['Action Taken: deployment', template, 'internal'] as const),
    'Action Taken:\n- Rolled back to deployment: web v2.5.2 (commit c0ffee, build b7, deployment dep-7, in place of v2.5.3)\n- Still to go back: api v9 (in place of an unknown version)\n',
    'Action Taken:\n- Rolled back to deployment: nothing yet\n',
  ],
  ['Action Taken: database', template, 'internal', '\n- Database restored to: not applicable, L1', '\n- Database restored to: not applicable, L1'],
  ['Action Taken', template, 'internal', '\n- Put web back to v2.5.2\n- The register is frozen\n', '\n\nCurrent Status'],
  ['Current Status', template, 'internal', 'Current Status: Investigating. The target is confirmed', 'Current Status: Investigating. '],
  [
    ...(['Next Steps', template, 'internal'] as const),
    'Next Steps:\n1. Put api back to v9\n2. Every component starts and is healthy\n3. Next update: 2026-11-21 03:40 UTC\n',
    'Next Steps:\n- none\n',
  ],
  [
    ...(['Point of Contact', template, 'internal'] as const),
    'Point of Contact: #incident-42; carol (Incident Commander) decides',
    'Point of Contact: not stated; not stated (Incident Commander) decides',
  ],
]);
const ABOUT: readonly Row[] = TEMPLATES.map((template) => [
  ...(['Incident', template, 'stakeholders'] as const),
  'Incident: INC-42, environment production.',
  'Incident: not stated, environment production.',
]);

describe('fields', () => {
  it.each([...A, ...B, ...C, ...INTERNAL, ...ABOUT])('%s of %s for %s', (_, template, audience, full, unknown) => {
    expect(`\n${render(template, FACTS)[audience].body}\n`).toContain(full);
    expect(`\n${render(template, NOTHING)[audience].body}\n`).toContain(unknown);
  });

  it.each([
    ['declared', 'Portarium delivery rollback declared - 2026-11-21 03:10 UTC', 'INCIDENT: Rollback Initiated - INC-42, Portarium production'],
    ['update', 'Portarium rollback in progress - 2026-11-21 03:10 UTC', 'INCIDENT: Rollback In Progress - INC-42, Portarium production'],
    ['recovery', 'Portarium rollback complete - controlled unfreeze', 'INCIDENT: Rollback Complete - INC-42, Portarium production'],
  ] as const)('subjects of %s', (template, stakeholders, internal) => {
    const texts = render(template, FACTS);
    expect([texts.stakeholders.subject, texts.internal.subject]).toEqual([stakeholders, internal]);
    expect(texts.status.subject).toBe('Incident: Service Degradation - Portarium');
    expect(render(template, { ...FACTS, product: 'the product' }).stakeholders.subject).toMatch(/^the product /);
  });

  it('are the only ones of [001], in its order', () => {
    const labels = (template: Template): string[] =>
      render(template, FACTS)
        .stakeholders.body.split('\n')
        .flatMap((line) => /^([A-Z][^:]*):/.exec(line)?.[1] ?? [])
        .filter((label) => label !== 'Incident');
    expect(labels('declared')).toEqual(A.map(([field]) => field));
    expect(labels('update')).toEqual(B.map(([field]) => field));
    expect(labels('recovery')).toEqual(C.map(([field]) => (field === 'Remaining risks' ? 'Remaining risks/follow-ups' : field)));
  });
});

describe('the freeze scope', () => {
  const scope = (freezeScopes: readonly string[]): string | undefined =>
    /^Freeze scope: (.*)$/m.exec(render('declared', { ...FACTS, freezeScopes }).stakeholders.body)?.[1];
  it.each([
    [
      ['merges', 'claims', 'promotions', 'deployments'],
      'feature merges, claims of implementation work and environment promotions paused; deployments restricted to rollback owners.',
    ],
    [['claims'], 'claims of implementation work paused.'],
    [['deployments'], 'deployments restricted to rollback owners.'],
  ])('%j', (scopes, expected) => {
    expect(scope(scopes)).toBe(expected);
  });
});

describe('the status page [004 section 6.2]', () => {
  it.each([
    ['Investigating', 'We have reports of a problem', 'Investigating', false],
    ['Identified', 'We know where the problem comes from', 'Investigating', false],
    ['Monitoring', 'The service has been put right', 'Monitoring', false],
    ['Resolved', 'The problem is solved', 'Stable', true],
  ] as const)('%s', (status, sentence, internally, isOver) => {
    for (const template of TEMPLATES) {
      const { body } = render(template, { ...FACTS, status }).status;
      expect(body).toContain(`2026-11-21 03:10 UTC - ${status}\n${sentence}`);
      expect(render(template, { ...FACTS, status }).internal.body).toContain(`\nCurrent Status: ${internally}. `);
      expect(body).toContain('\nImpact: orders cannot be placed.');
      expect(body.includes('Post-mortem: A detailed analysis will be shared within 48 hours.')).toBe(isOver);
    }
    expect(render('update', { ...NOTHING, status }).status.body).toContain('Impact: not stated.');
  });

  it('says nothing of what only we know: no version, no person, no reason', () => {
    const secret = (name: string): string => `CANARY-${name}`;
    const facts: Facts = {
      ...FACTS,
      incident: secret('incident'),
      environment: secret('environment'),
      trigger: secret('trigger'),
      severity: secret('severity'),
      contact: secret('contact'),
      commander: secret('commander'),
      freezeScopes: [secret('scope')],
      targets: [
        {
          component: secret('component'),
          from: secret('from'),
          to: secret('to'),
          commit: secret('commit'),
          build: secret('build'),
          deployment: secret('deployment'),
          inPlace: true,
        },
      ],
      done: [secret('done')],
      inProgress: [secret('progress')],
      next: [secret('next')],
      risks: [secret('risk')],
      verification: [secret('verification')],
      remaining: [secret('remaining')],
      unfreezeScopes: [secret('unfreeze')],
      reviewOwner: secret('owner'),
      notes: secret('notes'),
    };
    for (const template of TEMPLATES) {
      for (const status of ['Investigating', 'Identified', 'Monitoring', 'Resolved'] as const)
        expect(JSON.stringify(render(template, { ...facts, status }).status)).not.toContain('CANARY');
      expect(JSON.stringify(render(template, facts).stakeholders)).toContain('CANARY');
    }
  });
});

describe('what people and platforms say', () => {
  it('stays on its line: it cannot pass for a field of ours', () => {
    const forged = 'x\nStatus: Resolved\r\n- done\u2028Trigger: none\u001B[2J\u202E';
    const texts = render('update', { ...FACTS, trigger: forged, impact: forged, notes: forged, commander: forged, risks: [forged], done: [forged] });
    for (const { subject, body } of Object.values(texts)) {
      for (const line of `${subject}\n${body}`.split('\n')) expect(line).not.toMatch(/^(Status: Resolved|- done$|Trigger: none)/);
      for (const odd of ['\r', '\u2028', '\u202E', '\u001B']) expect(body).not.toContain(odd);
    }
  });

  it('is cut where it is too long, and a list where it has too many', () => {
    const texts = render('update', { ...FACTS, notes: '😀'.repeat(5_000), risks: Array.from({ length: 100 }, (_, index) => `risk ${index}`) });
    expect(texts.stakeholders.body.length).toBeLessThan(4_000);
    expect(texts.stakeholders.body.isWellFormed()).toBe(true);
    expect(texts.stakeholders.body).toContain('- risk 28\n- and 71 more, which the report has\n');
  });

  it('becomes a note where there is one', () => {
    for (const template of TEMPLATES) {
      for (const audience of ['stakeholders', 'internal'] as const) {
        expect(render(template, { ...FACTS, notes: 'the vendor is told' })[audience].body).toMatch(/\nNote: the vendor is told\.$/);
        expect(render(template, FACTS)[audience].body).not.toContain('Note:');
      }
    }
  });

  it('ends as it ends', () => {
    expect(render('declared', { ...FACTS, trigger: 'why?' }).stakeholders.body).toContain('Trigger: why?\n');
    expect(render('declared', { ...FACTS, trigger: 'so.' }).stakeholders.body).toContain('Trigger: so.\n');
  });
});

it('a channel is named without its address', () => {
  expect([{ file: './a.log' }, { webhook: 'https://x/s3cret' }, { slack: 'https://x/s3cret' }, { discord: 'https://x/s3cret' }].map(channelName)).toEqual([
    './a.log',
    'a webhook',
    'a Slack webhook',
    'a Discord webhook',
  ]);
  expect(NOT_STATED).toBe('not stated');
});
