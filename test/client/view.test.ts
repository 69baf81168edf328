/** What an operator reads: whole lines that fit, commands that can be copied, nothing that moves his cursor. */
import { expect, test } from 'vitest';
import { failure } from '../../model/failure.ts';
import { deployRevertSteps, type Target } from '../../model/plan.ts';
import type { RollbackState, StepView } from '../../model/state.ts';
import { fit } from '../../client/screen.ts';
import { aheadOf, nextCommands, render } from '../../client/view.ts';
import { ago, columns, cut, duration, elapsed, plain, quoted, wrap } from '../../client/words.ts';

const NOW = Date.parse('2026-11-21T03:10:00.000Z');
const ID = 'deployRevert/production/checkout-api+storefront-with-a-long-name';
const targets: Target[] = [
  { component: 'checkout-api', from: 'v2.5.3', to: 'v2.5.2', config: 'x' },
  { component: 'storefront-with-a-long-name', from: null, to: 'v1', config: 'x' },
];
const steps = deployRevertSteps(targets, false).map((step): StepView => ({
  ...step,
  state: 'done',
  attempts: 1,
  startedAt: '2026-11-21T03:00:00.000Z',
  endedAt: '2026-11-21T03:00:02.100Z',
  receipt: null,
  failure: null,
}));
const LAST = steps.length - 1;

const waiting: RollbackState = {
  rollbackId: '0192f3a4-5b6c-7d8e-9f00-112233445566',
  id: ID,
  runId: 'r',
  kind: 'deployRevert',
  environment: 'production',
  components: targets.map((one) => one.component),
  tenant: null,
  incident: null,
  trigger: { type: 'verification', cause: 'smoke-failed', reason: 'checkout answers 500 '.repeat(8).trim(), by: 'ci', at: '2026-11-21T03:00:00.000Z' },
  state: 'waiting',
  outcome: null,
  planHash: 'sha256:1',
  targets,
  clock: { targetSeconds: 300, machineSeconds: 200, humanSeconds: 30, breached: false },
  steps: steps.with(LAST, {
    ...steps[0]!,
    id: 'availability',
    mode: 'manual',
    title: 'An operator confirms that the service is available again',
    state: 'waiting',
    endedAt: null,
  }),
  waiting: [
    { step: 'availability', for: 'operator', since: '2026-11-21T03:00:10.000Z', answer: `backout confirm ${ID} --step availability --by YOU`, json: '' },
  ],
  answers: [],
  remains: [],
  refusals: [],
  warnings: ['\u001B[2Jchecks \u0007answer'],
  stopped: null,
  record: { entries: 9, head: 'sha256:2', behind: false },
};
const broken = {
  ...steps[0]!,
  state: 'failed',
  failure: failure('PlatformFailed', 'the registry answered 503 with a very long explanation of what it could not do at this time of the night'),
} as const;
const stopped: RollbackState = {
  ...waiting,
  state: 'stopped',
  steps: steps.with(0, broken),
  stopped: 'checkout-api.deploy failed: the registry answered 503',
  waiting: [
    {
      step: 'checkout-api.deploy',
      for: 'operator',
      since: '2026-11-21T03:00:10.000Z',
      answer: `backout decide ${ID} --step checkout-api.deploy --action retry --by YOU --reason WHY --analysis "WHAT WENT WRONG"`,
      json: '',
    },
  ],
};
const closed: RollbackState = {
  ...waiting,
  state: 'closed',
  outcome: 'rolled-back-late',
  clock: { ...waiting.clock, breached: true },
  waiting: [],
  steps: steps.with(LAST, { ...steps[0]!, id: 'availability', state: 'confirmed' }),
  answers: [{ name: 'confirm', step: 'availability', by: 'ana', proof: 'self-declared', at: '2026-11-21T03:05:00.000Z' }],
};
const states = {
  waiting,
  stopped,
  closed,
  refused: {
    ...closed,
    outcome: 'refused',
    steps: [],
    targets: [],
    refusals: [{ rule: 'target-known', source: '[002 section 5]', explanation: 'v9 was never recorded', by: 'ci', at: waiting.trigger.at }],
  },
} as const;
const plainly = (line: string): string => line.replaceAll(/\p{Cc}/gu, '');
const isCommand = (line: string): boolean => /^ +\S.* +(npx )?backout /.test(line);

