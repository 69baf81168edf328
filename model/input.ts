/**
 * What comes in from outside, checked by hand: these guards run inside the workflow, where zod would cost
 * ten times the memory and a later, tighter schema would break the replay of an old history.
 */
import type { Window } from './plan.ts';
import { TRIGGERS, type Trigger } from './policy.ts';
import {
  attempt,
  data,
  fields,
  label,
  LABEL_MAX,
  Malformed,
  NAME,
  names,
  oneOf,
  optional,
  storable,
  text,
  texts,
  time,
  type Fields,
  type Parsed,
} from './reading.ts';

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
  /** How databases are recovered, by name: `backup`, an ISO time, or `by-hand`; absent where nothing was said. */
  readonly recover?: Readonly<Record<string, string>>;
  /** The span in which data was damaged; absent where nothing was said. */
  readonly window?: Window;
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
export interface Escalate extends Pick<StartInput, 'recover' | 'window'> {
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

const RECOVER = /^(?:backup|by-hand|\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d))$/;

/** Absent, not null, where nothing is said, for the same reason. */
function recovery(from: Fields): Pick<StartInput, 'recover' | 'window'> {
  const { recover = null, window: span = null } = from;
  return { ...(recover === null ? {} : { recover: recovers(fields(recover)) }), ...(span === null ? {} : { window: windowOf(fields(span)) }) };
}

function recovers(from: Fields): Record<string, string> {
  const entries = Object.entries(from).map(([database, how]): [string, string] => {
    if (!NAME.test(database) || typeof how !== 'string' || !RECOVER.test(how))
      throw new Malformed(`"recover.${database.slice(0, LABEL_MAX)}" must be "backup", "by-hand" or an ISO time in UTC such as 2026-11-21T03:00:00Z`);
    return [database, how];
  });
  return Object.fromEntries(entries);
}

function windowOf(from: Fields): Window {
  const [since, until] = [optional(from, 'from'), optional(from, 'to')];
  // In UTC and to the second, they are compared as they stand.
  const isTime = (one: string | null): one is string => one !== null && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$/.test(one);
  if (!isTime(since) || !isTime(until) || since.slice(0, -1) >= until.slice(0, -1))
    throw new Malformed('"window" has "from" and "to", times in UTC such as 2026-11-21T03:00:00Z, the earlier one first');
  return { from: since, to: until };
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
      ...recovery(from),
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
  escalate: (from) => ({ to: oneOf(from, 'to', ['l2Rollback', 'l3Rollback']), by: person(from, 'by'), reason: text(from, 'reason'), ...recovery(from) }),
  assign: (from) => ({ role: label(from, 'role'), to: person(from, 'to'), by: person(from, 'by'), reason: text(from, 'reason') }),
};

export const parseMessage = <N extends MessageName>(name: N, value: unknown): Parsed<Messages[N]> => attempt(() => PARSERS[name](fields(value)));
