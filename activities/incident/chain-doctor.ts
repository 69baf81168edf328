/** Can evidence be read, annotated and verified [001 step 3d]? A look that is cheap: of a long chain it says that it answers, and no more. */
import { AdapterError } from '../adapters/adapter.ts';
import type { Attempt } from '../dependencies.ts';
import type { Survey } from '../evidence/chain.ts';
import type { Finding } from '../inspect.ts';
import { bounded, callerOf, looking, ok, warning, type DoctorScene } from './findings.ts';
import { chainAt, type ChainAt } from './places.ts';

/** As long as it is read from its beginning on. */
const WALK_SECONDS = 5;
const DAY_MS = 86_400_000;

export const chainFindings = (scene: DoctorScene, name: string): Promise<Finding[]> => {
  const check = `evidence ${name}`;
  const { attempt, loaded } = scene;
  const remedy = 'mend it in backout.yaml, or see that the worker may read it';
  return looking({ check, remedy, attempt }, async (within) => {
    const { chain, call } = chainAt(loaded, name, callerOf(scene, within));
    const to = new Date().toISOString();
    const recent = await chain.affected(call, { from: new Date(Date.parse(to) - DAY_MS).toISOString(), to });
    const answers = `${chain.name} answers; a window of the last 24 hours would affect ${recent}`;
    const seen = await walked((during) => chainAt(loaded, name, callerOf(scene, during)), within);
    if (seen === null) return [ok(check, `${answers}; too long to be read to its end in ${WALK_SECONDS} s, so whether it holds is not known from here`)];
    const {
      entries,
      broken,
      breaks: [first],
      warnings,
    } = seen;
    return [
      broken === 0
        ? ok(check, `${answers}; ${entries} entries, nothing is broken`)
        : warning(
            check,
            `${answers}; of ${entries} entries ${broken} ${broken === 1 ? 'break' : 'breaks'}, the first at ${first?.at ?? '?'}: ${first?.detail ?? 'not told'}`,
            'find out who has written there, and when: a rollback records it, and repairs nothing',
          ),
      ...warnings.map((one) => warning(check, one, 'change it in the database: what can be rewritten unseen proves little')),
    ];
  });
};

/** Null: it is longer than that, or is being written faster than it is read. */
async function walked(at: (during: Attempt) => ChainAt, within: Attempt): Promise<Survey | null> {
  const during = bounded(within, WALK_SECONDS);
  const { chain, call } = at(during);
  try {
    return await chain.survey(call);
  } catch (error) {
    if (error instanceof AdapterError && during.signal.aborted && !within.signal.aborted) return null;
    throw error;
  }
}
