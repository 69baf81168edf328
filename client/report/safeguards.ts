/** Control gaps that this very run shows, each with what to change [001 Post-Rollback Deliverables]: safeguards and runbooks are updated from here. */
import { fieldOf } from '../../model/field.ts';
import { INCIDENT_ROLES, own, roleTitle } from '../../model/roles.ts';
import type { GateCover } from '../../model/incident.ts';
import { duration } from '../words.ts';
import { entriesOf, lastSaid, runsOf, secondsBetween, textIn, textsIn, type Reading } from './reading.ts';
import { dataSafeguards } from './data-safeguards.ts';
import type { Findings } from './follow-ups.ts';
import { tenantSafeguards } from './tenant-safeguards.ts';

export interface Safeguard {
  readonly gap: string;
  /** What to write where, as far as it can be said. */
  readonly change: string;
  readonly where: 'backout.yaml' | 'runbook';
  /** The step, or the kind of entry, that shows it. */
  readonly seenIn: string;
}

export function safeguardsOf(findings: Findings): Safeguard[] {
  const { reading } = findings;
  if (reading.steps.length === 0) return [];
  return [
    ...gates(findings),
    ...uncheckedComponents(findings),
    ...(reading.isIncident
      ? [
          ...parity(findings),
          ...facts(findings),
          ...configuration(findings),
          ...carriers(findings),
          ...review(findings),
          ...people(findings),
          ...channels(findings),
        ]
      : []),
    ...dataSafeguards(findings),
    ...tenantSafeguards(findings),
    ...incidentChannel(findings),
    ...drift(findings),
    ...late(findings),
    ...handedOver(findings),
    ...fourEyes(findings),
    ...endedFromOutside(findings),
  ];
}

const yaml = (gap: string, change: string, seenIn: string): Safeguard => ({ gap, change, where: 'backout.yaml', seenIn });
const runbook = (gap: string, change: string, seenIn: string): Safeguard => ({ gap, change, where: 'runbook', seenIn });
const placeOf = ({ state }: Reading): string => `environments.${state.environment}`;
const componentsOf = ({ state }: Reading): string[] => state.targets.map((one) => one.component);

/** Whose gate it is tells what it covers [001 step 4]. */
const COVERS: Readonly<Record<Exclude<GateCover, 'smoke'>, readonly [owner: string, what: string]>> = {
  ci: ['incident-commander', 'the checks of CI, such as npm run ci:pr'],
  evidence: ['data-evidence-lead', 'evidence and event emission'],
};

function gates({ reading }: Findings): Safeguard[] {
  if (!reading.isIncident) return [];
  return Object.entries(COVERS).flatMap(([cover, [owner, what]]) =>
    reading.steps.some((step) => step.operation === 'gate' && step.owner === owner)
      ? []
      : [yaml(`No gate covers ${what} [001 step 4]`, `add ${placeOf(reading)}.gates.NAME with a command and covers: ${cover}`, 'the plan')],
  );
}

/** The key of a component that makes each check possible. */
const KEY_OF: Readonly<Record<string, string>> = { health: 'health', smoke: 'smoke', served: 'served', parity: 'openapi' };

function uncheckedComponents({ reading, gates: all }: Findings): Safeguard[] {
  return all.flatMap(({ step, component, verdict, byComponent }) => {
    const operation = reading.steps.find((one) => one.id === step)?.operation ?? '';
    const key = own(KEY_OF, operation);
    if (key === undefined) return [];
    const named = Object.entries(byComponent ?? {}).flatMap(([name, word]) => (word === 'unchecked' ? [name] : []));
    const whole = verdict === 'unchecked' && named.length === 0 ? (component === null ? componentsOf(reading) : [component]) : named;
    return whole.map((name) =>
      operation === 'parity'
        ? yaml(
            `The critical endpoints of ${name} had no document of the target to be compared with`,
            `record it with \`backout deployment verify\` at each release, or name ${placeOf(reading)}.components.${name}.openapi.document`,
            step,
          )
        : yaml(`${name} has no ${operation} check: nothing was looked at`, `add ${placeOf(reading)}.components.${name}.${key}`, step),
    );
  });
}

