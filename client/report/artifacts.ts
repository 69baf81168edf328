/** What became of each artifact of a tenant, by whose word, and how that is known [000 Rollback Scope]. Never more than a receipt or a person's word says. */
import { fieldOf } from '../../model/field.ts';
import { BY_HAND, nameOf, NOT_OURS, notRemovable, type Inventoried } from '../../model/deprovision.ts';
import { BLOCKED, PASSED, type Answer, type StepView } from '../../model/state.ts';
import { keyOf, type ArtifactType } from '../../model/tenant.ts';
import { entriesOf, runsOf, said, textIn, type Reading, type Run } from './reading.ts';

/** `not-ours`: it carried the tenant's mark, and a person said that it is not the tenant's. */
export type Fate = 'removed' | 'left' | 'kept' | 'not-removable' | 'not-ours';

/**
 * `seen`: Backout removed it, and saw it gone. `gone-before`: there was nothing to remove. `by-hand`: a person removed it, and it was seen gone. `cleaned-up`: the
 * same after it had failed. `configuration`: it is taken out of the tenant's configuration, and nobody looked further. `said`: a person's word, and nothing else.
 */
export type Known = 'seen' | 'gone-before' | 'by-hand' | 'cleaned-up' | 'configuration' | 'said';
export type Action = 'deleted' | 'deactivated' | 'removed' | 'disconnected' | 'gone' | 'inactive' | 'deleted-or-deactivated';

/** Who was asked to clean the credentials of a CRM or calendar up, and did. */
export interface CredentialCleanup {
  readonly state: 'confirmed' | 'left' | 'awaited';
  readonly by: string | null;
  readonly at: string | null;
}

export interface ArtifactReport {
  readonly type: ArtifactType;
  readonly id: string;
  readonly name: string | null;
  /** As operators read it. */
  readonly label: string;
  /** Null: no Canonical Object lists it. */
  readonly requests: readonly string[] | null;
  readonly step: string | null;
  readonly fate: Fate;
  /** As it was asked: deactivate, delete, done, removed, not-ours; null where there is nothing to choose. */
  readonly chosen: string | null;
  /** Null unless it is removed. */
  readonly action: Action | null;
  readonly known: Known | null;
  /** Whose word it was done on. */
  readonly by: string | null;
  readonly at: string | null;
  /** Where it is not removed: why. */
  readonly why: string | null;
  /** Where it is left: how far it came. */
  readonly stands: Stands | null;
  readonly credentials: CredentialCleanup | null;
  /** The rollback that removed it. */
  readonly rollbackId: string;
}
export type Stands = 'not-begun' | 'awaited' | 'agreed' | 'unproven' | 'failed' | 'declined' | 'left-out' | 'unlisted' | 'again';

/** What the last look of all has seen, and what it sent back. */
interface Swept {
  readonly at: string | null;
  readonly again: readonly { readonly subject: string | null; readonly at: string; readonly message: string | null }[];
  readonly cleanup: Answer | undefined;
}

export function artifactsOf(reading: Reading, artifacts: readonly Inventoried[]): ArtifactReport[] {
  const swept = sweptOf(reading);
  // A path that only the mark of its workflow shows goes with that, and has no word of its own.
  return artifacts.filter((one) => one.type !== 'webhook' || one.requests.length > 0).map((one) => artifactOf(reading, one, swept));
}

function sweptOf(reading: Reading): Swept {
  const looks = reading.steps.filter((step) => step.operation === 'remnants' || step.operation === 'complete');
  const at =
    looks
      .filter(isDone)
      .flatMap((step) => runsOf(reading, step.id).findLast((run) => PASSED.has(run.state))?.at ?? [])
      .toSorted()
      .at(-1) ?? null;
  const ids = new Set(looks.map((step) => step.id));
  const sentBack = entriesOf(reading, 'step').filter((entry) => ids.has(textIn(entry, 'step') ?? '') && (at === null || entry.at > at));
  const again = sentBack.flatMap((entry) => {
    const list = fieldOf(fieldOf(fieldOf(entry, 'change'), 'left'), 'again');
    if (!Array.isArray(list)) return [];
    return list.map((one: unknown) => ({ subject: textIn(one, 'subject'), at: entry.at, message: textIn(fieldOf(one, 'failure'), 'message') }));
  });
  return { at, again, cleanup: lastConfirm(reading, 'cleanup') };
}

const lastConfirm = (reading: Reading, id: string): Answer | undefined => {
  const last = reading.answers.findLast((one) => one.step === id && (one.name === 'confirm' || one.name === 'decline'));
  return last?.name === 'confirm' ? last : undefined;
};

