/** Could each credential be rotated now [001 step 3e]: is there somebody to sign for it, an authority that answers, and something that holds it? Changes nothing. */
import type { LoadedConfig } from '../../model/config-file.ts';
import { StoreUnavailable } from '../../store/store.ts';
import type { Finding } from '../inspect.ts';
import { callerOf, looking, ok, problem, warning, type DoctorScene } from './findings.ts';
import { keptOf } from './keep.ts';
import { credentialAt, manualAt, type CredentialAt } from './places.ts';

const LEAD = 'security-lead';

export function signerFindings({ config }: LoadedConfig): Finding[] {
  const all = Object.entries(config.people ?? {});
  const named = all.flatMap(([name, person]) => (person.roles.includes(LEAD) ? [name] : []));
  const deputies = all.flatMap(([name, person]) => (person.deputyFor?.includes(LEAD) ? [name] : []));
  if (named.length > 0)
    return [ok('credentials', `${named.join(', ')} may sign for them${deputies.length === 0 ? '' : `, or ${deputies.join(', ')} once taken over`}`)];
  if (deputies.length > 0)
    return [
      warning('credentials', `nobody has the role ${LEAD}; ${deputies.join(', ')} would have to take it over first`, `give ${LEAD} to somebody under people:`),
    ];
  return [
    problem('credentials', `nobody has the role ${LEAD}, and nobody else may sign for them: level 3 is refused`, `give ${LEAD} to somebody under people:`),
  ];
}

export const credentialFindings = (scene: DoctorScene, name: string): Promise<Finding[]> => {
  const check = `credential ${name}`;
  return looking({ check, remedy: 'mend it in backout.yaml, or see that its authority answers', attempt: scene.attempt }, async (within) => {
    const at = credentialAt(scene.loaded, name, callerOf(scene, within));
    if (at === null) return manualFindings(check, scene, name);
    return [...(await generationFindings(check, at)), ...(await holderFindings(check, at))];
  });
};

async function generationFindings(check: string, { authority, call, config }: CredentialAt): Promise<Finding[]> {
  const all = await authority.generations(call);
  const live = all.filter((one) => one.state === 'live');
  const more = live.flatMap((one) => one.scopes.filter((scope) => !config.scopes.includes(scope)));
  return [
    live.length === 0
      ? problem(check, `${authority.name} answers, and no generation of it is alive: nothing is accepted`, 'issue one at its authority')
      : ok(check, `${authority.name} answers; ${live.map((one) => one.id).join(', ')} alive, ${all.length - live.length} revoked`),
    ...(live.length > 1
      ? [warning(check, `${live.length} generations are alive at once: a rotation would revoke all of them`, 'see who uses which, and revoke what nobody does')]
      : []),
    ...(more.length === 0
      ? []
      : [
          warning(
            check,
            `it is allowed ${[...new Set(more)].join(', ')}, which is not configured: a new one would not be`,
            'see whether what runs needs it, and add it to scopes',
          ),
        ]),
    ...(authority.tellsUse
      ? []
      : [
          warning(
            check,
            `${authority.name} does not tell who uses it: that nobody uses the old one cannot be proven`,
            'ask whoever holds it before it is revoked',
          ),
        ]),
  ];
}

/** What is held has to be good now, or a new one in its place would not be either. */
async function holderFindings(check: string, { authority, call, config, holders }: CredentialAt): Promise<Finding[]> {
  const found: Finding[] = [];
  for (const [index, { holder, call: held }] of holders.entries()) {
    const what = `holder ${index + 1} (${holder.name})`;
    const secret = await holder.read(held);
    if (secret === null) found.push(problem(check, `${what} holds nothing`, 'see `held` in backout.yaml'));
    else if (!(await authority.accepts(call, secret)))
      found.push(warning(check, `what ${what} holds is not accepted now`, 'see whether it was revoked, or `accepts` asks the wrong address'));
  }
  return [
    ...(holders.length === 0 ? [warning(check, 'nothing says where it is read: a new one is put in place by hand', 'add `held`')] : found),
    ...(holders.length > 0 && found.length === 0 ? [ok(check, `held in ${holders.length} ${holders.length === 1 ? 'place' : 'places'}, and accepted`)] : []),
    ...(config.prove ? [] : [warning(check, 'no command proves that what runs works with a new one', 'add `prove`')]),
  ];
}

/** A person needs to know where, and what was set there before. */
async function manualFindings(check: string, { loaded, environment, deps, targets }: DoctorScene, name: string): Promise<Finding[]> {
  const { console: place, record } = manualAt(loaded, environment, name);
  const by = ok(check, `by hand, at ${place}`);
  if (!record) return [by, warning(check, 'nothing records what is set there: after a mistake nobody knows how it was', 'add options.record')];
  try {
    const kept = await Promise.all((targets ?? []).map(({ component, to }) => keptOf(deps, environment, component, to)));
    const then = kept.map((one) => one?.kept?.consoles?.[name]).find((one) => one !== undefined);
    return then === undefined
      ? [
          by,
          warning(
            check,
            'what is set there was not recorded with the last healthy versions',
            'run `backout deployment verify` at each release: it records that',
          ),
        ]
      : [ok(check, `by hand, at ${place}; recorded with the last healthy version: ${then}`)];
  } catch (error) {
    if (error instanceof StoreUnavailable) return [by];
    throw error;
  }
}