/** The step is only planned where one component has a document; one that is missing in its answer has none. */
function parity({ reading, gates: all }: Findings): Safeguard[] {
  const gate = all.find((one) => one.step === 'parity');
  const looked = gate?.byComponent;
  const without = gate ? componentsOf(reading).filter((name) => looked !== null && looked !== undefined && looked[name] === undefined) : componentsOf(reading);
  return without.map((name) =>
    yaml(
      `The critical endpoints of ${name} were not compared with the target's own document [001 step 3a]`,
      `add ${placeOf(reading)}.components.${name}.openapi, with the operations that are critical`,
      gate ? 'parity' : 'the plan',
    ),
  );
}

const FACTS = { migrations: 'the state of its migrations', cutover: 'the cutover point of evidence and event stream' } as const;

function facts({ reading, incident }: Findings): Safeguard[] {
  return (incident?.comparison ?? []).flatMap(({ component, rows }) => {
    const missing = Object.entries(FACTS).filter(([name]) => !rows.some((row) => row.what === name && row.then !== null));
    if (missing.length === 0) return [];
    const keys = missing.map(([name]) => `facts.${name}`).join(' and ');
    return [
      yaml(
        `For ${component}, ${missing.map(([, what]) => what).join(' and ')} did not stand beside the target [001 step 2]`,
        `add ${placeOf(reading)}.components.${component}.${keys} where it has them; \`backout deployment verify\` records them from the next release on`,
        'target',
      ),
    ];
  });
}

const configuration = ({ reading }: Findings): Safeguard[] =>
  reading.steps.flatMap(({ id, operation, state, component }) =>
    operation === 'config' && state === 'skipped' && runsOf(reading, id).at(-1)?.state === 'skipped'
      ? [
          runbook(
            `No configuration of ${component ?? ''} was recorded with its target, so drifted keys could not be set back [001 step 3b]`,
            'run `backout deployment verify` at each release: it records the configuration',
            id,
          ),
        ]
      : [],
  );

const carriers = ({ reading, incident }: Findings): Safeguard[] =>
  incident && incident.freeze.carriers.length === 0
    ? [
        yaml(
          'The freeze was held by the register alone: no platform refused a merge, a promotion or a deployment',
          `add ${placeOf(reading)}.freeze.carriers, and have every pipeline ask \`backout freeze check\``,
          'freeze',
        ),
      ]
    : (incident?.freeze.carriers ?? []).flatMap(({ carrier, state, detail }) =>
        state === 'left-to-people' || state === 'failed'
          ? [
              yaml(
                `${carrier} could not be frozen: ${detail ?? 'no reason given'}`,
                `mend ${placeOf(reading)}.freeze.carriers.${carrier}; \`backout doctor\` says when it works`,
                `freeze.${carrier}`,
              ),
            ]
          : [],
      );

const review = ({ reading }: Findings): Safeguard[] =>
  reading.steps.some((step) => step.operation === 'review')
    ? []
    : [
        yaml(
          'The results of the gates were not committed for review [001 step 4]',
          `add ${placeOf(reading)}.review with the repository that has docs/review/`,
          'the plan',
        ),
      ];

function people({ reading, incident }: Findings): Safeguard[] {
  const warned = entriesOf(reading, 'opened').flatMap((entry) => textsIn(entry, 'warnings'));
  if ([...warned, ...reading.state.warnings].some((one) => one.startsWith('no people are configured')))
    return [
      yaml(
        'No people are configured: anyone could declare, confirm and unfreeze, by his own word',
        'add people, with the roles of [001 Ownership]',
        'the plan',
      ),
    ];
  const empty = (incident?.roles ?? []).filter((one) => one.known === 'unknown' || one.holders.length === 0).map((one) => one.role);
  // From the record alone nobody knows who is configured: a role without an answer may well have somebody.
  const sure = reading.state.incidentCommand ? empty : empty.filter((role) => warned.some((one) => one.includes(`nobody has the role ${role}`)));
  return sure
    .filter((role) => Object.hasOwn(INCIDENT_ROLES, role))
    .map((role) => yaml(`Nobody had the role ${roleTitle(role)}`, `give ${role} to somebody under people, and name a deputy with deputyFor`, 'roles'));
}

function channels({ incident }: Findings): Safeguard[] {
  const sent = (incident?.communications ?? []).flatMap((one) => Object.entries(one.sent));
  const silent = [...new Set(sent.flatMap(([audience, count]) => (count.endsWith(' of 0') ? [audience] : [])))];
  const failed = (incident?.communications ?? []).filter((one) => one.problem !== null);
  return [
    ...silent.map((audience) =>
      yaml(`No channel for ${audience} is configured: what was to be told them was told nobody`, `add channels.${audience}`, 'communication'),
    ),
    ...failed
      .slice(-1)
      .map(({ template, problem }) =>
        runbook(
          `Not everybody could be told (${template}): ${problem ?? ''}`,
          'see why the channel was down, and name who tells them by hand meanwhile',
          `communication.${template}`,
        ),
      ),
  ];
}