test.each([40, 80, 140].flatMap((width) => Object.keys(states).map((name) => [name as keyof typeof states, width] as const)))(
  '%s at %i columns: lines fit, commands are whole, the command comes last',
  (name, width) => {
    const lines = render(states[name], { width, nowMs: NOW, by: null });
    for (const line of lines.filter((one) => !isCommand(one))) expect(columns(line), line).toBeLessThanOrEqual(width);
    expect(isCommand(lines.at(-1) ?? '')).toBe(true);
    expect(lines.join('')).toBe(lines.map(plainly).join(''));
  },
);

test('says who is awaited since when, for what, and gives both answers, the likelier last', () => {
  const text = render(waiting, { width: 100, nowMs: NOW, by: 'ana' }).join('\n');
  expect(text).toMatch(/Waiting for operator since .*: An operator confirms/);
  expect(nextCommands(waiting, 'ana lee').map((one) => one.line.replace(/^npx /, ''))).toEqual([
    `backout decline ${ID} --step availability --by 'ana lee' --reason WHY`,
    `backout confirm ${ID} --step availability --by 'ana lee'`,
  ]);
});

test('a failed step carries its message, the remedy, and the way out', () => {
  const text = render(stopped, { width: 100, nowMs: NOW, by: null }).join('\n');
  expect(text).toContain('the registry answered 503');
  expect(text).toContain('mend the cause');
  expect(nextCommands(stopped, null).map((one) => one.what)).toEqual(['give up', 'again']);
});

test('each decision that may be taken is offered with when, and the end only where it would be taken', () => {
  const [asked] = stopped.waiting;
  const or = [{ when: 'you did it by hand: Backout looks', answer: `backout decide ${ID} --step x --action done --by YOU --reason WHY`, json: '' }];
  const one = { ...stopped, waiting: [{ ...asked!, when: 'again, the cause is mended', or }] };
  expect(nextCommands({ ...one, beforeClose: [] }, null).map((next) => next.what)).toEqual(['give up', or[0]!.when, 'again, the cause is mended']);
  const row = { step: 'cleanup.data', for: 'data-evidence-lead', since: '', answer: `backout confirm ${ID} --step cleanup.data --by YOU`, json: '' };
  const held = nextCommands({ ...one, beforeClose: [row, asked!] }, null);
  expect(held.map((next) => next.what)).toEqual(['before giving up (data-evidence-lead)', or[0]!.when, 'again, the cause is mended']);
  expect(held[0]?.line).toContain('confirm');
});

const COMMAND: NonNullable<RollbackState['incidentCommand']> = { level: 3, declared: null, roles: {}, frozen: [], conditions: [], nextUpdateAt: null };
const incident: RollbackState = { ...waiting, kind: 'l3Rollback', id: 'l3Rollback/production/INC-42', incident: 'INC-42', incidentCommand: COMMAND };
const shown = (state: RollbackState): string => render(state, { width: 200, nowMs: NOW, by: null }).join('\n');

test('a run that was only refused says nothing of a freeze that is not its own', () => {
  expect(shown(incident)).toContain('nothing is frozen');
  expect(shown({ ...incident, state: 'closed', outcome: 'refused', refusals: states.refused.refusals })).not.toContain('nothing is frozen');
});

test('closed with a freeze that stays, the command that comes to it has the versions', () => {
  const partial = { ...incident, state: 'closed', outcome: 'partial', waiting: [], incidentCommand: { ...COMMAND, frozen: ['merges'] } } as const;
  expect(nextCommands(partial, null).map((one) => [one.what, one.line.replace(/^npx /, '')])).toEqual([
    [
      'lift the freeze',
      'backout start l3Rollback --environment production --component checkout-api storefront-with-a-long-name --to checkout-api=v2.5.2 --to storefront-with-a-long-name=v1 --incident INC-42 --cause smoke-failed --reason WHY --by YOU',
    ],
    ['report', 'backout report l3Rollback/production/INC-42'],
  ]);
});

test('what was found when it was planned is not told as what is there now', () => {
  const asked = { step: 'target', for: 'incident-commander', since: '', answer: `backout confirm ${incident.id} --step target --by YOU`, json: '' };
  expect(shown({ ...incident, waiting: [asked] })).toMatch(/component +what +when planned +then/);
});

