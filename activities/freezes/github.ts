/**
 * GitHub as a carrier of the freeze [001 Freeze Scope]: a ruleset holds merges, disabled workflows hold promotions, required reviewers
 * hold deployments. https://docs.github.com/rest/repos/rules, /rest/actions/workflows, /rest/deployments/environments and
 * /rest/actions/variables, API 2022-11-28, checked November 2026 with @octokit/openapi-types 29.0.1.
 *
 * Nothing here is a conditional write, GitHub knows none for these. So each call looks, notes what was there, changes what is missing,
 * and looks again; whoever is killed in between is followed by one that does the same.
 */
import type { Receipt } from '../../model/state.ts';
import { HttpError } from '../adapters/http.ts';
import type { FreezeCarrier, FreezePart } from './carrier.ts';
import { NAME, withGithub, type Call, type Found, type Holder, type Session } from './github-api.ts';
import { environmentHolder } from './github-environment.ts';
import { manual } from './github-manual.ts';
import { note, noted, strike, type Before } from './github-note.ts';
import { optionsSchema, type GithubFreezeOptions } from './github-options.ts';
import { rulesetHolder } from './github-ruleset.ts';
import { workflowHolder } from './github-workflow.ts';

const SETTLE_PAUSE_MS = 500;

function holdersOf({ options, scopes }: Pick<Call, 'options' | 'scopes'>): Holder[] {
  const all = [
    rulesetHolder(options.ruleset),
    ...options.promotionWorkflows.map((file) => workflowHolder(file)),
    ...options.environments.map((environment) => environmentHolder(environment)),
  ];
  return all.filter(({ scope }) => scopes.includes(scope));
}

const look = (session: Session, holders: readonly Holder[]): Promise<Found[]> => Promise.all(holders.map((holder) => holder.look(session)));

/** Looks until all is as it should be, for as long as GitHub may show it late. */
async function settled(session: Session, holders: readonly Holder[], done: (found: Found) => boolean): Promise<Found[]> {
  const until = Date.now() + session.call.options.settleSeconds * 1000;
  for (;;) {
    const found = await look(session, holders);
    const open = found.filter((one) => !done(one) && one.fault === null);
    if (open.length === 0 || Date.now() >= until) return found;
    session.say(`waiting until GitHub shows the change of ${open.map(({ part }) => part.name).join(', ')}`);
    await session.pause(SETTLE_PAUSE_MS);
  }
}

async function freeze(session: Session, holder: Holder, found: Found): Promise<void> {
  session.say(`freezing ${holder.name}`);
  try {
    await found.freeze();
  } catch (error) {
    // Another call that came first may be why GitHub refuses: the name is taken, the workflow is disabled.
    if (!(error instanceof HttpError) || (error.kind !== 'conflict' && error.kind !== 'unauthorized')) throw error;
    const [now] = error.kind === 'conflict' ? await settled(session, [holder], ({ part }) => part.frozen) : await look(session, [holder]);
    if (now?.part.frozen !== true) throw error;
  }
}

const partsOf = (found: readonly Found[]): FreezePart[] => found.map(({ part }) => part);
const idsOf = (found: readonly Found[]): Record<string, number> => Object.fromEntries(found.flatMap(({ part, id }) => (id === null ? [] : [[part.name, id]])));
const listedParts = (found: readonly Found[]): string => found.map(({ part }) => `${part.name}: ${part.detail}`).join(' · ');

async function set(session: Session, holders: readonly Holder[]): Promise<Receipt> {
  let found = await look(session, holders);
  const open = found.filter(({ part }) => !part.frozen);
  const { before, raced } = await note(session, Object.fromEntries(open.map((one) => [one.part.name, one.before])));
  // The other attempt is changing it this moment, and two that create a ruleset would leave two.
  if (raced) found = await settled(session, holders, ({ part }) => part.frozen);
  for (const [index, holder] of holders.entries()) {
    const one = found[index];
    if (one !== undefined && !one.part.frozen) await freeze(session, holder, one);
  }
  const after = open.length === 0 ? found : await settled(session, holders, ({ part }) => part.frozen);
  const unfrozen = after.filter(({ part }) => !part.frozen);
  if (unfrozen.length > 0) throw session.http.error('failed', 'set', `not frozen: ${listedParts(unfrozen)}`);
  const asked = Object.entries(before).filter(([name]) => holders.some((holder) => holder.name === name));
  return { before: Object.fromEntries(asked), after: { parts: partsOf(after) }, ids: idsOf(after) };
}