function incidentChannel({ reading }: Findings): Safeguard[] {
  const undelivered = [...new Set(reading.entries.flatMap((entry) => textsIn(entry, 'undelivered')))];
  const [first] = undelivered;
  return first === undefined
    ? []
    : [yaml(`Not every incident channel took what it was told: ${first}`, 'mend channels.incident, or add a second one of another kind', 'notice')];
}

function drift({ drift: all }: Findings): Safeguard[] {
  const subjects = (what: string): string[] => [...new Set(all.flatMap((one) => (one.what === what ? [one.subject ?? ''] : [])))];
  return [
    ...subjects('freeze').map((name) =>
      runbook(
        `The freeze was lifted by hand on ${name}`,
        `restrict who may change its protection there, and say in the runbook that only the unfreeze lifts it`,
        'drift',
      ),
    ),
    ...subjects('component').map((name) =>
      runbook(
        `${name} was changed after it had been put back: a person, or an automation that deploys the newest version again`,
        'have every pipeline ask `backout freeze check` before it deploys, and pause automations that reconcile by themselves',
        'drift',
      ),
    ),
    ...(subjects('health').length > 0
      ? [runbook('It got worse after it had been confirmed', 'add the check that would have seen it to health or smoke', 'watch')]
      : []),
  ];
}

/** Where the machine's time went. */
function late({ reading }: Findings): Safeguard[] {
  const { breached, targetSeconds, machineSeconds } = reading.state.clock;
  if (!breached) return [];
  const took = reading.steps.flatMap((step) => {
    if (step.mode === 'manual') return [];
    const seconds = runsOf(reading, step.id).reduce((sum, run) => sum + (run.startedAt === null ? 0 : secondsBetween(run.startedAt, run.at)), 0);
    return [{ id: step.id, seconds }];
  });
  const longest = took.toSorted((one, other) => other.seconds - one.seconds).slice(0, 3);
  const where = longest.map((one) => `${one.id} ${duration(one.seconds)}`).join(', ');
  return [
    runbook(
      `The time target of ${targetSeconds ?? 0} s was missed: ${duration(machineSeconds)} of machine time`,
      `shorten what took longest: ${where}; rehearse it with a drill`,
      'breach',
    ),
  ];
}

function handedOver({ reading }: Findings): Safeguard[] {
  const steps = [
    ...new Set(
      entriesOf(reading, 'notice').flatMap((entry) =>
        entry['notice'] === 'handed-over' ? [/nobody has answered (\S+);/.exec(textIn(entry, 'text') ?? '')?.[1] ?? ''] : [],
      ),
    ),
  ];
  return steps
    .filter((step) => step !== '')
    .map((step) =>
      yaml(
        `Nobody answered ${step} in time, and it was handed over`,
        `name a deputy (people.NAME.deputyFor: ${reading.steps.find((one) => one.id === step)?.owner ?? reading.policy.lead}), and see who is on call`,
        step,
      ),
    );
}

/** One person asked for it, and let it through alone. */
function fourEyes({ reading }: Findings): Safeguard[] {
  const { by } = reading.state.trigger;
  const alone = ['target', 'unfreeze', 'availability', 'completion'].filter((id) => {
    const step = reading.steps.find((one) => one.id === id);
    return step && !step.fourEyes && lastSaid(reading, 'confirm', id)?.by === by;
  });
  return alone.length === 0
    ? []
    : [yaml(`${by} started it and confirmed ${alone.join(' and ')} alone`, 'set confirmations.fourEyes, so that the starter may not', alone.join(', '))];
}

/** A run that had grown long goes on by itself. */
const isByPerson = (resumes: unknown): boolean => textIn(resumes, 'by') !== null && textIn(resumes, 'continues') === null;

const endedFromOutside = ({ reading }: Findings): Safeguard[] =>
  entriesOf(reading, 'abandoned').length > 0 || entriesOf(reading, 'resumed').some((entry) => isByPerson(fieldOf(entry['input'], 'resumes')))
    ? [
        runbook(
          'Its execution was ended from outside while it was open',
          'say in the runbook: stop it, or decide close; never terminate. Restrict who may terminate in Temporal',
          'abandoned',
        ),
      ]
    : [];
