/** The operations of an incident rollback [001 Procedure]. One line each. */
import { environmentOf } from '../components.ts';
import type { Operation } from '../../model/plan.ts';
import type { Found } from '../found.ts';
import type { StepWork } from '../step.ts';
import { communicate } from './communicate.ts';
import { setBack } from './configuration.ts';
import { freeze, lift } from './freezing.ts';
import { commandGate, overAll, parity } from './gates.ts';
import { identify } from './identify.ts';
import { review } from './review.ts';
import type { Scene } from './scene.ts';
import { issue, install, revoke } from './credentials.ts';
import { scope } from './credential-scope.ts';
import { rebuild, recover, restore, switchOver, undo } from './going-back.ts';
import { annotate, chain, invariants, survey } from './proofs.ts';
import { stability } from './stability.ts';

const OPERATIONS: Partial<Record<Operation, (scene: Scene) => Promise<Found>>> = {
  freeze,
  lift,
  communicate,
  identify,
  config: setBack,
  health: overAll,
  smoke: overAll,
  served: overAll,
  parity,
  gate: commandGate,
  review,
  stability,
  survey,
  undo,
  restore,
  recover,
  switch: switchOver,
  rebuild,
  invariants,
  annotate,
  chain,
  issue,
  install,
  revoke,
  scope,
};

/** Null: the step is a component's own, as in every kind. */
export function incidentOperation(work: StepWork): ((place: Pick<Scene, 'loaded' | 'deps' | 'attempt'>) => Promise<Found>) | null {
  const { incident } = work;
  const operation = work.step.operation === null ? undefined : OPERATIONS[work.step.operation];
  if (!incident || !operation) return null;
  return ({ loaded, deps, attempt }) => operation({ work, incident, loaded, environment: environmentOf(loaded, work.environment), deps, attempt });
}
