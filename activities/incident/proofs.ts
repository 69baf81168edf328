/** What is proven before and after data is gone back: the house's own checks, and evidence that was preserved, marked and goes on [001 steps 3c and 3d]. */
import { fieldOf } from '../../model/field.ts';
import { entryOf } from '../../model/record.ts';
import { failed, type Found } from '../found.ts';
import type { Survey } from '../evidence/chain.ts';
import { doneOr, found, onPlace, type OnPlace } from './on-place.ts';
import { recoveryOf, shownOf, violationsOf } from './going-back.ts';
import { chainAt, databaseAt } from './places.ts';

/** Before anything is changed. What is violated or broken already stops nothing, and is told. */
export const survey = onPlace(async (on) => (await surveyedBefore(on)) ?? (on.data.at.startsWith('evidence/') ? surveyChain(on) : surveyDatabase(on)), false);

/** By a run that was reset since, before this rollback has changed anything: what would be seen now has its own doing in it. */
async function surveyedBefore({ work, deps, attempt, name }: OnPlace): Promise<Found | null> {
  if (attempt.runId === work.rollbackId && work.generation === 0) return null;
  const entries = (await deps.store.entriesOf(work.rollbackId)).map(entryOf);
  const first = entries.find((one) => one.type === 'step' && one['step'] === work.step.id && one['state'] === 'done');
  if (!first) return null;
  return found('done', fieldOf(first['receipt'], 'after'), {
    warnings: [`${name} was looked at by an earlier run of this rollback, at ${first.at}: that is what counts`],
  });
}

async function surveyDatabase({ loaded, name, caller }: OnPlace): Promise<Found> {
  const { config, database, call } = databaseAt(loaded, name, caller);
  const checks = await database.check(call, config.checks);
  const violated = violationsOf(checks);
  return found('done', { checks: shownOf(checks) }, violated === null ? {} : { warnings: [`before anything was changed in ${name}: ${violated}`] });
}

async function surveyChain({ loaded, name, caller }: OnPlace): Promise<Found> {
  const { chain, call } = chainAt(loaded, name, caller);
  const { warnings: forks, ...seen } = await chain.survey(call);
  const broken = seen.broken === 0 ? [] : [`${name} was broken before anything was appended: ${brokenOf(seen)}; it is recorded, and not repaired`];
  return found('done', seen, { warnings: [...broken, ...forks.map((one) => `${name}: ${one}`)] });
}

const brokenOf = ({ broken, breaks: [first] }: Pick<Survey, 'broken' | 'breaks'>): string =>
  `${broken} ${broken === 1 ? 'break' : 'breaks'}, the first at ${first?.at ?? '?'} (${first?.detail ?? 'not told'})`;

/** The same checks after it: nobody can accept as risk what they find. */
export const invariants = onPlace(async ({ loaded, work, data, name, caller }) => {
  // Of the one that is in use by now.
  const switched = data.recover === undefined ? undefined : 'recovered';
  const { config, database, call } = databaseAt(loaded, name, switched ? recoveryOf(work, name, caller) : caller);
  const checks = await database.check(call, config.checks, switched);
  const violated = violationsOf(checks);
  const before = fieldOf(data.before, 'checks');
  const receipt = { after: { checks: shownOf(checks), ...(before === undefined ? {} : { before }) } };
  return violated === null ? { state: 'done', receipt, failure: null, remains: [] } : { ...failed('InvariantViolated', `in ${name}, ${violated}`), receipt };
}, false);

/** Affected entries are marked by what is appended; nothing that is there is touched. */
export const annotate = onPlace(async ({ loaded, work, incident, data, name, caller, again, isLate }) => {
  const { chain, call } = chainAt(loaded, name, caller);
  if (!data.window) return failed('Configuration', 'the plan has no span of time in which entries are affected');
  if (work.mode === 'inspect') return failed('NotAtTarget', `a mark of this rollback is found by retry: it is never appended twice`);
  if (isLate && !again) return failed('DeadlinePassed', `the time target was over before ${name} could be marked; nothing was appended`);
  const receipt = await chain.annotate(call, {
    incident: incident.id,
    rollbackId: work.rollbackId,
    by: incident.by,
    at: new Date().toISOString(),
    window: data.window,
  });
  return { state: doneOr(receipt, again), receipt, failure: null, remains: [] };
}, true);

/** Everything up to where it was surveyed is what it was, and what came after it links on. */
export const chain = onPlace(async ({ loaded, data, name, caller }) => {
  const at = chainAt(loaded, name, caller);
  const before = data.before as Survey | undefined; // As `survey` left it in its receipt.
  if (!before) return failed('ChainBroken', `nobody has seen ${name} before this rollback appended to it, so nothing can be proven`);
  const prefix = await at.chain.survey(at.call, before.last);
  const now = await at.chain.survey(at.call);
  const after = {
    entries: now.entries,
    head: now.head,
    digest: now.digest,
    before: { entries: before.entries, head: before.head, digest: before.digest },
    broken: now.broken,
  };
  if (before.last !== null && (prefix.entries !== before.entries || prefix.digest !== before.digest))
    return {
      ...failed('ChainBroken', `entries of ${name} that were there before are not what they were: ${before.entries} then, ${prefix.entries} now`),
      receipt: { after },
    };
  if (now.broken > before.broken)
    return { ...failed('ChainBroken', `the chain of ${name} does not hold: ${brokenOf(now)}; ${before.broken} of them were there before`), receipt: { after } };
  const warnings =
    before.broken === 0
      ? []
      : [`${name} was broken before this incident was rolled back (${brokenOf(before)}), and is so still: it is recorded, and not repaired`];
  return found('done', after, { warnings });
}, false);