/** A confirmed approval is no deed: what acts or looks has passed only by a run of its own. */
export const isDone = ({ operation, state }: StepView): boolean => (operation === null ? state === 'confirmed' : state === 'done' || state === 'already');

const lastRun = (reading: Reading, { id }: StepView): Run | undefined => runsOf(reading, id).findLast((run) => run.state === 'done' || run.state === 'already');

function artifactOf(reading: Reading, artifact: Inventoried, swept: Swept): ArtifactReport {
  const steps = reading.steps.filter((step) => step.subject === keyOf(artifact));
  const [main] = steps;
  const base: ArtifactReport = {
    type: artifact.type,
    id: artifact.id,
    name: artifact.name ?? null,
    label: nameOf(artifact),
    requests: artifact.requests.length === 0 ? null : artifact.requests,
    step: main?.id ?? null,
    fate: 'left',
    chosen: main ? textIn(lastConfirm(reading, main.id), 'choice') : null,
    action: null,
    known: null,
    by: null,
    at: null,
    why: null,
    stands: null,
    credentials: null,
    rollbackId: reading.state.rollbackId,
  };
  if (artifact.kept !== undefined) return { ...base, fate: 'kept', why: artifact.kept };
  if (artifact.type === 'credential' && artifact.requests.length > 0)
    return { ...base, fate: 'not-removable', why: notRemovable([artifact])[0]?.reason ?? null };
  // Sent back by the last look, and not gone through again since.
  const back = swept.again.findLast((one) => one.subject === keyOf(artifact));
  if (back && !steps.some((step) => isDone(step) && (step.endedAt ?? '') > back.at)) return { ...base, stands: 'again', why: back.message };
  if (!main)
    return base.requests === null
      ? { ...base, stands: 'unlisted', why: 'it carries the tenant’s mark, and no Canonical Object lists it' }
      : left(reading, base, undefined);
  const done = removedOf({ reading, artifact, steps, main, swept }, base);
  return done ?? cleanedUp(reading, base, steps, swept) ?? left(reading, base, blocking(steps));
}

interface Scene {
  readonly reading: Reading;
  readonly artifact: Inventoried;
  readonly steps: readonly StepView[];
  readonly main: StepView;
  readonly swept: Swept;
}

/** Null: it is not removed by its own steps. */
function removedOf(scene: Scene, base: ArtifactReport): ArtifactReport | null {
  const { reading, artifact, steps, main, swept } = scene;
  if (!isDone(main)) return null;
  const answer = lastConfirm(reading, main.id);
  const word = { by: answer?.by ?? null, at: answer?.at ?? main.endedAt };
  if (artifact.requests.length === 0) {
    if (textIn(answer, 'choice') === NOT_OURS) return { ...base, ...word, fate: 'not-ours', why: textIn(answer, 'note') };
    return { ...base, ...word, fate: 'removed', action: 'removed', known: swept.at !== null && swept.at > (word.at ?? '') ? 'by-hand' : 'said' };
  }
  if (main.operation === null) return byPerson(scene, base, word);
  const run = lastRun(reading, main);
  const presence = textIn(run?.receipt?.after, 'presence');
  const at = run?.at ?? main.endedAt;
  // Out of the configuration by an earlier try of ours, or not listed at all: only the first try can find that there was nothing to do.
  const isFirst = !runsOf(reading, main.id).some((one) => BLOCKED.has(one.state));
  if (main.operation === 'look') return { ...base, ...word, at, fate: 'removed', action: 'gone', known: isUnseen(run) ? 'said' : 'gone-before' };
  if (main.operation === 'release') {
    // Another request of the tenant has come to use it.
    if (presence === 'kept') return { ...base, ...word, at, fate: 'kept', why: textIn(run?.receipt?.after, 'detail') };
    const isPath = artifact.type === 'webhook';
    const known: Known = isPath ? (run?.state === 'already' && isFirst ? 'gone-before' : 'seen') : presence === 'absent' ? 'seen' : 'configuration';
    const credentials = isPath ? null : credentialsOf(reading, steps);
    return { ...base, ...word, at, fate: 'removed', action: isPath ? 'removed' : 'disconnected', known, credentials };
  }
  const helped = said(reading, 'decide', main.id).findLast((one) => one['action'] === 'done' && one.at > (answer?.at ?? '') && one.at <= (at ?? one.at));
  const isHand = base.chosen === BY_HAND || helped !== undefined;
  const isGone = presence === null ? base.chosen === 'delete' : presence === 'absent';
  const wasSo = run?.state === 'already' && isFirst && !isHand;
  const now: Action = wasSo ? (isGone ? 'gone' : 'inactive') : isGone ? 'deleted' : 'deactivated';
  return {
    ...base,
    by: helped?.by ?? word.by,
    at,
    fate: 'removed',
    action: now,
    known: helped ? 'cleaned-up' : isHand ? 'by-hand' : wasSo ? 'gone-before' : 'seen',
  };
}

