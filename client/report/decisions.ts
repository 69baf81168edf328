/** What people decided, and how long they were awaited: read from their answers, and from what each of them had to wait for. */
import { fieldOf } from '../../model/field.ts';
import type { RecordEntry } from '../../model/record.ts';
import { itemsOf } from '../../model/evidence.ts';
import { isKind } from '../../model/policy.ts';
import { own } from '../../model/roles.ts';
import { BLOCKED, PASSED, type Answer, type StepView } from '../../model/state.ts';
import { signedWords } from './data-words.ts';
import { isRefused, levelName } from './growth.ts';
import { entriesOf, lastSaid, ownerOf, planAt, runsOf, said, secondsBetween, stepOf, textIn, textsIn, titleOf, type Reading } from './reading.ts';

export interface Decision {
  readonly at: string;
  readonly by: string;
  /** How the name is known. */
  readonly proof: string;
  readonly name: string;
  readonly step: string | null;
  /** Of a `decide`: retry, skip, done or close. */
  readonly action: string | null;
  /** In words, without the reason. */
  readonly what: string;
  readonly why: string | null;
  /** Until when what was let go has to be made up for. */
  readonly due: string | null;
  readonly evidence: readonly string[];
}

export interface Wait {
  readonly step: string | null;
  readonly title: string;
  /** What was asked for: the answer to a step, or a decision about it. */
  readonly asked: 'answer' | 'decision';
  /** The role. */
  readonly awaited: string;
  readonly since: string;
  /** Null: still awaited. */
  readonly until: string | null;
  readonly seconds: number;
  readonly answeredBy: string | null;
}

export interface WaitingTimes {
  readonly waits: readonly Wait[];
  /** What runs beside each other is counted once. */
  readonly byRole: readonly { readonly role: string; readonly seconds: number; readonly waits: number }[];
}

/** Enough of `sha256:…` to tell one plan from another. */
const HASH_SHOWN = 'sha256:'.length + 12;

/** Confirmations by which somebody decides something, rather than attests it. */
const DECIDES: Readonly<Record<string, (answer: Answer) => string>> = {
  declaration: () => 'declared rollback mode',
  target: (answer) => `confirmed the target, plan ${(textIn(answer, 'plan') ?? '?').slice(0, HASH_SHOWN)}`,
  takeover: (answer) => (answer['choice'] === 'take-over' ? 'took over the components of another rollback' : 'waited for another rollback'),
  unfreeze: (answer) => {
    const scopes = textsIn(answer['data'], 'scopes');
    return `confirmed the unfreeze${scopes.length === 0 ? '' : ` of ${scopes.join(', ')}`}`;
  },
  credentials: (answer) => `signed the list of credentials: ${signedWords(answer)}`,
  availability: () => 'confirmed that the service is available again',
  inventory: (answer) => `confirmed the inventory, plan ${(textIn(answer, 'plan') ?? '?').slice(0, HASH_SHOWN)}`,
  routes: () => 'confirmed that no route answers any more',
  cleanup: () => 'confirmed that what had failed was cleaned up by hand',
  completion: () => 'confirmed the end of the deprovisioning',
};

/** Of a tenant, what is left is documented: nothing passes. */
const leftOut = (answer: Answer): string => `left ${answer.step ?? ''} as what remains`;

const ACTIONS: Readonly<Record<string, (answer: Answer) => string>> = {
  retry: (answer) => `decided to try ${answer.step ?? ''} again`,
  done: (answer) => `said that ${answer.step ?? ''} was done by hand`,
  skip: (answer) => {
    const isBlocker = textIn(itemsOf(textsIn(answer, 'evidence')), 'link') !== null;
    if (textIn(answer, 'due') !== null) return `accepted the risk of ${answer.step ?? ''}`;
    return `let ${answer.step ?? ''} pass${isBlocker ? ' as a known baseline blocker' : ' without success'}`;
  },
  close: () => 'closed the rollback',
};

export function decisionsOf(reading: Reading): Decision[] {
  const answered = reading.answers.flatMap((answer): Decision[] => {
    const isLeft = reading.policy.subject === 'tenant' && answer.name === 'decide' && answer['action'] === 'skip';
    const what = isLeft ? leftOut(answer) : whatOf(reading, answer);
    if (what === null) return [];
    const why = [textIn(answer, 'reason'), textIn(answer, 'analysis'), textIn(answer, 'note')].filter((one) => one !== null).join('; ');
    return [
      {
        at: answer.at,
        by: answer.by,
        proof: answer.proof,
        name: answer.name,
        step: answer.step,
        action: textIn(answer, 'action'),
        what,
        why: why === '' ? null : why,
        due: textIn(answer, 'due'),
        evidence: textsIn(answer, 'evidence'),
      },
    ];
  });
  return [...answered, ...successors(reading)].toSorted((one, other) => one.at.localeCompare(other.at));
}

