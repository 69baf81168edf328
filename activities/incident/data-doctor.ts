/** Would levels 2 and 3 of this environment find what they need [001 steps 3c to 3e]? Databases, evidence and credentials are asked what a plan would ask. Changes nothing. */
import { fieldOf } from '../../model/field.ts';
import { lossOf } from '../../model/incident-data.ts';
import type { LoadedConfig } from '../../model/config-file.ts';
import type { Target } from '../../model/plan.ts';
import { StoreUnavailable } from '../../store/store.ts';
import { environmentOf } from '../components.ts';
import type { Attempt, Dependencies } from '../dependencies.ts';
import type { Finding } from '../inspect.ts';
import { chainFindings } from './chain-doctor.ts';
import { credentialFindings, signerFindings } from './credential-doctor.ts';
import { lookAtData } from './data-look.ts';
import { bounded, callerOf, looking, ok, problem, warning, type DoctorScene } from './findings.ts';
import { keptOf } from './keep.ts';
import { databaseAt, referencesOf, type DatabaseAt } from './places.ts';
import { unappliedOf } from './undoing.ts';

export async function diagnoseData(loaded: LoadedConfig, environment: string, deps: Dependencies, attempt: Attempt): Promise<Finding[]> {
  const { databases = {}, evidence = {}, credentials = {} } = environmentOf(loaded, environment);
  if ([databases, evidence, credentials].every((one) => Object.keys(one).length === 0))
    return [
      warning(
        'levels 2 and 3',
        'no databases, evidence or credentials are configured: what they go back with is by hand',
        'add them under databases:, evidence: and credentials: [001 steps 3c to 3e]',
      ),
    ];
  const scene: DoctorScene = { loaded, environment, deps, attempt, targets: await targetsOf(loaded, environment, deps) };
  const all = await Promise.all([
    ...Object.keys(databases).map((name) => databaseFindings(scene, name)),
    ...Object.keys(evidence).map((name) => chainFindings(scene, name)),
    ...Object.keys(credentials).map((name) => credentialFindings(scene, name)),
  ]);
  return [...(Object.keys(credentials).length === 0 ? [] : signerFindings(loaded)), ...all.flat()];
}

/** The last healthy version before the one that was recorded last. */
async function targetsOf(loaded: LoadedConfig, environment: string, { store }: Dependencies): Promise<Target[] | null> {
  try {
    const found = await Promise.all(
      Object.keys(environmentOf(loaded, environment).components).map(async (component): Promise<Target[]> => {
        const from = (await store.deployments({ environment, component, limit: 50 })).find((row) => row.status !== 'rolled_back')?.version ?? null;
        const to = await store.lastHealthy(environment, component, from);
        return to ? [{ component, from, to: to.version, config: '' }] : [];
      }),
    );
    return found.flat();
  } catch (error) {
    if (error instanceof StoreUnavailable) return null;
    throw error;
  }
}

const MEND = 'mend it in backout.yaml, or see that the worker can reach it';

async function databaseFindings(scene: DoctorScene, name: string): Promise<Finding[]> {
  const { loaded, attempt } = scene;
  const check = `database ${name}`;
  const at = (within: Attempt): DatabaseAt => databaseAt(loaded, name, callerOf(scene, within));
  const answers = await looking({ check, remedy: MEND, attempt }, (within) => ledgerFindings(check, at(within)));
  const isThere = answers.every((one) => one.verdict !== 'problem');
  const [undo, checks, recover, address] = await Promise.all([
    isThere
      ? looking({ check: `undo ${name}`, remedy: 'mend it before an incident: until then level 2 is refused', attempt }, (within) =>
          undoFindings(scene, name, at(within), within),
        )
      : [],
    isThere ? looking({ check: `checks ${name}`, remedy: 'mend them in backout.yaml', attempt }, (within) => checksFindings(name, at(within))) : [],
    looking({ check: `recover ${name}`, remedy: 'see that backups and WAL are made, and can be read by the worker', attempt }, (within) =>
      recoverFindings(name, at(within)),
    ),
    isThere
      ? looking({ check: `address ${name}`, remedy: 'mend databases.NAME.reference in backout.yaml', attempt }, (within) =>
          addressFindings(scene, name, at(within), within),
        )
      : [],
  ]);
  return [...answers, ...undo, ...checks, ...recover, ...address];
}

