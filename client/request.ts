/** From flags to the start input of `product.md` 5: for start, plan and now. */
import { Option, type Command } from 'commander';
import { OFFBOARDED } from '../model/deprovision.ts';
import { parseStart, type StartInput } from '../model/input.ts';
import { isKind, KINDS, POLICIES, TRIGGERS, type Kind } from '../model/policy.ts';
import { requirePerson } from './person.ts';
import { EXIT, Problem } from './problem.ts';

/** As commander gives them. */
export interface RequestFlags {
  readonly environment: string;
  readonly component?: readonly string[];
  readonly to?: readonly string[];
  readonly cause?: string;
  readonly reason?: string;
  readonly trigger: string;
  readonly by?: string;
  readonly analysis?: string;
  readonly detectedAt?: string;
  readonly delayJustification?: string;
  readonly incident?: string;
  readonly severity?: string;
  readonly impact?: string;
  readonly contact?: string;
  readonly tenant?: readonly string[];
  readonly request?: string;
  readonly criticalArea?: string;
  readonly missedWindow?: string;
  readonly recover?: readonly string[];
  readonly window?: string;
}

export const RECOVER_HELP = 'from level 2 on, DATABASE=backup, DATABASE=TIME (ISO, from its archive), or DATABASE=by-hand; without it, by what was recorded';
export const WINDOW_HELP = 'from level 2 on, FROM..TO (ISO): when data was damaged; without it, since what is taken back was deployed';

/** `DATABASE=HOW…` and `FROM..TO` as the input has them; the worker's own parser says what is wrong with them. */
export const recoveryOf = ({ recover, window: span }: { readonly recover?: readonly string[]; readonly window?: string }) => ({
  ...(recover === undefined ? {} : { recover: Object.fromEntries(recover.map((one) => [one.slice(0, one.indexOf('=')), one.slice(one.indexOf('=') + 1)])) }),
  ...(span === undefined ? {} : { window: { from: span.split('..')[0], to: span.split('..')[1] } }),
});

export function requestOptions(command: Command): Command {
  return command
    .argument('<kind>', KINDS.join(', '))
    .requiredOption('--environment <name>', 'where')
    .option('--component <name...>', 'what is taken back; several')
    .option('--to <target...>', 'VERSION or last-healthy; COMPONENT=VERSION where there are several')
    .option(
      '--cause <cause>',
      `for deployRevert: ${POLICIES.deployRevert.causes.join(', ')}; for an incident: ${POLICIES.l1Rollback.causes.join(', ')}; for a tenant: ${POLICIES.upaDeprovision.causes.join(', ')}`,
    )
    .option('--reason <text>', 'why, in your words')
    .addOption(new Option('--trigger <trigger>', 'who or what asks for it').choices(TRIGGERS).default('operator'))
    .option('--by <name>', 'who starts it; default $BACKOUT_BY, then $USER')
    .option('--analysis <text>', 'what went wrong with the last attempt on the same deployment; needed after a failure')
    .option('--detected-at <time>', 'when the fault was seen, ISO')
    .option('--delay-justification <text>', 'why it starts late')
    .option('--incident <id>', 'incident')
    .option('--severity <text>', 'of the incident')
    .option('--impact <text>', 'on users')
    .option('--contact <text>', 'whom to ask')
    .option('--critical-area <text>', 'which critical area CI fails in, for ci-failed-in-critical-area')
    .option('--missed-window <text>', 'the planned window in which it could not be resolved')
    .option('--recover <how...>', RECOVER_HELP)
    .option('--window <span>', WINDOW_HELP)
    .option('--tenant <name...>', 'for upaDeprovision; `start` takes several, each a rollback of its own')
    .option('--request <id>', `the provisioning request that is taken back; not for ${OFFBOARDED}, which takes all`);
}

