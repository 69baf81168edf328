/**
 * What comes in from outside, checked by hand: these guards run inside the workflow, where zod would cost
 * ten times the memory and a later, tighter schema would break the replay of an old history.
 */
import { TRIGGERS, type Trigger } from './policy.ts';

export type Parsed<T> = { readonly value: T } | { readonly error: string };

/** The start input [product.md 5], the same from the CLI, HTTP and the Temporal UI. */
export interface StartInput {
  readonly environment: string;
  readonly components: readonly string[];
  /** Per component a version, or `last-healthy`. */
  readonly targets: Readonly<Record<string, string>>;
  readonly trigger: Trigger;
  readonly cause: string;
  readonly reason: string;
  readonly by: string;
  readonly detectedAt: string | null;
  readonly delayJustification: string | null;
  readonly incident: string | null;
  readonly severity: string | null;
  readonly impact: string | null;
  readonly contact: string | null;
  readonly analysis: string | null;
  readonly tenant: string | null;
  /** The provisioning request that is taken back; absent where all of the tenant's are, and in every other kind. */
  readonly request?: string;
  /** What a declaration by CI's failed run has to state [001 Freeze Scope]; absent where nothing was said. */
  readonly declaration?: { readonly criticalArea: string; readonly missedWindow: string };
  /** Set by `backout resume` on an abandoned rollback: the successor goes on under the same rollbackId. */
  readonly resumes: {
    readonly rollbackId: string;
    readonly by: string;
    readonly reason: string;
    /** The run before, where it went on by itself because its history had grown long: nobody has ended it. */
    readonly continues?: string;
  } | null;
}

export const DECISIONS = ['retry', 'skip', 'done', 'close'] as const;
export type Decision = (typeof DECISIONS)[number];

interface Said {
  readonly by: string;
  readonly role: string | null;
}
export interface Confirm extends Said {
  readonly step: string;
  readonly plan: string | null;
  readonly choice: string | null;
  readonly data: unknown;
  readonly note: string | null;
  readonly evidence: readonly string[];
}
export interface Decline extends Said {
  readonly step: string;
  readonly reason: string;
}
export interface Decide extends Said {
  readonly step: string | null;
  readonly action: Decision;
  readonly reason: string;
  readonly analysis: string | null;
  readonly due: string | null;
  readonly evidence: readonly string[];
}
export interface Stop {
  readonly by: string;
  readonly reason: string;
}
export interface Resume {
  readonly by: string;
  readonly reason: string;
  readonly analysis: string | null;
}
export interface Escalate {
  readonly to: 'l2Rollback' | 'l3Rollback';
  readonly by: string;
  readonly reason: string;
}
export interface Assign {
  readonly role: string;
  readonly to: string;
  readonly by: string;
  readonly reason: string;
}

export interface Messages {
  confirm: Confirm;
  decline: Decline;
  decide: Decide;
  stop: Stop;
  resume: Resume;
  escalate: Escalate;
  assign: Assign;
}
export type MessageName = keyof Messages;

/** What the payload converter puts in the place of something it could not read. */
export const UNREADABLE = '__unreadable';

/** Longest text taken from outside: a history is no place for a novel. */
const TEXT_MAX = 4_000;
/** Longest name of a person, a role or a step: it is repeated in what we say about it. */
const LABEL_MAX = 200;
/** Longest sentence about what was wrong: it is kept and carried, and may quote what was sent. */
const ERROR_MAX = 500;
const DATA_MAX = 16_000;
const DEPTH_MAX = 10;
const EVIDENCE_MAX = 20;
const NAME = /^[a-z0-9-]+$/;

class Malformed extends Error {}

type Fields = Readonly<Record<string, unknown>>;

function fields(value: unknown): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Malformed('one JSON object is expected');
  const unreadable: unknown = Object.getOwnPropertyDescriptor(value, UNREADABLE)?.value;
  if (typeof unreadable === 'string') throw new Malformed(unreadable.trim() === '' ? 'the payload cannot be read' : unreadable);
  return value as Fields; // Checked above: a plain object.
}