async function ledgerFindings(check: string, { database, call }: DatabaseAt): Promise<Finding[]> {
  if (fieldOf(call.options, 'ledger') === undefined) {
    await database.check(call, []);
    return [
      warning(
        check,
        `${database.name} answers; it has no ledger, so no migration of it can be undone`,
        'name the migration tool’s own table in options.ledger',
      ),
    ];
  }
  const ledger = await database.ledger(call);
  const newest = ledger.at(-1)?.name;
  return [ok(check, `${database.name} answers; ${newest === undefined ? 'its ledger is empty' : `the newest of ${ledger.length} in its ledger is ${newest}`}`)];
}

/** Asked as a plan of level 2 would ask: every migration since the target, each with an inverse that can be run. */
async function undoFindings(scene: DoctorScene, name: string, at: DatabaseAt, within: Attempt): Promise<Finding[]> {
  const { config, call } = at;
  const { loaded, environment, deps, targets } = scene;
  const check = `undo ${name}`;
  if (fieldOf(call.options, 'ledger') === undefined) return [];
  if (targets === null) return [warning(check, 'the record cannot be read, so nobody can say what would be undone', 'start Postgres')];
  if (targets.length === 0)
    return [warning(check, 'no earlier version is known healthy, so nobody can say what would be undone', 'record deployments, and verify them')];
  const place = environmentOf(loaded, environment);
  const alone = { ...place, databases: { [name]: config } };
  const narrowed: LoadedConfig = { ...loaded, config: { ...loaded.config, environments: { ...loaded.config.environments, [environment]: alone } } };
  const ask = { kind: 'l2Rollback', environment, targets, tenant: null, until: new Date().toISOString() } as const;
  const undo = (await lookAtData(narrowed, ask, deps, bounded(within)))?.data.databases[0]?.undo ?? [];
  const losses = undo.flatMap((one) => one.destroys);
  const heads = await Promise.all(targets.map(({ component, to }) => keptOf(deps, environment, component, to)));
  const unapplied = await unappliedOf({ ask, deps }, name, at);
  return [
    ...unapplied.map((one) =>
      warning(
        check,
        `${one} was recorded since the last healthy versions, and the ledger does not have it: it would not be undone`,
        'where it is applied, see what the ledger calls it, and record it under that name; where it is not, apply it or leave it',
      ),
    ),
    undo.length === 0
      ? ok(check, unapplied.length > 0 ? 'nothing else was recorded since them' : 'no migration was recorded since the last healthy versions')
      : ok(
          check,
          `${undo.length} since the last healthy versions, each with an inverse that can be run: ${undo.map((one) => one.name).join(', ')}${losses.length === 0 ? '' : `; they would destroy ${lossOf(losses)}`}`,
        ),
    ...(heads.some((one) => one?.kept?.ledgers?.[name] !== undefined)
      ? []
      : [
          warning(
            check,
            'which migrations belong to the last healthy versions was not recorded: one that nobody records is not missed',
            'run `backout deployment verify` at each release, and record migrations with `backout deployment record --migrations`',
          ),
        ]),
  ];
}

async function checksFindings(name: string, { config, database, call }: DatabaseAt): Promise<Finding[]> {
  const check = `checks ${name}`;
  if (config.checks.length === 0)
    return [warning(check, 'none is configured: nothing proves its tenant boundaries', 'add checks: queries whose rows are violations')];
  const found = await database.check(call, config.checks);
  const bad = found.filter((one) => one.violations !== 0);
  const uncovered = (['tenants', 'idempotency'] as const).filter((covers) => !found.some((one) => one.covers === covers));
  return [
    ...(bad.length === 0 ? [ok(check, `${found.length} can be run, and hold`)] : []),
    ...bad.map((one) =>
      one.violations === null
        ? problem(check, `${one.name} cannot be run: ${one.detail ?? 'no reason given'}`, 'mend its SQL: what cannot be run holds up the unfreeze')
        : warning(check, `${one.name} finds ${one.violations} violations now`, 'mend them: after a rollback they hold up the unfreeze, whoever has made them'),
    ),
    ...(uncovered.length === 0 ? [] : [warning(check, `none covers ${uncovered.join(' or ')}`, 'say what a check covers in its `covers`')]),
  ];
}

