/** The certificate as Markdown. */
import type { Certificate, LeftItem } from './certificate.ts';
import { code, heading, list, quote, strong, table, text, type Block, type Line } from './document.ts';
import { block, line } from './markdown.ts';

const utc = (iso: string | null): string => (iso === null ? '' : `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`);
const item = ({ kind, name, id }: Pick<LeftItem, 'kind' | 'name' | 'id'>): Line => [
  kind,
  ...(name === '' ? [] : [' ', strong(name)]),
  ...(id === null ? [] : [' (', id, ')']),
];
const items = (all: readonly LeftItem[]): Block =>
  table(
    ['what', 'why', 'who owns it'],
    all.map((one): Line[] => [item(one), one.why, one.owner]),
  );

export function certificateMarkdown(one: Certificate): string {
  const facts: Line[][] = [
    ['Tenant', strong(one.tenant)],
    ...(one.house === null ? [] : [['Issued by', one.house]]),
    ...one.requests.map((request): Line[] => ['Provisioning request', [request.id, ...(request.status === null ? [] : [`: ${request.status}`])]]),
    ...(one.completedAt === null ? [] : [['Completed', utc(one.completedAt)]]),
    ...(one.completionConfirmedBy === null ? [] : [['Completion confirmed by', one.completionConfirmedBy]]),
    ...(one.lookedAt === null ? [] : [['Looked at again, nothing left', utc(one.lookedAt)]]),
  ];
  const blocks: Block[] = [
    one.isCertificate ? text(one.statement) : quote(strong(one.statement)),
    table(['', ''], facts),
    ...(one.left.length === 0 ? [] : [heading('What is left'), items(one.left)]),
    ...(one.removed.length === 0
      ? []
      : [
          heading(one.isCertificate ? 'What was removed' : 'What was removed so far'),
          table(
            ['item', 'what was done', 'confirmed by', 'when', 'how it is known'],
            one.removed.map((row): Line[] => [
              item(row),
              row.done,
              row.confirmedBy ?? '',
              utc(row.at),
              [row.how, ...(row.rollbackId === null ? [] : ['; by rollback ', code(row.rollbackId)])],
            ]),
          ),
        ]),
    ...(one.notRemovable.length === 0 ? [] : [heading(one.isCertificate ? 'What could not be removed' : 'What cannot be removed'), items(one.notRemovable)]),
    ...(one.notes.length === 0 ? [] : [list(one.notes)]),
    heading('How this can be checked'),
    list([
      ['rollback: ', code(one.rollbackId)],
      [
        one.record.entry === null ? 'head of the record: ' : `entry ${one.record.entry} of the record: `,
        one.record.head === null ? 'unknown' : code(one.record.head),
      ],
      `made ${utc(one.madeAt)}; names are as people gave them`,
    ]),
  ];
  return `${[`# ${line([one.title, ': ', one.tenant])}`, ...blocks.flatMap((each) => ['', ...block(each)])].join('\n')}\n`;
}