function text(from: Fields, name: string, max = TEXT_MAX): string {
  const value = from[name];
  if (typeof value !== 'string' || value.trim() === '') throw new Malformed(`"${name}" must be a text that is not empty`);
  if (value.length > max) throw new Malformed(`"${name}" is longer than ${max} characters`);
  return storable(value, name).trim();
}

/** Postgres takes neither NUL nor half a surrogate pair; what cannot be recorded is not accepted. */
function storable(value: string, name: string): string {
  if (value.includes('\u0000') || !value.isWellFormed())
    throw new Malformed(`"${name}" holds a character that cannot be stored (NUL or half a surrogate pair)`);
  return value;
}

const label = (from: Fields, name: string): string => text(from, name, LABEL_MAX);

const optional = (from: Fields, name: string, max = TEXT_MAX): string | null =>
  from[name] === undefined || from[name] === null || from[name] === '' ? null : text(from, name, max);

function texts(from: Fields, name: string): string[] {
  const value = from[name] ?? [];
  if (!Array.isArray(value) || value.length > EVIDENCE_MAX || !value.every((one) => typeof one === 'string' && one.length <= TEXT_MAX / 4)) {
    throw new Malformed(`"${name}" must be a list of at most ${EVIDENCE_MAX} texts of at most ${TEXT_MAX / 4} characters`);
  }
  return value.map((one: string) => storable(one, name));
}

/** Free JSON from outside, bounded before anything walks it by recursion. */
function data(from: Fields, name: string): unknown {
  const value = from[name] ?? null;
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > DEPTH_MAX || level.length > DATA_MAX) throw new Malformed(`"${name}" is nested deeper than ${DEPTH_MAX} levels or too large`);
    level = level.flatMap((one) => (typeof one === 'object' && one !== null ? Object.values(one) : []));
  }
  const json = JSON.stringify(value);
  if (json.length > DATA_MAX) throw new Malformed(`"${name}" is larger than ${DATA_MAX} characters`);
  // JSON.stringify escapes these, and a backslash as two: one that stands alone begins an escape.
  if (/(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/.test(json))
    throw new Malformed(`"${name}" holds a character that cannot be stored (NUL or half a surrogate pair)`);
  return value;
}

function oneOf<const T extends string>(from: Fields, name: string, allowed: readonly T[], fallback?: T): T {
  const value = from[name] ?? fallback;
  const found = allowed.find((one) => one === value);
  if (found === undefined) throw new Malformed(`"${name}" must be one of ${allowed.join(', ')}`);
  return found;
}

function attempt<T>(parse: () => T): Parsed<T> {
  try {
    return { value: parse() };
  } catch (error) {
    if (error instanceof Malformed) return { error: error.message.slice(0, ERROR_MAX).replaceAll('\u0000', '\uFFFD').toWellFormed() };
    throw error;
  }
}

function time(from: Fields, name: string): string | null {
  const value = optional(from, name);
  if (value !== null && !/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)$/.test(value))
    throw new Malformed(`"${name}" must be an ISO time such as 2026-11-21T03:00:00Z`);
  return value;
}

function names(from: Fields, name: string): string[] {
  const value = from[name] ?? [];
  if (!Array.isArray(value) || value.length > 50 || !value.every((one) => typeof one === 'string')) throw new Malformed(`"${name}" must be a list of names`);
  const list = [...new Set<string>(value)];
  const odd = list.find((one) => !NAME.test(one));
  if (odd !== undefined) throw new Malformed(`"${name}" holds ${JSON.stringify(odd)}; a name is lower-case letters, digits and hyphens`);
  return list;
}

function targets(from: Fields): Record<string, string> {
  const value = fields(from['targets'] ?? {});
  const entries = Object.entries(value).map(([component, version]) => {
    if (typeof version !== 'string' || version.trim() === '' || version.length > 200 || storable(version, 'targets') !== version)
      throw new Malformed(`"targets.${component}" must be a version or "last-healthy"`);
    return [component, version.trim()] as const;
  });
  return Object.fromEntries(entries);
}

