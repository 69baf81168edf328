/** `backout now`: the emergency. One component, back to its last healthy version; or the commands to do it by hand. */
import type { Command } from 'commander';
import type { Adapter } from '../../activities/adapters/adapter.ts';
import type { LoadedConfig } from '../../model/config-file.ts';
import type { StartInput } from '../../model/input.ts';
import type { Deployment } from '../../store/store.ts';
import { follow } from '../follow.ts';
import { note, paint, print } from '../output.ts';
import { requirePerson } from '../person.ts';
import { EXIT, Problem, said } from '../problem.ts';
import { requestOf } from '../request.ts';
import { withSession, type Session } from '../session.ts';
import { startRollback } from '../start.ts';
import { ago, quoted } from '../words.ts';

interface NowFlags {
  readonly environment?: string;
  readonly reason?: string;
  readonly by?: string;
  readonly to?: string;
  readonly analysis?: string;
  readonly print?: boolean;
}

export function register(program: Command): void {
  program
    .command('now')
    .argument('<component>', 'what is taken back')
    .description('emergency: one component back to its last healthy version')
    .option('--reason <text>', 'why, in your words; needed unless --print')
    .option('--environment <name>', 'where; needed where the component is in several')
    .option('--to <version>', 'another version than the last healthy one')
    .option('--by <name>', 'who starts it; default $BACKOUT_BY, then $USER')
    .option('--analysis <text>', 'what went wrong with the last attempt; needed after a failure')
    .option('--print', 'only print the commands to do it by hand; works when Backout is down')
    .addHelpText('after', '\nExamples:\n  $ backout now web --reason "checkout answers 500"\n  $ backout now web --print')
    .action((component: string, flags: NowFlags, command: Command) =>
      withSession(command, (session) => (flags.print === true ? byHand(session, component, flags) : now(session, component, flags))),
    );
}

async function now(session: Session, component: string, flags: NowFlags): Promise<void> {
  if (flags.reason === undefined)
    throw new Problem(EXIT.usage, 'usage', '--reason is missing', `for example: backout now ${component} --reason "checkout answers 500"`);
  const environment = flags.environment ?? (await onlyEnvironment(session, component));
  const by = requirePerson(flags.by);
  const healthy = flags.to === undefined ? await lastHealthy(session, environment, component) : null;
  if (flags.to !== undefined) note(`${component} in ${environment} goes to ${flags.to}`);
  else if (healthy)
    note(`${component} in ${environment} goes back to ${healthy.version}, healthy since ${ago(healthy.completedAt ?? healthy.deployedAt, Date.now())}`);
  const { kind, input } = requestOf('deployRevert', {
    environment,
    component: [component],
    to: [flags.to ?? 'last-healthy'],
    cause: 'operator-judgement',
    reason: flags.reason,
    trigger: 'operator',
    by,
    ...(flags.analysis === undefined ? {} : { analysis: flags.analysis }),
  });
  const started = await startRollback(session, kind, input satisfies StartInput);
  await follow(session, { started, kind, input, by, waitSeconds: null });
}

/** The worker resolves the target against what the platform shows; this is what the record expects. Null, and said, where it cannot be read. */
async function lastHealthy(session: Session, environment: string, component: string): Promise<Deployment | null> {
  try {
    const store = await session.store();
    const [current] = (await store?.deployments({ environment, component, limit: 1 })) ?? [];
    const healthy = (await store?.lastHealthy(environment, component, current?.version ?? null)) ?? null;
    if (!store) note('the record cannot be read: no database is configured and no `backout dev` runs here');
    else if (!healthy) note(`the record names no other healthy version of ${component}`);
    return healthy;
  } catch (error) {
    note(`the last healthy version is not known: ${said(error).message}`);
    return null;
  }
}

