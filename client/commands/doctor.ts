/** `backout doctor`: would a rollback of each component work now? This side first, then the worker's, where the credentials are. */
import type { Command } from 'commander';
import type { Diagnosis, Doctored, Finding } from '../../activities/inspect.ts';
import { askWorker } from '../ask.ts';
import { listRollbacks } from '../find.ts';
import { commandName, paint, print } from '../output.ts';
import { EXIT, said } from '../problem.ts';
import { withSession, type Session } from '../session.ts';
import { plain, wrap } from '../words.ts';

interface DoctorFlags {
  readonly environment?: string;
  readonly component?: string;
}

export function register(program: Command): void {
  program
    .command('doctor')
    .description('would a rollback of each component work now?')
    .option('--environment <name>', 'only of this environment')
    .option('--component <name>', 'only this component')
    .addHelpText('after', '\nExamples:\n  $ backout doctor\n  $ backout doctor --component web --json')
    .action((flags: DoctorFlags, command: Command) => withSession(command, (session) => doctor(session, flags)));
}

const ok = (check: string, detail: string): Finding => ({ check, verdict: 'ok', detail, remedy: null });
const problem = (check: string, error: unknown): Finding => {
  const { message, remedy } = said(error);
  return { check, verdict: 'problem', detail: message, remedy };
};

async function doctor(session: Session, { environment, component }: DoctorFlags): Promise<void> {
  const findings: Finding[] = [];
  const look = async (check: string, work: () => Promise<Finding | Finding[]>): Promise<boolean> => {
    const found = [await work().catch((error: unknown) => problem(check, error))].flat();
    findings.push(...found);
    return found.every((one) => one.verdict !== 'problem');
  };
  await look('configuration', () => configuration(session));
  await look('postgres', async () => {
    const store = await session.requireStore();
    await store.ping();
    return ok('postgres', 'answers');
  });
  let doctored: Doctored | null = null;
  const reachable = await look('temporal', async () => {
    const engine = await session.engine();
    await engine.pollers();
    const { options, namespace, from } = engine.settings;
    return ok('temporal', `${options.address}, namespace ${namespace}, from ${from}`);
  });
  if (reachable) {
    await look('abandoned', () => abandoned(session));
    await look('worker', async () => {
      doctored = await askWorker(session, { ask: 'doctor', environment: environment ?? null, component: component ?? null });
      const pollers = await (await session.engine()).pollers();
      return ok('worker', `${pollers.length} polling the task queue backout`);
    });
  }
  const components = componentsOf(doctored, findings, { environment, component });
  const incidents = (doctored as Doctored | null)?.incidents ?? [];
  const tenants = (doctored as Doctored | null)?.tenants ?? [];
  const isWell = [...findings, ...[...components, ...incidents, ...tenants].flatMap((one) => one.findings)].every((one) => one.verdict !== 'problem');
  print(session.flags.json, { ok: isWell, findings, components, incidents, tenants }, () =>
    lines(findings, components, { incidents, tenants }, isWell).join('\n'),
  );
  if (!isWell) process.exitCode = EXIT.failed;
}

/** What the worker said of the components; its view of the record is one of ours. */
function componentsOf(
  doctored: Doctored | null,
  findings: Finding[],
  asked: { environment: string | undefined; component: string | undefined },
): readonly Diagnosis[] {
  if (!doctored) return [];
  findings.push({ ...doctored.record, check: 'worker: record' });
  if (doctored.components.length === 0 && doctored.tenants.length === 0)
    findings.push({
      check: 'components',
      verdict: 'problem',
      detail: `the worker knows no component${asked.component === undefined ? '' : ` ${asked.component}`}${asked.environment === undefined ? '' : ` in ${asked.environment}`}`,
      remedy: 'see the backout.yaml of the worker',
    });
  return doctored.components;
}

async function configuration(session: Session): Promise<Finding> {
  const { config, file } = await session.settings.requireConfig();
  const count = Object.values(config.environments).reduce((sum, one) => sum + Object.keys(one.components).length, 0);
  const withTenants = Object.values(config.environments).filter((one) => one.tenants).length;
  const known = [
    count > 0 || withTenants === 0 ? `${count} component${count === 1 ? '' : 's'}` : '',
    withTenants > 0 ? `tenants of ${withTenants} environment${withTenants === 1 ? '' : 's'}` : '',
  ]
    .filter((one) => one !== '')
    .join(' and ');
  if (count + withTenants === 0)
    return {
      check: 'configuration',
      verdict: 'problem',
      detail: `${file} names no component, and no tenants`,
      remedy: 'add one; `backout init` in an empty folder writes an example',
    };
  if (!config.people)
    return {
      check: 'configuration',
      verdict: 'warning',
      detail: `${file}: ${known}, and no people: anyone is operator, self-declared`,
      remedy: 'name them under people:',
    };
  return ok('configuration', `${file}: ${known}`);
}

async function abandoned(session: Session): Promise<Finding[]> {
  const { rollbacks } = await listRollbacks(session, { openOnly: true });
  const gone = rollbacks.filter((one) => one.state === 'abandoned');
  if (gone.length > 0)
    return gone.map((one) => ({
      check: 'abandoned',
      verdict: 'problem',
      detail: `${one.id} is abandoned and holds its components`,
      remedy: `go on with it: ${commandName()} resume ${one.id} --reason WHY`,
    }));
  return [ok('abandoned', rollbacks.length === 0 ? 'no rollback is open' : `none; ${rollbacks.length} open: ${rollbacks.map((one) => one.id).join(', ')}`)];
}

const MARK = { ok: ['✔', 'green'], warning: ['!', 'yellow'], problem: ['✘', 'red'] } as const;

function lines(
  findings: readonly Finding[],
  components: readonly Diagnosis[],
  { incidents, tenants }: Pick<Doctored, 'incidents' | 'tenants'>,
  isWell: boolean,
): string[] {
  const shown =
    (indent: string) =>
    ({ check, verdict, detail, remedy }: Finding): string[] => {
      const [mark, colour] = MARK[verdict];
      const [first = '', ...rest] = wrap(plain(detail), 84, ' '.repeat(17 + indent.length));
      return [
        `${indent}${paint(colour, mark)} ${check.padEnd(14)} ${first.trimStart()}`,
        ...rest,
        ...(remedy === null || verdict === 'ok' ? [] : wrap(`→ ${remedy}`, 84, ' '.repeat(17 + indent.length)).map((line) => paint(colour, line))),
      ];
    };
  return [
    ...findings.flatMap(shown('')),
    ...components.flatMap((one) => [
      '',
      `${paint('bold', `${one.component} in ${one.environment}`)}${one.current === null ? '' : `  ${one.current}`}${one.target === null ? '' : paint('dim', `, would go back to ${one.target}`)}`,
      ...one.findings.flatMap(shown('  ')),
    ]),
    ...incidents.flatMap((one) => ['', paint('bold', `an incident in ${one.environment}`), ...one.findings.flatMap(shown('  '))]),
    ...tenants.flatMap((one) => ['', paint('bold', `a tenant in ${one.environment}`), ...one.findings.flatMap(shown('  '))]),
    '',
    isWell ? paint(['green', 'bold'], 'A rollback would work now.') : paint(['red', 'bold'], 'A rollback would not work, or not everywhere; see above.'),
  ];
}