function whatOf(reading: Reading, answer: Answer): string | null {
  switch (answer.name) {
    case 'confirm':
      return own(DECIDES, answer.step ?? '')?.(answer) ?? approved(reading, answer);
    case 'escalate':
      return escalated(reading, answer);
    case 'decline':
      return `declined ${answer.step ?? ''}`;
    case 'decide':
      return own(ACTIONS, textIn(answer, 'action') ?? '')?.(answer) ?? `decided about ${answer.step ?? 'the whole'}`;
    case 'stop':
      return 'stopped it';
    case 'resume':
      return 'let it go on';
    default:
      return null;
  }
}

/** As the plan had it that was looked at: what would be lost may have been counted anew since. */
function approved(reading: Reading, { step, at }: Answer): string | null {
  const planned = planAt(reading, at)?.steps.find((one) => one.id === step) ?? stepOf(reading, step ?? '');
  return planned?.approval && planned.place !== undefined ? `approved ${step ?? ''}: ${planned.title}` : null;
}

function escalated({ state, growth }: Reading, answer: Answer): string {
  const to = isKind(answer['to']) ? answer['to'] : null;
  if (to === null) return 'asked for a higher level';
  if (isRefused(state, answer)) return `asked for ${levelName(to)}, which was refused`;
  const grown = growth.find((one) => one.to === to && one.by === answer.by);
  return grown ? `escalated from ${levelName(grown.from)} to ${levelName(to)}` : `asked for ${levelName(to)}`;
}

/** Who went on with it after its execution had been ended from outside. */
const successors = (reading: Reading): Decision[] =>
  entriesOf(reading, 'resumed').flatMap((entry) => {
    const resumes = fieldOf(entry['input'], 'resumes');
    const by = textIn(resumes, 'by');
    // A run that had grown long went on by itself: nobody decided that.
    if (by === null || textIn(resumes, 'continues') !== null) return [];
    const what = 'went on with it after its execution had been ended from outside';
    return [
      { at: entry.at, by, proof: 'self-declared', name: 'resume', step: null, action: null, what, why: textIn(resumes, 'reason'), due: null, evidence: [] },
    ];
  });

export function waitingTimesOf(reading: Reading): WaitingTimes {
  const answered = reading.answers.flatMap((answer) => {
    const wait = waitFor(reading, answer);
    return wait ? [wait] : [];
  });
  const open = reading.state.waiting.map((one): Wait => {
    const step = one.step === '' ? null : one.step;
    const since = one.since === '' ? reading.madeAt : one.since;
    const asked = one.answer.startsWith('backout confirm ') ? 'answer' : 'decision';
    return {
      step,
      title: step === null ? '' : titleOf(reading, step),
      asked,
      awaited: one.for,
      since,
      until: null,
      seconds: secondsBetween(since, reading.madeAt),
      answeredBy: null,
    };
  });
  const waits = [...answered, ...open].toSorted((one, other) => one.since.localeCompare(other.since));
  const roles = [...new Set(waits.map((one) => one.awaited))];
  const byRole = roles.map((role) => {
    const own = waits.filter((one) => one.awaited === role);
    return { role, seconds: together(own, reading.madeAt), waits: own.length };
  });
  return { waits, byRole: byRole.toSorted((one, other) => other.seconds - one.seconds) };
}

/** The length of time that is covered by any of them. */
function together(waits: readonly Wait[], nowIso: string): number {
  let covered = 0;
  let end = '';
  for (const { since, until } of waits) {
    const last = until ?? nowIso;
    if (last <= end) continue;
    covered += secondsBetween(since > end ? since : end, last);
    end = last;
  }
  return covered;
}

function waitFor(reading: Reading, answer: Answer): Wait | null {
  const { name, step, at, by } = answer;
  const wait = (asked: Wait['asked'], awaited: string, since: string | null): Wait | null =>
    since === null
      ? null
      : { step, title: step === null ? '' : titleOf(reading, step), asked, awaited, since, until: at, seconds: secondsBetween(since, at), answeredBy: by };
  switch (name) {
    case 'confirm':
    case 'decline':
      return wait('answer', ownerOf(reading, step), askedAt(reading, answer));
    case 'decide':
      return wait('decision', ownerOf(reading, step), blockedAt(reading, answer));
    case 'resume':
      return wait('decision', reading.policy.lead, said(reading, 'stop').findLast((one) => one.at <= at)?.at ?? null);
    default:
      return null;
  }
}