/** Several tenants are several rollbacks. */
export function requestsOf(kind: string, flags: RequestFlags): { kind: Kind; input: StartInput }[] {
  const tenants = [...new Set(flags.tenant ?? [])];
  if (tenants.length <= 1) return [requestOf(kind, flags)];
  if (!isKind(kind) || POLICIES[kind].subject !== 'tenant')
    throw new Problem(EXIT.usage, 'usage', '--tenant belongs to upaDeprovision', 'see `backout start --help`');
  if (flags.request !== undefined) throw new Problem(EXIT.usage, 'usage', '--request is of one tenant, and several are named', 'start them one by one');
  return tenants.map((tenant) => requestOf(kind, { ...flags, tenant: [tenant] }));
}

/** Checked with the very parser of the worker; what only the worker can know, the worker judges. */
export function requestOf(kind: string, flags: RequestFlags): { kind: Kind; input: StartInput } {
  if (!isKind(kind)) throw new Problem(EXIT.usage, 'unknown-name', `there is no kind ${JSON.stringify(kind)}`, `the kinds are ${KINDS.join(', ')}`);
  const { causes, subject } = POLICIES[kind];
  const components = [...new Set(flags.component ?? [])].toSorted();
  if (subject !== 'tenant' && components.length === 0)
    throw new Problem(EXIT.usage, 'usage', `a ${kind} needs at least one --component`, `see \`backout start --help\``);
  const [tenant, another] = flags.tenant ?? [];
  if (another !== undefined) throw new Problem(EXIT.usage, 'usage', 'several tenants are named, and this is about one', 'name one --tenant');
  if (subject === 'tenant' && tenant === undefined) throw new Problem(EXIT.usage, 'usage', `a ${kind} needs --tenant`, 'see `backout start --help`');
  if (subject === 'incident' && flags.incident === undefined)
    throw new Problem(EXIT.usage, 'usage', `a ${kind} needs --incident`, 'see `backout start --help`');
  // What is no reason to deprovision is refused by the worker, with the rule that says so, and goes on the record.
  if (subject !== 'tenant' && flags.cause !== undefined && !causes.includes(flags.cause))
    throw new Problem(EXIT.usage, 'unknown-name', `${JSON.stringify(flags.cause)} is no cause of a ${kind}`, `the causes are ${causes.join(', ')}`);
  if ((flags.criticalArea === undefined) !== (flags.missedWindow === undefined))
    throw new Problem(EXIT.usage, 'usage', '--critical-area and --missed-window belong together', 'give both, or neither and say them when it is declared');
  const parsed = parseStart({
    ...(flags.criticalArea === undefined ? {} : { declaration: { criticalArea: flags.criticalArea, missedWindow: flags.missedWindow } }),
    environment: flags.environment,
    components,
    targets: targetsOf(components, flags.to ?? []),
    trigger: flags.trigger,
    cause: flags.cause,
    reason: flags.reason,
    by: requirePerson(flags.by),
    detectedAt: flags.detectedAt,
    delayJustification: flags.delayJustification,
    incident: flags.incident,
    severity: flags.severity,
    impact: flags.impact,
    contact: flags.contact,
    analysis: flags.analysis,
    tenant,
    request: flags.request,
    ...recoveryOf(flags),
  });
  if ('error' in parsed)
    throw new Problem(
      EXIT.usage,
      'usage',
      parsed.error,
      parsed.error.startsWith('"cause"') ? `the causes are ${causes.join(', ')}` : 'see `backout start --help`',
    );
  return { kind, input: parsed.value };
}

/** `VERSION` is for the only component; `COMPONENT=VERSION` for one of several. A version may hold `=` itself. */
function targetsOf(components: readonly string[], given: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    given.map((text) => {
      const [name = '', ...rest] = text.split('=');
      if (rest.length > 0 && components.includes(name)) return [name, rest.join('=')];
      const [only, another] = components;
      if (only !== undefined && another === undefined) return [only, text];
      if (text === 'last-healthy')
        throw new Problem(
          EXIT.usage,
          'usage',
          '--to last-healthy names no component, and there are several',
          components.map((component) => `--to ${component}=last-healthy`).join(' '),
        );
      throw new Problem(EXIT.usage, 'usage', `--to ${text} names none of the components ${components.join(', ')}`, 'for example --to web=v2.5.2');
    }),
  );
}
