/** The sections of a deprovisioning [000]: its requests, its artifacts, what could not be removed, what failed. */
import { own } from '../../model/roles.ts';
import type { ArtifactReport, Stands } from './artifacts.ts';
import { code, moment, strong, table, tableIf, tableOr, text, type Block, type Line, type Piece, type Section } from './document.ts';
import type { Report } from './report.ts';
import { causeInWords, knownInWords } from './tenant-words.ts';

export function tenantFacts({ deprovision: of }: Report): (readonly Line[])[] {
  if (!of) return [];
  return [
    ['Tenant', strong(of.tenant)],
    ['Why', causeInWords(of.cause)],
    ...of.requests.map((one): Line[] => [`Request ${one.id}`, [one.before === null ? '' : `${one.before} → `, strong(one.status ?? 'as it was')]]),
    ...(of.completion ? [['Completion confirmed', `${moment(of.completion.at)} UTC by ${of.completion.by}`]] : []),
  ];
}

/** Above this many, what went well and has a row of its own among the artifacts is not said again. */
const ROWS_MAX = 100;

/** The rest is said in a sentence; JSON always has all of it. */
export function unlessTold<T extends { readonly step: string | null }>(
  report: Report,
  all: readonly T[],
): { readonly shown: readonly T[]; readonly more: Block[] } {
  if (!report.deprovision || all.length <= ROWS_MAX) return { shown: all, more: [] };
  const told = new Set(
    report.deprovision.artifacts.flatMap((one) => (one.fate === 'removed' && one.known !== 'cleaned-up' && one.step !== null ? [one.step] : [])),
  );
  const tried = new Set(report.deprovision.tries.map((one) => one.step));
  const shown = all.filter((one) => one.step === null || !told.has(one.step) || tried.has(one.step));
  return {
    shown,
    more:
      shown.length === all.length
        ? []
        : [text(`And ${all.length - shown.length} more, each about an artifact that was taken back: see Artifacts, or --format json.`)],
  };
}

export function tenantSections(report: Report): Section[] {
  const { deprovision: of } = report;
  if (!of) return [];
  return [
    { id: 'requests', title: 'Provisioning requests', blocks: requests(report) },
    { id: 'artifacts', title: 'Artifacts', blocks: artifacts(of.artifacts, of.earlier) },
    { id: 'tries', title: 'Failures and retries', blocks: tries(report) },
  ];
}

function requests({ deprovision: of }: Report): Block[] {
  if (!of) return [];
  const { requests: all, episodes, isOver } = of;
  const none = isOver ? 'Every request had been rolled back before.' : 'No request was taken up.';
  return [
    tableOr(
      none,
      ['request', 'before', 'now'],
      all.map((one): Line[] => [
        one.id,
        one.before ?? '',
        { tone: one.status === 'ROLLED_BACK' ? 'good' : one.status === 'FAILED' ? 'bad' : 'calm', text: one.status ?? 'as it was' },
      ]),
    ),
    ...tableIf(
      'Times in which they were FAILED',
      ['from (UTC)', 'until (UTC)', 'why'],
      episodes.map((one): Line[] => [moment(one.from), one.until === null ? { tone: 'bad', text: 'still so' } : moment(one.until), one.why.join('; ')]),
    ),
  ];
}

const STANDS: Readonly<Record<Stands, string>> = {
  'not-begun': 'not begun',
  awaited: 'awaits a person',
  agreed: 'confirmed, not done yet',
  unproven: 'said to be gone, not looked at yet',
  failed: 'failed',
  declined: 'declined',
  'left-out': 'left, and documented',
  unlisted: 'not listed',
  again: 'there again',
};
const BAD: ReadonlySet<Stands> = new Set(['failed', 'declined', 'again']);

function outcomeOf(one: ArtifactReport): Piece {
  switch (one.fate) {
    case 'removed':
      return {
        tone: one.known === 'said' ? 'warn' : 'good',
        text: one.action === 'gone' ? 'was gone' : one.action === 'inactive' ? 'was inactive' : (one.action ?? '').replaceAll('-', ' '),
      };
    case 'left':
      return { tone: one.stands !== null && BAD.has(one.stands) ? 'bad' : 'warn', text: own(STANDS, one.stands ?? '') ?? 'left' };
    case 'kept':
      return { tone: 'calm', text: 'kept' };
    case 'not-ours':
      return { tone: 'calm', text: 'not the tenant’s' };
    case 'not-removable':
    default:
      return { tone: 'warn', text: 'not removable' };
  }
}

function credentials({ credentials: one }: ArtifactReport): string[] {
  if (!one) return [];
  if (one.state === 'confirmed') return [`credentials cleaned up, confirmed by ${one.by ?? ''}, ${one.at === null ? '' : moment(one.at)}, not verified`];
  return [one.state === 'awaited' ? 'credentials: not confirmed yet' : 'credentials: left'];
}

const row = (one: ArtifactReport): Line[] => [
  one.label,
  one.chosen ?? '',
  outcomeOf(one),
  one.by ?? '',
  one.at === null ? '' : moment(one.at),
  [knownInWords(one, one.by ?? 'nobody') ?? '', one.why ?? '', ...credentials(one)].filter((part) => part !== '').join('; '),
];
const TITLES = ['artifact', 'chosen', 'outcome', 'by the word of', 'when (UTC)', 'how it is known, or why not'];

function artifacts(all: readonly ArtifactReport[], earlier: readonly ArtifactReport[]): Block[] {
  return [
    tableOr('No artifact was in the plan.', TITLES, all.map(row)),
    ...tableIf(
      'Taken back by earlier rollbacks of these requests',
      [...TITLES, 'rollback'],
      earlier.map((one): Line[] => [...row(one), code(one.rollbackId)]),
    ),
  ];
}

function tries({ deprovision: of }: Report): Block[] {
  if (!of) return [];
  if (of.tries.length === 0) return [text('Nothing failed, and nothing was declined.')];
  const rows = of.tries.map((one): Line[] => [
    moment(one.at),
    code(one.step),
    { tone: one.state === 'done' || one.state === 'already' ? 'good' : 'bad', text: one.state },
    one.what,
  ]);
  return [
    table(['time (UTC)', 'step', 'state', 'what'], rows),
    ...(of.cleanup
      ? [text(`Cleaned up by hand: ${of.cleanup.by}, ${moment(of.cleanup.at)} UTC${of.cleanup.note === null ? '' : `: ${of.cleanup.note}`}.`)]
      : []),
  ];
}