function resumes(from: Fields): StartInput['resumes'] {
  if (from['resumes'] === undefined || from['resumes'] === null) return null;
  const inner = fields(from['resumes']);
  const continues = optional(inner, 'continues', LABEL_MAX);
  return { rollbackId: text(inner, 'rollbackId'), by: label(inner, 'by'), reason: text(inner, 'reason'), ...(continues === null ? {} : { continues }) };
}

/** Absent, not null, where nothing is said: what an activity is given must not change for who never says it. */
function declaration(from: Fields): Pick<StartInput, 'declaration'> {
  if (from['declaration'] === undefined || from['declaration'] === null) return {};
  const inner = fields(from['declaration']);
  return { declaration: { criticalArea: text(inner, 'criticalArea'), missedWindow: text(inner, 'missedWindow') } };
}

/** Absent, not null, where nothing is said, for the same reason. */
function request(from: Fields): Pick<StartInput, 'request'> {
  const value = optional(from, 'request', LABEL_MAX);
  return value === null ? {} : { request: value };
}

export const parseStart = (value: unknown): Parsed<StartInput> =>
  attempt(() => {
    const from = fields(value);
    const input: StartInput = {
      environment: label(from, 'environment'),
      components: names(from, 'components'),
      targets: targets(from),
      trigger: oneOf(from, 'trigger', TRIGGERS, 'operator'),
      cause: label(from, 'cause'),
      reason: text(from, 'reason'),
      by: label(from, 'by'),
      detectedAt: time(from, 'detectedAt'),
      delayJustification: optional(from, 'delayJustification'),
      incident: optional(from, 'incident'),
      severity: optional(from, 'severity'),
      impact: optional(from, 'impact'),
      contact: optional(from, 'contact'),
      analysis: optional(from, 'analysis'),
      tenant: optional(from, 'tenant', LABEL_MAX),
      ...request(from),
      ...declaration(from),
      resumes: resumes(from),
    };
    const stray = Object.keys(input.targets).find((name) => !input.components.includes(name));
    if (stray !== undefined) throw new Malformed(`"targets" names ${JSON.stringify(stray)}, which is not among "components"`);
    return input;
  });

/** The examples say YOU; whoever sends one unread has not said who he is. */
function person(from: Fields, name: string): string {
  const value = label(from, name);
  if (value === 'YOU') throw new Malformed(`"${name}" is still YOU; put your own name there`);
  return value;
}

const said = (from: Fields): Said => ({ by: person(from, 'by'), role: optional(from, 'role', LABEL_MAX) });

const PARSERS: { [N in MessageName]: (from: Fields) => Messages[N] } = {
  confirm: (from) => ({
    step: label(from, 'step'),
    ...said(from),
    plan: optional(from, 'plan', LABEL_MAX),
    choice: optional(from, 'choice'),
    data: data(from, 'data'),
    note: optional(from, 'note'),
    evidence: texts(from, 'evidence'),
  }),
  decline: (from) => ({ step: label(from, 'step'), ...said(from), reason: text(from, 'reason') }),
  decide: (from) => {
    const action = oneOf(from, 'action', DECISIONS);
    return {
      step: action === 'close' ? optional(from, 'step', LABEL_MAX) : label(from, 'step'),
      ...said(from),
      action,
      reason: text(from, 'reason'),
      analysis: optional(from, 'analysis'),
      due: optional(from, 'due'),
      evidence: texts(from, 'evidence'),
    };
  },
  stop: (from) => ({ by: person(from, 'by'), reason: text(from, 'reason') }),
  resume: (from) => ({ by: person(from, 'by'), reason: text(from, 'reason'), analysis: optional(from, 'analysis') }),
  escalate: (from) => ({ to: oneOf(from, 'to', ['l2Rollback', 'l3Rollback']), by: person(from, 'by'), reason: text(from, 'reason') }),
  assign: (from) => ({ role: label(from, 'role'), to: person(from, 'to'), by: person(from, 'by'), reason: text(from, 'reason') }),
};

export const parseMessage = <N extends MessageName>(name: N, value: unknown): Parsed<Messages[N]> => attempt(() => PARSERS[name](fields(value)));