/** The last time before `at`; null where there is none. */
const lastBefore = (at: string, times: readonly string[]): string | null =>
  times.reduce<string | null>((last, one) => (one <= at && (last === null || one > last) ? one : last), null);

/** Since when this answer was awaited; its own time where it came before the question, null where nothing was asked. */
function askedAt(reading: Reading, answer: Answer): string | null {
  const { at } = answer;
  const step = stepOf(reading, answer.step ?? '');
  if (step?.beside) {
    // One that nobody had asked for was not awaited either.
    const before = said(reading, 'confirm', step.id).findLast((one) => one.at < at)?.at ?? '';
    const asked = entriesOf(reading, 'notice').filter((entry) => entry.at > before && textIn(entry, 'text')?.includes(`is awaited for ${step.id}`));
    return lastBefore(
      at,
      asked.map((entry) => entry.at),
    );
  }
  const startedAt = step?.startedAt ?? null;
  const isLast = [lastSaid(reading, 'confirm', answer.step), lastSaid(reading, 'decline', answer.step)].every((one) => one === undefined || one.at <= at);
  // From the record alone an approved step starts with what was done on the answer, not with the question.
  const isAsked = startedAt !== null && !(step?.approval && startedAt > at);
  if (isAsked && isLast) return startedAt <= at ? startedAt : at;
  if (answer.step === 'investigation')
    return (
      lastBefore(
        at,
        entriesOf(reading, 'breach').map((entry) => entry.at),
      ) ?? at
    );
  if (!step)
    return (
      lastBefore(
        at,
        runsOf(reading, 'identify').map((run) => run.at),
      ) ?? at
    );
  return reachedAt(reading, step, at);
}

/** When everything before this step had ended; `at` itself where something had not. */
function reachedAt(reading: Reading, step: StepView, at: string): string {
  const first = reading.steps.findIndex((one) => one.id === step.id || (step.wave !== undefined && one.wave === step.wave));
  const { after } = step;
  const awaited = after === undefined ? [] : reading.steps.filter((one) => one !== step && one.id.startsWith(after));
  const before = [...reading.steps.slice(0, first).filter((one) => !one.beside && !one.afterFailure && one.irreversible === undefined), ...awaited];
  const ends = before.map((one) => lastBefore(at, endsOf(reading, one.id)));
  if (ends.includes(null)) return at;
  const again = [...said(reading, 'decide', step.id), ...reading.voids.filter((one) => one.steps.includes(step.id))].map((one) => one.at);
  return (
    lastBefore(at, [
      reading.state.trigger.at,
      ...entriesOf(reading, 'opened').map((entry) => entry.at),
      ...ends.filter((one) => one !== null),
      ...again.filter((one) => one < at),
    ]) ?? at
  );
}

/** The times at which a step passed. */
const endsOf = (reading: Reading, id: string): string[] => [
  ...runsOf(reading, id).flatMap((run) => (PASSED.has(run.state) ? [run.at] : [])),
  ...said(reading, 'confirm', id).map((one) => one.at),
  ...said(reading, 'decide', id).flatMap((one) => (one['action'] === 'skip' ? [one.at] : [])),
];

/** The step whose work somebody has undone. */
const driftedStep = (entry: RecordEntry): string =>
  textIn(entry, 'carrier') === null ? `${textIn(entry, 'component') ?? ''}.deploy` : `freeze.${textIn(entry, 'carrier') ?? ''}`;

/** Since when a decision was awaited: the last time that this step, or for a close anything, had come to a halt. */
function blockedAt(reading: Reading, answer: Answer): string | null {
  const ids = answer.step === null ? reading.steps.map((step) => step.id) : [answer.step];
  const halts = [
    ...ids.flatMap((id) => runsOf(reading, id).flatMap((run) => (BLOCKED.has(run.state) ? [run.at] : []))),
    ...ids.flatMap((id) => said(reading, 'decline', id).map((one) => one.at)),
    ...entriesOf(reading, 'drift').flatMap((entry) => (ids.includes(driftedStep(entry)) ? [entry.at] : [])),
    ...(answer.step === null ? said(reading, 'stop').map((one) => one.at) : []),
  ];
  // Held back by the clock: nothing has failed, and all the same nothing goes on.
  return (
    lastBefore(answer.at, halts) ??
    lastBefore(
      answer.at,
      entriesOf(reading, 'breach').map((entry) => entry.at),
    )
  );
}
