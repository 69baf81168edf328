/** What only a deprovisioning shows: what the tenant has, and what becomes of each of it [000]. */
import { isTaken, nameOf, type Inventoried } from '../model/deprovision.ts';
import { routeProofs } from '../model/route-proofs.ts';
import { BLOCKED, PASSED, type RollbackState, type StepView } from '../model/state.ts';
import { paint } from './output.ts';
import { columns, cut, plain, wrap } from './words.ts';

interface Look {
  readonly width: number;
}

const PRESENCE: Readonly<Record<Inventoried['presence'], string>> = {
  present: 'at work',
  inactive: 'there, inactive',
  absent: 'cannot be seen',
  unknown: 'nobody can look',
};

/** The inventory, where it is to be confirmed; later one line, since each artifact has its step. */
export function inventoryLines(state: RollbackState, look: Look): string[] {
  const { deprovision } = state;
  if (!deprovision || state.outcome === 'refused') return [];
  const { requests, status, artifacts } = deprovision;
  const head = `${requests.length === 0 ? 'no open request' : `request ${requests.map(plain).join(', ')}`}${status === null ? ', not begun' : `: ${status}`}`;
  if (state.waiting.some((one) => one.step === 'routes')) return [paint('bold', cut(head, look.width)), ...proofLines(state, look)];
  if (!state.waiting.some((one) => one.step === 'inventory')) return [paint('bold', cut(head, look.width))];
  const rows = artifacts.map((one) => [plain(nameOf(one)), PRESENCE[one.presence], fate(one)] as const);
  const wide = Math.min(look.width, 120);
  const name = Math.min(Math.max(8, ...rows.map(([first]) => columns(first))), Math.max(24, wide - 52));
  const line = ([first, second, third]: readonly [string, string, string]): string =>
    cut(`${cut(first, name)}${' '.repeat(Math.max(0, name - columns(cut(first, name))))}  ${second.padEnd(15)}  ${third}`, wide);
  return [
    paint('bold', cut(head, wide)),
    paint('dim', line(['artifact', 'seen', 'what becomes of it'])),
    ...rows.map((row, index) => (artifacts[index] && isTaken(artifacts[index]) ? line(row) : paint('yellow', line(row)))),
    paint('dim', `plan ${state.planHash ?? ''}`),
  ];
}

/** What was seen of each path, in front of whoever has to say that no route answers. */
function proofLines(state: RollbackState, { width }: Look): string[] {
  const wide = Math.min(width, 120);
  return routeProofs(state.steps).flatMap(({ path, seen, isGone }) =>
    wrap(`${path}: ${plain(seen)}`, wide, '  ').map((line, index) =>
      index === 0 ? `${paint(isGone ? 'green' : 'red', isGone ? '✔' : '✘')} ${line.trimStart()}` : line,
    ),
  );
}

function fate(one: Inventoried): string {
  if (one.kept !== undefined) return `stays: ${plain(one.kept)}`;
  if (one.requests.length === 0) return 'not listed: a person removes it, or says whose it is';
  if (one.type === 'credential') return 'cannot be removed here: yours to clean up';
  if (one.presence === 'absent') return 'a person says that it is gone';
  if (one.type === 'vapi-assistant') return 'a person removes it in the dashboard';
  return 'taken back once it is confirmed';
}

/** A page of hundreds of steps is read by nobody: what needs somebody comes first, the rest is counted. */
const STEPS_MAX = 60;

export function shownSteps(steps: readonly StepView[]): { readonly shown: readonly StepView[]; readonly rest: string | null } {
  // What is walked only after a failure is shown when it is.
  const walked = steps.filter((step) => !(step.afterFailure && step.state === 'pending'));
  if (walked.length <= STEPS_MAX) return { shown: walked, rest: null };
  const rank = (step: StepView): number =>
    BLOCKED.has(step.state) ? 0 : step.state === 'running' ? 1 : step.state === 'waiting' ? 2 : PASSED.has(step.state) ? 4 : 3;
  const first = new Set(walked.toSorted((a, b) => rank(a) - rank(b)).slice(0, STEPS_MAX));
  const left = walked.filter((step) => !first.has(step));
  const counts = Object.entries(Object.groupBy(left, (step) => step.state)).map(([state, all]) => `${all?.length ?? 0} ${state}`);
  return { shown: walked.filter((step) => first.has(step)), rest: `and ${left.length} more steps: ${counts.join(', ')}` };
}
