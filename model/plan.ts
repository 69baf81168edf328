import type { Inventoried } from './deprovision.ts';
import type { DataPlace } from './incident-data.ts';
import type { Effect, Kind } from './policy.ts';
import { POLICIES } from './policy.ts';

/** A version of one component, named the way its platform names it. */
export interface Target {
  readonly component: string;
  /** What is served now; null where the platform cannot say. */
  readonly from: string | null;
  readonly to: string;
  /** SHA-256 of the component's configuration: a plan is bound to the place it acts on, not only to names. */
  readonly config: string;
  /** What belongs to the version, now and then [001 step 2]; only where an incident is rolled back. */
  readonly comparison?: readonly Compared[];
  /** The recorded configuration it goes back to, by place in `config:` of the component. */
  readonly marks?: readonly string[];
  /** The component's own time target beside the whole's, in seconds. */
  readonly targetSeconds?: number;
}

/** One line of the comparison of now and then; null: not known. A secret only ever by fingerprint. */
export interface Compared {
  readonly what: string;
  readonly now: string | null;
  readonly then: string | null;
}

/** The types of component a rollback applies to [002 section 4]. */
export const COMPONENT_TYPES = ['storefront', 'service', 'shop-agent', 'control-plane'] as const;

export type StepMode = 'automatic' | 'manual' | 'gate';
/** What an automatic step or gate does; a manual step has none. */
export type Operation =
  | 'deploy'
  | 'smoke'
  | 'health'
  | 'served'
  | 'freeze'
  | 'communicate'
  | 'identify'
  | 'config'
  | 'parity'
  | 'gate'
  | 'review'
  | 'stability'
  | 'lift'
  | 'survey'
  | 'undo'
  | 'restore'
  | 'recover'
  | 'switch'
  | 'rebuild'
  | 'invariants'
  | 'annotate'
  | 'chain'
  | 'issue'
  | 'install'
  | 'revoke'
  | 'scope'
  | 'inventory'
  | 'begin'
  | 'remove'
  | 'release'
  | 'look'
  | 'remnants'
  | 'fail'
  | 'complete';

/** What the time target of an incident is about [004 section 7.2]: from the freeze to the gates. */
export const TECHNICAL: ReadonlySet<Operation> = new Set([
  ...(['freeze', 'identify', 'config', 'deploy', 'health', 'smoke', 'served', 'parity', 'gate'] as const),
  ...(['survey', 'undo', 'restore', 'recover', 'switch', 'rebuild', 'invariants', 'annotate', 'chain', 'issue', 'install', 'revoke', 'scope'] as const),
]);

/** What a confirmation has to bring. */
export interface Demands {
  /** The hash of the plan that was looked at. */
  readonly plan?: true;
  /** One of these, in `choice`. */
  readonly choices?: readonly string[];
  /** Evidence item by item, as `item=TEXT, link or file`; not where the choice is `not-applicable`. */
  readonly items?: readonly string[];
  /** Who signs a list says in `data` of each of these names, once, in which of SIGNED_LISTS it is. */
  readonly lists?: readonly string[];
  /** Items that steps produce themselves, by the ids of those: typed only where one of them has not passed. */
  readonly produced?: Readonly<Record<string, readonly string[]>>;
  /** Fields of `data`. */
  readonly data?: readonly string[];
  /** A note, always or with this choice. */
  readonly note?: true | string;
}

export interface PlannedStep {
  readonly id: string;
  readonly title: string;
  readonly mode: StepMode;
  readonly effect: Effect;
  readonly component: string | null;
  /** The role that answers for it. */
  readonly owner: string | null;
  readonly operation: Operation | null;
  /**
   * What the answer to a manual step attests. `seen`: only worth something after the question; an early one is refused.
   * `done`: something a person does; an early one is kept until the step waits.
   */
  readonly attests: 'seen' | 'done' | null;
  /** The starter may not answer. */
  readonly fourEyes: boolean;
  /** Steps of the same number that follow one another run, or are asked, together. */
  readonly wave?: number;
  /** What an operation without a component is about: a gate, a carrier, a template, an artifact. */
  readonly subject?: string;
  readonly demands?: Demands;
  /** Can neither be skipped nor accepted as risk. */
  readonly mandatory?: true;
  /** Nobody but its owner answers or decides: neither who leads, nor whom he has appointed, nor a deputy who has not taken the role over. */
  readonly only?: true;
  /** Asked beside the walk, which does not wait for it. */
  readonly beside?: true;
  /** An automatic step that runs only once a person has said so, and by what he chose [product.md 3]. */
  readonly approval?: true;
  /** Within its wave it waits for the step of this id, or with a dot at its end for every one that begins so. */
  readonly after?: string;
  /** Walked only where something could not be taken back. */
  readonly afterFailure?: true;
  /** An attempt to take something of a tenant back: where it fails or is declined, the request is FAILED [000 Rollback Failure]. */
  readonly removal?: true;
  /** What it acts on beside components: `database/NAME`, `evidence/NAME` or `credential/NAME` of the environment. */
  readonly place?: string;
  /** SHA-256 of what it carries out: of a migration and its inverse, of a check. */
  readonly digest?: string;
  /** What is lost by it, as it was counted; null: it cannot be counted. */
  readonly destroys?: readonly Destroyed[];
  /** How many rows it puts back: more need another approval. */
  readonly rows?: number;
  /** Cannot be undone, known before anything is done: why. */
  readonly irreversible?: string;
}