test('why the yes is not offered stands beside what is', () => {
  const unfreeze = {
    step: 'unfreeze',
    for: 'incident-commander',
    since: '',
    answer: `backout stop ${incident.id} --by YOU --reason WHY`,
    json: '',
    why: 'revoke.mail was left out',
  };
  expect(shown({ ...incident, waiting: [unfreeze] })).toContain('Not yet: revoke.mail was left out.');
  expect(nextCommands({ ...incident, waiting: [unfreeze] }, null).map((one) => one.what)).toEqual(['stop']);
});

test('the lists of the Security Lead: explained where they are asked for, shown once they are signed, the note apart', () => {
  const list = { ...steps[0]!, id: 'credentials', mode: 'manual', demands: { lists: ['payments', 'mail'] } } as const;
  const asked = { step: 'credentials', for: 'security-lead', since: '', answer: `backout confirm ${incident.id} --step credentials --by YOU`, json: '' };
  const asking = shown({ ...incident, steps: [{ ...list, state: 'waiting' }], waiting: [asked] });
  for (const words of ['rotate: exposed', 'revokeFirst: exploited now', 'unaffected: not exposed']) expect(asking).toContain(words);
  const data = { rotate: ['payments'], revokeFirst: [], unaffected: ['mail'] };
  const answers = [{ name: 'confirm', step: 'credentials', by: 'sam', proof: 'self-declared', at: waiting.trigger.at, note: 'leak', data }] as const;
  const signed = shown({ ...incident, steps: [{ ...list, state: 'confirmed' }], waiting: [], answers });
  expect(signed).toMatch(/Signed by sam .*\n {2}rotate: payments\n {2}not exposed: mail\n {2}note: leak/);
});

test('a warning that asks for an answer goes once it has it', () => {
  const warning = 'restore.main.orders is asked about again: nothing was changed';
  const asked = (state: StepView['state']): string => shown({ ...incident, warnings: [warning], steps: [{ ...steps[0]!, id: 'restore.main.orders', state }] });
  expect(asked('waiting')).toContain(warning);
  expect(asked('done')).not.toContain(warning);
});

test('the clock: a bar, the miss, who confirmed', () => {
  expect(render(waiting, { width: 100, nowMs: NOW, by: null }).join('\n')).toMatch(/time {2}3:20 of 5:00 {2}█+░+/);
  const text = render(closed, { width: 100, nowMs: NOW, by: null }).join('\n');
  expect(text).toContain('TARGET MISSED');
  expect(text).toContain('confirmed by ana');
});

test('the clocks go on between the tasks of a worker, for whoever is at work', () => {
  const spoke = Date.parse(waiting.trigger.at) + 230_000;
  expect(aheadOf(waiting, spoke + 5_000)).toBe(5);
  expect(aheadOf(waiting, spoke - 60_000, spoke - 62_000)).toBe(2);
  expect(render({ ...waiting, state: 'running' }, { width: 100, nowMs: NOW, aheadSeconds: 10, by: null }).join('\n')).toContain('3:30 of 5:00');
  expect(render(waiting, { width: 100, nowMs: NOW, aheadSeconds: 10, by: null }).join('\n')).toContain('people 40 s');
});

test('a low terminal keeps head and foot, counting lines that break', () => {
  const lines = [...Array.from({ length: 20 }, (_, index) => `line ${index}`), 'x'.repeat(95)];
  const fitting = fit(lines, 10, 40);
  const rows = fitting.reduce((sum, line) => sum + Math.max(1, Math.ceil(columns(line) / 40)), 0);
  expect(rows).toBeLessThanOrEqual(10);
  expect(fitting[0]).toBe('line 0');
  expect(fitting.at(-1)).toBe(lines.at(-1));
  expect(fitting.join()).toMatch(/… \d+ lines left out/);
  expect(fit(lines, 50, 40)).toEqual(lines);
});

test('words', () => {
  expect([0.04, 9.4, 9.96, 42, 185, 8040, 273_600].map(duration)).toEqual(['0.0 s', '9.4 s', '10 s', '42 s', '3 min 05 s', '2 h 14 min', '3 d 4 h']);
  expect([0.9, 12.7, 61].map(elapsed)).toEqual(['0 s', '12 s', '1 min 01 s']);
  expect(ago('2026-11-21T01:00:00.000Z', NOW)).toBe('2 h ago');
  expect(cut('abcdef', 4)).toBe('abc…');
  expect(plain('a\u001B[31mb\nc\u202Ed')).toBe('ab c d');
  expect(wrap('one two three', 8, '  ')).toEqual(['  one', '  two', '  three']);
  expect(quoted("it's")).toBe(String.raw`'it'\''s'`);
});