/** Where the component is, by the configuration; without one, by the record. */
async function onlyEnvironment(session: Session, component: string): Promise<string> {
  const loaded = await session.settings.config();
  const names = loaded
    ? environmentsOf(loaded, component)
    : [...new Set((await (await session.requireStore()).deployments({ component, limit: 100 })).map((one) => one.environment))];
  const [only, another] = names;
  if (only !== undefined && another === undefined) return only;
  if (only !== undefined)
    throw new Problem(EXIT.usage, 'unknown-name', `${component} is in ${names.join(' and ')}`, names.map((name) => `--environment ${name}`).join(' or '));
  const known = loaded ? Object.values(loaded.config.environments).flatMap((one) => Object.keys(one.components)) : [];
  throw new Problem(
    EXIT.usage,
    'unknown-name',
    `there is no component ${JSON.stringify(component)}${loaded ? ` in ${loaded.file}` : ' in the record'}`,
    known.length === 0 ? 'see `backout deployment list`' : `the components are ${[...new Set(known)].join(', ')}`,
  );
}

const environmentsOf = (loaded: LoadedConfig, component: string): string[] =>
  Object.entries(loaded.config.environments)
    .filter(([, one]) => Object.hasOwn(one.components, component))
    .map(([name]) => name);

/** Needs nothing but the configuration; the record only for the version. */
async function byHand(session: Session, name: string, flags: NowFlags): Promise<void> {
  const loaded = await session.settings.requireConfig();
  const environment = flags.environment ?? (await onlyEnvironment(session, name));
  const component = loaded.config.environments[environment]?.components[name];
  if (!component) throw new Problem(EXIT.usage, 'unknown-name', `there is no component ${JSON.stringify(name)} in ${environment}`, `see ${loaded.file}`);
  // Here alone the client asks the platforms' own files: everything that could ask them otherwise may be down.
  // oxlint-disable-next-line no-restricted-imports
  const adapters: readonly Adapter[] = Object.values(await import('../../activities/adapters/registry.ts'));
  const adapter = adapters.find((one) => one.name === component.adapter);
  if (!adapter)
    throw new Problem(
      EXIT.usage,
      'unknown-name',
      `${name} names the platform ${JSON.stringify(component.adapter)}, which Backout does not know`,
      `it knows ${adapters.map((one) => one.name).join(', ')}`,
    );
  const version = flags.to ?? (await lastHealthy(session, environment, name))?.version ?? null;
  if (version === null) note('replace VERSION by the version to go back to');
  const commands = manualOf(adapter, { loaded, environment, name, options: component.options, to: version ?? 'VERSION' });
  const checks = [
    ...component.health.map((probe) => `curl --fail --silent --show-error ${quoted(probe.url)}`),
    ...component.smoke.map((smoke) => smoke.command.map(quoted).join(' ')),
    ...(component.served ? [`curl --silent ${quoted(component.served.url)}`] : []),
  ];
  print(session.flags.json, { component: name, environment, version, commands, checks }, () =>
    [
      paint('bold', `# ${name} in ${environment} to ${version ?? 'VERSION'}, by hand (${adapter.name})`),
      ...commands,
      ...(checks.length === 0 ? [] : ['', paint('bold', `# Then see that it works; it has to serve ${version ?? 'VERSION'}`), ...checks]),
      '',
      paint('bold', '# And when Backout is up again, so that the record knows'),
      `backout start deployRevert --environment ${environment} --component ${name} --to ${quoted(version ?? 'VERSION')} --cause operator-judgement --reason "done by hand"`,
    ].join('\n'),
  );
}

interface ByHand {
  readonly loaded: LoadedConfig;
  readonly environment: string;
  readonly name: string;
  readonly options: unknown;
  readonly to: string;
}

/** Each platform has options of its own; its own schema checks them before they are handed to it. */
function manualOf(adapter: Adapter, { loaded, environment, name, options, to }: ByHand): string[] {
  const path = ['environments', environment, 'components', name, 'options'];
  return adapter.manual({ environment, component: name, options: loaded.check(adapter.options, options, path), folder: loaded.folder, to });
}