/** What an operation would destroy, e.g. `column public.orders.coupon`, and how many rows of it. */
export interface Destroyed {
  readonly what: string;
  readonly rows: number | null;
}

/** A fixed span of time: ISO, the end exclusive. */
export interface Window {
  readonly from: string;
  readonly to: string;
}

/** A step as a plan holds it: what says nothing may be left out, since every history carries it. */
export type PlanStep = Pick<PlannedStep, 'id' | 'title' | 'mode' | 'effect' | 'owner'> & Partial<PlannedStep>;

/** Does a step with this `after` wait for that one? */
export const waitsFor = (after: string, id: string): boolean => (after.endsWith('.') ? id.startsWith(after) : id === after);

/** The same with everything said. */
export const whole = (step: PlanStep): PlannedStep => ({ component: null, operation: null, attests: null, fourEyes: false, ...step });

/** What is hashed, shown, and walked. Two plans with the same hash do the same to the world. */
export interface Plan {
  readonly kind: Kind;
  readonly environment: string;
  readonly tenant: string | null;
  readonly incident: string | null;
  readonly targets: readonly Target[];
  readonly steps: readonly PlanStep[];
  /** Machine seconds the whole may take; null where the kind has no clock. */
  readonly targetSeconds: number | null;
  /** SHA-256 of the configuration of each database, evidence chain and credential it acts on, by place. */
  readonly places?: Readonly<Record<string, string>>;
  /** The span in which data was damaged; only where data or evidence is gone back. */
  readonly window?: Window;
  /** How a database is recovered, where the person who asked for it has said so: `backup`, an ISO time, or `by-hand`. */
  readonly recover?: Readonly<Record<string, string>>;
  /** What was found of databases, evidence and credentials, as the steps are made of it: a higher level keeps what was begun of it. */
  readonly data?: DataPlace;
  /** What a tenant has, as it was seen; only where one is deprovisioned. */
  readonly artifacts?: readonly Inventoried[];
  /** The provisioning requests that are taken back; only where a tenant is deprovisioned. */
  readonly requests?: readonly string[];
}

/** The plan of a deployRevert [002 sections 6, 8]: per component deploy, smoke, health, served; then a person. */
export function deployRevertSteps(targets: readonly Target[], fourEyes: boolean): PlannedStep[] {
  const gate = { mode: 'gate', effect: 'read', owner: null, attests: null, fourEyes: false } as const;
  const perComponent = targets.flatMap(({ component, to }): PlannedStep[] => [
    {
      id: `${component}.deploy`,
      title: `Put ${component} back to ${to}`,
      mode: 'automatic',
      effect: 'deploy',
      component,
      owner: 'operator',
      operation: 'deploy',
      attests: null,
      fourEyes: false,
    },
    { id: `${component}.smoke`, title: `Smoke tests of ${component}`, component, operation: 'smoke', ...gate },
    { id: `${component}.health`, title: `Health of ${component}`, component, operation: 'health', ...gate },
    { id: `${component}.served`, title: `${component} serves ${to}`, component, operation: 'served', ...gate },
  ]);
  return [...perComponent, availabilityStep(fourEyes)];
}

const availabilityStep = (fourEyes: boolean): PlannedStep => ({
  id: 'availability',
  title: 'An operator confirms that the service is available again',
  mode: 'manual',
  effect: 'read',
  component: null,
  owner: 'operator',
  operation: null,
  attests: 'seen',
  fourEyes,
});

/** Opened by a breach of the clock [002 section 7]; closes only with a person's finding. */
export const investigationStep = (owner = 'operator'): PlannedStep => ({
  id: 'investigation',
  title: 'Why was the time target missed?',
  mode: 'manual',
  effect: 'read',
  component: null,
  owner,
  operation: null,
  attests: 'done',
  fourEyes: false,
});

/** A step whose effect its kind does not allow cannot be planned [002 section 9]. */
export function forbiddenStep(kind: Kind, steps: readonly PlanStep[]): PlanStep | undefined {
  return steps.find((step) => !POLICIES[kind].effects.has(step.effect));
}

/** `<kind>/<environment>/<subject>`: the business key, and Temporal's own mutual exclusion [product.md 5]. */
export function workflowIdOf(input: {
  kind: Kind;
  environment: string;
  components: readonly string[];
  tenant?: string | null;
  incident?: string | null;
}): string {
  const { subject } = POLICIES[input.kind];
  const name = subject === 'components' ? input.components.toSorted().join('+') : subject === 'tenant' ? input.tenant : input.incident;
  return `${input.kind}/${input.environment}/${name ?? ''}`;
}