/** What the receipt of `set` says, else the note; null: nobody knows. */
async function knownBefore(session: Session): Promise<Before | null> {
  const { before } = session.call;
  return typeof before === 'object' && before !== null && !Array.isArray(before) ? { ...before } : noted(session);
}

/** Null: it is to be put back. Else why it is not, or nothing worth saying. */
function leftAlone({ part, asSet, presumed, isBack }: Found, known: Before | null): string | null {
  const { name, detail, frozen } = part;
  if (known === null && presumed === undefined) return frozen ? `${name} is left frozen, because nobody knows what was there before; put it back by hand` : '';
  if (known !== null && !Object.hasOwn(known, name)) return frozen ? `${name} is left frozen, because it was so before` : '';
  if (asSet) return null;
  return isBack(known?.[name] ?? presumed) ? '' : `${name} is left as it is, because somebody changed it since: ${detail}`;
}

async function lift(session: Session, holders: readonly Holder[]): Promise<Receipt> {
  const found = await look(session, holders);
  const known = await knownBefore(session);
  const remarks: string[] = [];
  const thawed: Holder[] = [];
  for (const [index, holder] of holders.entries()) {
    const one = found[index];
    if (one === undefined) continue;
    const why = leftAlone(one, known);
    if (why === null) {
      session.say(`lifting ${holder.name}`);
      await one.thaw(known === null ? one.presumed : known[holder.name]);
      thawed.push(holder);
    } else if (why !== '') remarks.push(why);
    if (one.fault !== null) remarks.push(`${holder.name}: ${one.fault}`);
  }
  const held = thawed.length === 0 ? [] : (await settled(session, thawed, ({ asSet }) => !asSet)).filter(({ asSet }) => asSet);
  if (held.length > 0) throw session.http.error('failed', 'lift', `still frozen: ${listedParts(held)}`);
  await strike(
    session,
    holders.map(({ name }) => name),
  );
  const after = thawed.length === 0 ? found : await look(session, holders);
  return {
    before: { parts: partsOf(found) },
    after: { parts: partsOf(after) },
    ids: idsOf(after),
    ...(remarks.length === 0 ? {} : { detail: remarks.join('. ') }),
  };
}

/** Without a part to carry, GitHub is not asked. */
const forParts = (call: Call, work: (session: Session, holders: readonly Holder[]) => Promise<Receipt>): Promise<Receipt> => {
  const holders = holdersOf(call);
  return holders.length === 0 ? Promise.resolve({ before: {}, after: { parts: [] } }) : withGithub(call, (session) => work(session, holders));
};

export const github: FreezeCarrier<GithubFreezeOptions> = {
  name: NAME,
  options: optionsSchema,
  limits: [
    'Administrators of the repository can change the ruleset, enable the workflows and, where the environment lets them, pass its reviewers; Backout sees it at its next look.',
    'A run of a workflow that had begun before the freeze goes on, and a deployment that was approved before it happens.',
    'A deployment to a frozen environment waits for a rollback owner even where the rollback itself makes it through GitHub Actions.',
    'Only jobs that name the environment are held; a script that deploys from elsewhere is not.',
    'GitHub knows no conditional write for these settings: what somebody else changes between our look and our write is overwritten.',
    'Two freezes that share a repository share its ruleset: give each environment a ruleset of its own where they are to be lifted apart.',
    'What was there before is kept in a variable of the repository until the lift; the receipt goes before it, since whoever may write variables could change it.',
  ],
  inspect: async (call) => {
    const holders = holdersOf(call);
    return holders.length === 0 ? [] : withGithub(call, async (session) => partsOf(await look(session, holders)));
  },
  set: (call) => forParts(call, set),
  lift: (call) => forParts(call, lift),
  manual,
};
