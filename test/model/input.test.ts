/** The guards of what comes in from outside: whatever it is, they answer; what they accept can be stored and replayed. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DECISIONS, parseMessage, parseStart, type MessageName } from '../../model/input.ts';
import { UNREADABLE, type Parsed } from '../../model/reading.ts';
import { TRIGGERS } from '../../model/policy.ts';
import { MESSAGE_HELP } from '../../workflows/messages.ts';
import { START } from './given.ts';

const NAMES = Object.keys(MESSAGE_HELP) as MessageName[]; // Typed by its declaration.
const errorOf = (parsed: Parsed<unknown>): string => ('error' in parsed ? parsed.error : `accepted: ${JSON.stringify(parsed.value)}`);
const fromJson = (json: string): unknown => JSON.parse(json);

const GOOD: Readonly<Record<MessageName, Record<string, unknown>>> = {
  confirm: {
    step: 'availability',
    by: 'ana',
    role: 'operator',
    plan: 'sha256:1',
    choice: 'yes',
    data: { seen: [1, null, true] },
    note: 'looked',
    evidence: ['https://e/1'],
  },
  decline: { step: 'availability', by: 'ana', reason: 'still broken' },
  decide: { step: 'web.deploy', by: 'ana', action: 'retry', reason: 'disk was full', analysis: 'freed 20 GB', due: null, evidence: [] },
  stop: { by: 'ana', reason: 'wrong component' },
  resume: { by: 'ana', reason: 'it was right', analysis: 'looked' },
  escalate: { to: 'l2Rollback', by: 'ana', reason: 'data' },
  assign: { role: 'operator', to: 'ben', by: 'ana', reason: 'end of shift' },
};

/** Anything that JSON can say, biased to what our guards look at. */
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom('', ' ', '\u0000', '\ud800', 'a\udfffb', 'x'.repeat(5_000), '__proto__', 'constructor', 'web', 'last-healthy'),
);
const key = fc.oneof(
  fc.constantFrom('__proto__', 'constructor', 'toString', UNREADABLE, ...Object.keys(START), ...NAMES.flatMap((name) => Object.keys(GOOD[name]))),
  fc.string(),
);
const json = fc.letrec((again) => ({
  value: fc.oneof({ maxDepth: 4 }, fc.constant(null), fc.boolean(), fc.double(), text, fc.array(again('value'), { maxLength: 5 }), again('object')),
  object: fc
    .array(fc.tuple(key, again('value')), { maxLength: 12 })
    .map((pairs) => fromJson(`{${pairs.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value) ?? 'null'}`).join(',')}}`)),
})).value;

/** Texts in it that Postgres or UTF-8 cannot hold. */
function unstorable(value: unknown): string[] {
  if (typeof value === 'string') return value.includes('\u0000') || !value.isWellFormed() ? [value] : [];
  return typeof value === 'object' && value !== null ? Object.entries(value).flatMap(([name, inner]) => [...unstorable(name), ...unstorable(inner)]) : [];
}

const ODD: readonly (readonly [string, unknown])[] = [
  ['undefined', undefined],
  ['null', null],
  ['a number', 7],
  ['a text', 'yes'],
  ['a list', [{}]],
  ['bytes', new Uint8Array([1, 2, 3])],
  ['an empty object', {}],
  ['a __proto__ of its own', fromJson('{"__proto__":{"by":"ana","step":"availability","reason":"x"}}')],
  ['20000 lists in each other', fromJson(`${'['.repeat(20_000)}${']'.repeat(20_000)}`)],
  ['20000 objects in each other', fromJson(`${'{"data":'.repeat(20_000)}1${'}'.repeat(20_000)}`)],
  ['a million names', { components: Array.from({ length: 1_000_000 }, () => 'web') }],
];

describe('whatever is sent', () => {
  it('a start never makes the guard throw, and what is accepted survives JSON and can be stored', () => {
    fc.assert(
      fc.property(json, fc.constantFrom({}, START), (value, base) => {
        const parsed = parseStart(typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...base, ...value } : value);
        if ('error' in parsed) return unstorable(parsed.error).length === 0 && parsed.error !== '' && parsed.error.length <= 500;
        expect(fromJson(JSON.stringify(parsed.value))).toEqual(parsed.value);
        return unstorable(parsed.value).length === 0;
      }),
      { numRuns: 2_000 },
    );
  });

  it.each(NAMES)('a %s never makes the guard throw, and what is accepted survives JSON and can be stored', (name) => {
    fc.assert(
      fc.property(json, fc.constantFrom({}, GOOD[name]), (value, base) => {
        const clean: unknown = fromJson(JSON.stringify(typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...base, ...value } : value));
        const parsed = parseMessage(name, clean);
        if ('error' in parsed) return unstorable(parsed.error).length === 0 && parsed.error !== '' && parsed.error.length <= 500;
        expect(fromJson(JSON.stringify(parsed.value))).toEqual(parsed.value);
        return unstorable(parsed.value).length === 0;
      }),
      { numRuns: 500 },
    );
  });

  it.each(ODD)('%s is malformed everywhere', (_, value) => {
    expect(parseStart(value)).toHaveProperty('error');
    for (const name of NAMES) expect(parseMessage(name, value)).toHaveProperty('error');
  });
});

describe('a start', () => {
  it('is taken as the docs have it, with everything optional null', () => {
    const { environment, components, targets, trigger, cause, reason, by } = START;
    expect(parseStart({ environment, components, targets, trigger, cause, reason, by })).toEqual({ value: START });
  });

  it('keeps what is optional', () => {
    const full = {
      ...START,
      detectedAt: '2026-11-21T03:00:00.5+01:00',
      delayJustification: 'asleep',
      incident: 'INC-1',
      severity: 'high',
      impact: 'no sales',
      contact: '#ops',
      analysis: 'freed 20 GB',
      tenant: null,
      resumes: { rollbackId: 'r', by: 'ana', reason: 'terminated' },
    };
    expect(parseStart(full)).toEqual({ value: full });
  });

  it('names a component once, and is an operator where no trigger is named', () => {
    expect(parseStart({ ...START, components: ['web', 'web'], trigger: undefined })).toMatchObject({ value: { components: ['web'], trigger: 'operator' } });
  });

  it.each([
    [{ environment: ' ' }, '"environment" must be a text that is not empty'],
    [{ environment: 7 }, '"environment" must be a text that is not empty'],
    [{ reason: 'x'.repeat(4_001) }, '"reason" is longer than 4000 characters'],
    [{ by: 'x'.repeat(201) }, '"by" is longer than 200 characters'],
    [{ reason: 'a\u0000b' }, '"reason" holds a character that cannot be stored (NUL or half a surrogate pair)'],
    [{ by: 'a\ud800' }, '"by" holds a character that cannot be stored (NUL or half a surrogate pair)'],
    [{ components: 'web' }, '"components" must be a list of names'],
    [{ components: Array.from({ length: 51 }, (_, at) => `c${at}`) }, '"components" must be a list of names'],
    [{ components: [7] }, '"components" must be a list of names'],
    [{ components: ['web/../etc'] }, '"components" holds "web/../etc"; a name is lower-case letters, digits and hyphens'],
    [{ components: ['__proto__'] }, '"components" holds "__proto__"; a name is lower-case letters, digits and hyphens'],
    [{ trigger: 'cron' }, `"trigger" must be one of ${TRIGGERS.join(', ')}`],
    [{ detectedAt: 'yesterday' }, '"detectedAt" must be an ISO time such as 2026-11-21T03:00:00Z'],
    [{ targets: ['v1'] }, 'one JSON object is expected'],
    [{ targets: { web: '' } }, '"targets.web" must be a version or "last-healthy"'],
    [{ targets: { web: 'v'.repeat(201) } }, '"targets.web" must be a version or "last-healthy"'],
    [{ targets: { web: null } }, '"targets.web" must be a version or "last-healthy"'],
    [{ targets: { api: 'v1' } }, '"targets" names "api", which is not among "components"'],
    [{ targets: fromJson('{"__proto__":"v1"}') }, '"targets" names "__proto__", which is not among "components"'],
    [{ resumes: { by: 'ana' } }, '"rollbackId" must be a text that is not empty'],
    [{ [UNREADABLE]: 'the payload cannot be read (encoding missing)' }, 'the payload cannot be read (encoding missing)'],
  ])('%o: %s', (more, error) => {
    expect(errorOf(parseStart({ ...START, ...more }))).toBe(error);
  });

  it('a malformed one is told in a few words, however much was sent', () => {
    const long = '"'.repeat(900_000);
    for (const more of [{ components: [long] }, { targets: { [long]: 7 } }, { targets: { [long]: 'v1' } }, { [UNREADABLE]: long }]) {
      expect(errorOf(parseStart({ ...START, ...more })).length).toBeLessThanOrEqual(500);
    }
  });
});

describe('a message', () => {
  it.each(NAMES)('%s is taken as the docs have it', (name) => {
    expect(parseMessage(name, GOOD[name])).toMatchObject({ value: GOOD[name] });
  });

  it.each(NAMES)('%s is taken as its help shows it', (name) => {
    const shown = MESSAGE_HELP[name].slice(MESSAGE_HELP[name].indexOf('{'), MESSAGE_HELP[name].lastIndexOf('}') + 1);
    expect(parseMessage(name, fromJson(shown))).toHaveProperty('value');
  });

  it('fills in what is optional', () => {
    expect(parseMessage('confirm', { step: ' availability ', by: 'ana' })).toEqual({
      value: { step: 'availability', by: 'ana', role: null, plan: null, choice: null, data: null, note: null, evidence: [] },
    });
    expect(parseMessage('decide', { by: 'ana', action: 'close', reason: 'no use' })).toMatchObject({ value: { step: null, analysis: null, due: null } });
  });

  it.each([
    ['confirm', { step: '' }, '"step" must be a text that is not empty'],
    ['confirm', { step: 'x'.repeat(201) }, '"step" is longer than 200 characters'],
    ['confirm', { by: undefined }, '"by" must be a text that is not empty'],
    ['confirm', { note: 7 }, '"note" must be a text that is not empty'],
    ['confirm', { evidence: 'a link' }, '"evidence" must be a list of at most 20 texts of at most 1000 characters'],
    ['confirm', { evidence: Array.from({ length: 21 }, () => 'a') }, '"evidence" must be a list of at most 20 texts of at most 1000 characters'],
    ['confirm', { evidence: ['a\u0000'] }, '"evidence" holds a character that cannot be stored (NUL or half a surrogate pair)'],
    ['confirm', { data: fromJson(`${'['.repeat(12)}${']'.repeat(12)}`) }, '"data" is nested deeper than 10 levels or too large'],
    ['confirm', { data: fromJson(`${'['.repeat(20_000)}${']'.repeat(20_000)}`) }, '"data" is nested deeper than 10 levels or too large'],
    ['confirm', { data: 'x'.repeat(16_001) }, '"data" is larger than 16000 characters'],
    ['confirm', { data: { a: ['\u0000'] } }, '"data" holds a character that cannot be stored (NUL or half a surrogate pair)'],
    ['confirm', { data: { '\ud800': 1 } }, '"data" holds a character that cannot be stored (NUL or half a surrogate pair)'],
    ['decline', { reason: ' ' }, '"reason" must be a text that is not empty'],
    ['decide', { action: 'ignore' }, `"action" must be one of ${DECISIONS.join(', ')}`],
    ['decide', { action: 'constructor' }, `"action" must be one of ${DECISIONS.join(', ')}`],
    ['decide', { step: null }, '"step" must be a text that is not empty'],
    ['stop', { by: '' }, '"by" must be a text that is not empty'],
    ['resume', { reason: null }, '"reason" must be a text that is not empty'],
    ['escalate', { to: 'deployRevert' }, '"to" must be one of l2Rollback, l3Rollback'],
    ['escalate', { recover: { main: 'tape' } }, '"recover.main" must be "backup", "by-hand" or an ISO time in UTC such as 2026-11-21T03:00:00Z'],
    ['escalate', { recover: { 'M A': 'backup' } }, '"recover.M A" must be "backup", "by-hand" or an ISO time in UTC such as 2026-11-21T03:00:00Z'],
    ['escalate', { recover: ['backup'] }, 'one JSON object is expected'],
    ...[{ from: '2026-11-21T03:00:00Z' }, { from: '2026-11-21T03:00:01Z', to: '2026-11-21T03:00:00Z' }, { from: 'yesterday', to: '2026-11-21T03:00:00Z' }].map(
      (window) => ['escalate', { window }, '"window" has "from" and "to", times in UTC such as 2026-11-21T03:00:00Z, the earlier one first'] as const,
    ),
    ['assign', { to: 'x'.repeat(201) }, '"to" is longer than 200 characters'],
    ['confirm', { by: 'YOU' }, '"by" is still YOU; put your own name there'],
    ['assign', { to: ' YOU ' }, '"to" is still YOU; put your own name there'],
    ['assign', { role: '' }, '"role" must be a text that is not empty'],
  ] as const)('%s %o: %s', (name, more, error) => {
    expect(errorOf(parseMessage(name, { ...GOOD[name], ...more }))).toBe(error);
  });

  it('takes how a database is recovered, and when data was damaged; who says nothing of it says nothing', () => {
    const more = { recover: { main: '2026-11-21T03:00:00+01:00', other: 'by-hand' }, window: { from: '2026-11-21T02:00:00Z', to: '2026-11-21T02:00:00.5Z' } };
    expect(parseMessage('escalate', { ...GOOD.escalate, ...more })).toEqual({ value: { ...GOOD.escalate, ...more } });
    expect(parseMessage('escalate', GOOD.escalate)).toEqual({ value: GOOD.escalate });
    expect(parseStart({ ...START, ...more })).toMatchObject({ value: more });
    expect(parseStart(START)).not.toHaveProperty('value.recover');
  });

  it('takes data up to 10 levels deep, and a text that only spells an escape', () => {
    expect(parseMessage('confirm', { ...GOOD.confirm, data: fromJson(`${'['.repeat(10)}${']'.repeat(10)}`) })).toHaveProperty('value');
    expect(parseMessage('confirm', { ...GOOD.confirm, data: { said: String.raw`\u0000 and \ud800` } })).toHaveProperty('value');
  });
});
