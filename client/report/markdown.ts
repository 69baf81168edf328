/** The report as Markdown: plain enough for any viewer, and for a diff. */
import { plain } from '../words.ts';
import { due, piecesOf, table, type Block, type Line, type Piece } from './document.ts';
import type { Report } from './report.ts';
import { factRows, notClosed, sectionsOf, titleOf } from './sections.ts';

/** Text from people and platforms must not become a table, a heading or a link. Blanks at the ends stay: pieces follow one another. */
function inline(text: string): string {
  const inner = plain(text).replaceAll(/[\\`*_[\]<>|#]/g, String.raw`\$&`);
  if (inner === '') return text === '' ? '' : ' ';
  return `${/^\s/.test(text) ? ' ' : ''}${inner}${/\s$/.test(text) ? ' ' : ''}`;
}

function piece(one: Piece): string {
  if (typeof one === 'string') return inline(one);
  if ('code' in one) return `\`${plain(one.code).replaceAll('`', "'")}\``;
  if ('strong' in one) return `**${inline(one.strong)}**`;
  return 'em' in one ? `*${inline(one.em)}*` : inline(one.text);
}

/** Of several pieces one line. */
export const line = (of: Line): string => piecesOf(of).map(piece).join('').trim();

export function markdownOf(report: Report): string {
  const { decided, proven, remains } = report.inShort;
  const head = [
    `# ${line(titleOf(report))}`,
    '',
    ...report.inShort.happened.flatMap((one, index) => (index === 0 ? [line(one)] : ['', line(one)])),
    ...notClosed(report).flatMap((one) => ['', ...block(one)]),
  ];
  const short = [
    ['Who decided', decided],
    ['What was proven', proven],
    ['What remains', remains],
  ] as const;
  const sections = [
    head,
    block(table(['', ''], factRows(report))),
    ['## In short', ...short.flatMap(([title, lines]) => ['', `### ${title}`, '', ...lines.map((one) => `- ${line(one)}`)])],
    ...sectionsOf(report).map(({ title, blocks }) => [`## ${title}`, ...blocks.flatMap((one) => ['', ...block(one)])]),
  ];
  return `${sections.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

export function block(one: Block): string[] {
  switch (one.kind) {
    case 'text':
      return [line(one.line)];
    case 'quote':
      return [`> ${line(one.line)}`];
    case 'heading':
      return [`### ${line(one.text)}`];
    case 'list':
      return one.items.map((item) => `- ${line(item)}`);
    case 'table':
      return rows(one.titles, one.rows);
    case 'moments':
      return rows(
        ['time', 'after', 'who', 'what'],
        one.rows.map(({ at, after, who, what }) => [at, after, who, what]),
      );
    case 'commands':
    default:
      return ['```sh', ...one.lines.map((command) => plain(command).replaceAll('`', "'")), '```'];
  }
}

const rows = (titles: readonly string[], cells: readonly (readonly Line[])[]): string[] => [
  `| ${titles.join(' | ')} |`,
  `|${titles.map(() => '---|').join('')}`,
  ...cells.map((row) => `| ${row.map(line).join(' | ')} |`),
];

/** A checklist to be pasted where work is tracked. */
export function followUpsMarkdown(report: Report): string {
  const items = report.followUps.map(
    (one) => `- [ ] ${line(one.action)} (owner: ${line(one.owner)}; due: ${one.due === null ? 'not stated' : line(due(one.due))}; from: ${line(one.source)})`,
  );
  return [
    `# Follow-ups of ${line({ code: report.id })}`,
    '',
    `${line(titleOf(report))}. Rollback ${line({ code: report.rollbackId })}, as of ${report.madeAt}.`,
    '',
    ...(items.length === 0 ? ['Nothing is left to follow up.'] : items),
    '',
  ].join('\n');
}

/** The same for a program. */
export const followUpsDocument = (report: Report): Readonly<Record<string, unknown>> => ({
  id: report.id,
  rollbackId: report.rollbackId,
  kind: report.kind,
  environment: report.environment,
  incident: report.incident.number,
  outcome: report.outcome,
  followUps: report.followUps,
  madeAt: report.madeAt,
});