const MINUTE_MS = 60_000;
/** How far back an archive is asked for. */
const AGES: readonly (readonly [words: string, ms: number])[] = [
  ['5 minutes', 5 * MINUTE_MS],
  ['an hour', 60 * MINUTE_MS],
  ['a day', 1_440 * MINUTE_MS],
  ['a week', 10_080 * MINUTE_MS],
];

async function recoverFindings(name: string, { database, call }: DatabaseAt): Promise<Finding[]> {
  const check = `recover ${name}`;
  const [hasBackup, hasArchive] = [fieldOf(call.options, 'backup') !== undefined, fieldOf(call.options, 'archive') !== undefined];
  if (!hasBackup && !hasArchive)
    return [
      warning(
        check,
        'neither a backup nor an archive is configured: where no inverse helps, it is recovered by hand',
        'name them in options.backup or options.archive',
      ),
    ];
  return [...(hasBackup ? [await backupFinding(check, { database, call })] : []), ...(hasArchive ? [await archiveFinding(check, { database, call })] : [])];
}

async function backupFinding(check: string, { database, call }: Pick<DatabaseAt, 'database' | 'call'>): Promise<Finding> {
  const { problem: why, asOf } = await database.recoverable(call, 'backup');
  return why === null
    ? ok(check, `from the backup as of ${asOf ?? 'an unknown time'}: what is written after that is not in it`)
    : problem(check, `not from the backup: ${why}`, 'see that backups are made, and can be read and restored by the worker');
}

async function archiveFinding(check: string, { database, call }: Pick<DatabaseAt, 'database' | 'call'>): Promise<Finding> {
  const remedy = 'see that WAL is archived without a gap since the base backup';
  let first = '';
  for (const [words, ms] of AGES) {
    const { problem: why } = await database.recoverable(call, new Date(Date.now() - ms).toISOString());
    if (why === null)
      return first === ''
        ? ok(check, `from the archive, up to ${words} ago at least`)
        : warning(check, `from the archive, ${words} ago, but not to any later time: ${first}`, remedy);
    if (first === '') first = why;
  }
  return problem(check, `not from the archive: ${first}`, remedy);
}

/** Where it is read: that very database, or a switch-over would leave somebody behind. */
async function addressFindings(scene: DoctorScene, name: string, { config, database, call }: DatabaseAt, within: Attempt): Promise<Finding[]> {
  const check = `address ${name}`;
  if (config.reference.length === 0) {
    const mayRecover = fieldOf(call.options, 'backup') !== undefined || fieldOf(call.options, 'archive') !== undefined;
    return mayRecover
      ? [warning(check, 'nothing says where its address is read: to recover it is refused, unless by hand', `add databases.${name}.reference`)]
      : [];
  }
  const found: Finding[] = [];
  for (const [index, { holder, call: held }] of referencesOf(scene.loaded, name, callerOf(scene, within)).entries()) {
    const address = await holder.read(held);
    const what = `reference ${index + 1} (${holder.name})`;
    if (address === null) found.push(problem(check, `${what} holds nothing`, `see databases.${name}.reference in backout.yaml`));
    else if (!(await database.isSame(call, address)))
      found.push(problem(check, `${what} holds the address of another database`, 'find out who uses which, before anything is recovered'));
  }
  return found.length > 0
    ? found
    : [
        ok(
          check,
          config.reference.length === 1
            ? 'read in 1 place, and that of this very database'
            : `read in ${config.reference.length} places, each that of this very database`,
        ),
      ];
}