const isUnseen = (run: Run | undefined): boolean => fieldOf(run?.receipt?.after, 'verified') !== true;

/** What only a person could do: it is looked at afterwards where that is possible. */
function byPerson(
  { reading, steps, main }: Scene,
  base: ArtifactReport,
  word: { readonly by: string | null; readonly at: string | null },
): ArtifactReport | null {
  const look = steps.find((step) => step !== main && step.operation === 'look');
  if (!look || !isDone(look)) return null;
  const run = lastRun(reading, look);
  const presence = textIn(run?.receipt?.after, 'presence');
  const action: Action = presence === 'absent' ? 'deleted' : presence === 'inactive' ? 'deactivated' : 'deleted-or-deactivated';
  const isSeen = !isUnseen(run);
  return { ...base, ...word, at: isSeen ? (run?.at ?? word.at) : word.at, fate: 'removed', action, known: isSeen ? 'by-hand' : 'said' };
}

function credentialsOf(reading: Reading, steps: readonly StepView[]): CredentialCleanup | null {
  const step = steps.find((one) => one.operation === null && one.id.endsWith('.credentials'));
  if (!step) return null;
  const answer = lastConfirm(reading, step.id);
  if (step.state === 'confirmed' && answer) return { state: 'confirmed', by: answer.by, at: answer.at };
  const isOver = step.state === 'skipped' || BLOCKED.has(step.state) || reading.state.state === 'closed';
  return { state: isOver ? 'left' : 'awaited', by: null, at: null };
}

/** It failed or was left out; then people cleaned up, and the last look saw nothing of it, as far as it can be seen. */
function cleanedUp(reading: Reading, base: ArtifactReport, steps: readonly StepView[], { at, cleanup }: Swept): ArtifactReport | null {
  if (at === null || !cleanup || cleanup.at > at) return null;
  const unseen = fieldOf(fieldOf(reading.steps.find((step) => step.operation === 'remnants')?.receipt, 'after'), 'unseen');
  const couldLook = base.type === 'vapi-assistant' && Array.isArray(unseen) && !unseen.includes(`${base.type} ${base.id}`);
  const isSeen = base.type === 'n8n-workflow' || base.type === 'webhook' || couldLook;
  const action: Action = base.type === 'crm' || base.type === 'calendar' ? 'disconnected' : base.type === 'webhook' ? 'removed' : 'deleted-or-deactivated';
  // A CRM or calendar leaves the configuration with the end itself.
  const isEnded = reading.steps.some((step) => step.operation === 'complete' && isDone(step));
  const known: Known = isSeen ? 'cleaned-up' : action === 'disconnected' && isEnded ? 'configuration' : 'said';
  return { ...base, fate: 'removed', action, known, by: cleanup.by, at: isSeen ? at : cleanup.at, credentials: credentialsOf(reading, steps) };
}

/** The first of its steps that is not done: its credentials are a matter of their own. */
const blocking = (steps: readonly StepView[]): StepView | undefined =>
  steps.find((step) => !isDone(step) && !(step.operation === null && step.id.endsWith('.credentials'))) ?? steps[0];

function left(reading: Reading, base: ArtifactReport, step: StepView | undefined): ArtifactReport {
  const begun = reading.steps.some((one) => one.operation === 'begin' && (runsOf(reading, one.id).length > 0 || one.state !== 'pending'));
  if (!begun || !step) return { ...base, stands: 'not-begun', why: 'nothing was changed' };
  if (step.state === 'skipped') {
    const decision = said(reading, 'decide', step.id).findLast((one) => one['action'] === 'skip');
    return {
      ...base,
      stands: 'left-out',
      why: [step.failure?.message, decision && `left by ${decision.by}: ${textIn(decision, 'reason') ?? ''}`].filter(Boolean).join('; '),
    };
  }
  if (step.state === 'declined') return { ...base, stands: 'declined', why: step.failure?.message ?? null };
  if (BLOCKED.has(step.state)) return { ...base, stands: 'failed', why: step.failure?.message ?? null };
  if (step.id !== base.step) return { ...base, stands: 'unproven', why: 'a person says that it is removed, and it has not been looked at yet' };
  const agreed = lastConfirm(reading, step.id);
  return agreed
    ? { ...base, stands: 'agreed', why: `confirmed by ${agreed.by}, and not carried out yet` }
    : { ...base, stands: 'awaited', why: 'nobody has confirmed it yet' };
}
