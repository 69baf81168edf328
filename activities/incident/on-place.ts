/** What every operation on a database, evidence or a credential begins and ends with: as it was confirmed, still held, errors as values. */
import type { Receipt, StepState } from '../../model/state.ts';
import { NotPossible } from '../components.ts';
import { failed, fromError, isHeld, mayHaveActed, operationIdOf, type Found } from '../found.ts';
import type { DataWork } from '../step.ts';
import { hashOfPlace, type Caller } from './places.ts';
import type { Scene } from './scene.ts';

export interface OnPlace extends Scene {
  readonly data: DataWork;
  /** The place's own name, and what of it the step is about. */
  readonly name: string;
  readonly part: string;
  readonly caller: Caller;
  /** The time target is over: nothing is begun any more. */
  readonly isLate: boolean;
  /** This attempt, or an earlier one, may have done it already. */
  readonly again: boolean;
}

export type Act = (on: OnPlace) => Promise<Found>;

/** `changes`: it leaves the place different, so it has to be held. */
export const onPlace =
  (act: Act, changes: boolean) =>
  async (scene: Scene): Promise<Found> => {
    const { work, incident, loaded, deps, attempt } = scene;
    const { data, subject = '' } = incident;
    if (!data) return failed('Configuration', `${work.step.id} was not told what it acts on`);
    const [name = '', ...part] = subject.split('/');
    const { signal, heartbeat } = attempt;
    const caller = { environment: work.environment, operationId: operationIdOf(work), attempt: attempt.number, signal, heartbeat };
    const again = mayHaveActed(work, attempt) || work.generation > 0;
    const isLate = work.deadlineAt !== null && Date.now() >= Date.parse(work.deadlineAt);
    try {
      // Nothing is done elsewhere than it was confirmed; only who was told of it, and decides to retry, accepts it.
      if (hashOfPlace(loaded, work.environment, data.at) !== data.place && !data.acceptsPlace)
        return failed('ConfigurationChanged', `the configuration of ${data.at} has changed since the plan was made`);
      if (changes && work.mode === 'run' && !(await isHeld(work, `@${data.at}`, deps)))
        return failed('ClaimLost', `${data.at} is no longer claimed by this rollback; nothing was changed`);
      return await act({ ...scene, data, name, part: part.join('/'), caller, isLate, again });
    } catch (error) {
      if (error instanceof NotPossible) return failed('Configuration', error.message);
      return fromError(work, attempt, error, { receipt: null, acted: changes });
    }
  };

export const found = (state: StepState, after: unknown, more: Partial<Found> & { ids?: Receipt['ids'] } = {}): Found => {
  const { ids, ...rest } = more;
  return { state, receipt: { after, ...(ids === undefined ? {} : { ids }) }, failure: null, remains: [], ...rest };
};

/** After its receipt: what an earlier attempt, or a person, has done is not this one's doing. */
export const doneOr = (receipt: Receipt, again: boolean): StepState => (isAlready(receipt) && !again ? 'already' : 'done');

const isAlready = ({ after }: Receipt): boolean => typeof after === 'object' && after !== null && 'already' in after && after.already === true;
