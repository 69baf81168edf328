/** What a report of levels 2 and 3 may not pass over: what was left out, has failed or is still open, while it runs and from the record alone; and that it says no more of a loss than is so. */
import { describe, expect, test } from 'vitest';
import { markdownOf } from '../../client/report/markdown.ts';
import type { Report } from '../../client/report/report.ts';
import { COUPON, graveGiven } from './grave-given.ts';
import { made, PLAN, type Telling } from './incident-given.ts';

const NOTHING = 'Nothing was left behind';
/** A section, from its title to the next one. */
const section = (report: Report, title: string): string => markdownOf(report).split(`\n## ${title}\n`)[1]?.split('\n## ')[0] ?? '';
const reports = (story: (telling: Telling) => void, more: Parameters<typeof graveGiven>[1] = {}): [string, Report][] => {
  const one = graveGiven(story, more);
  return [
    ['the worker', made(one.fromWorker, one.recorded)],
    ['the record alone', made(one.fromRecord, one.recorded)],
  ];
};
const declared = ({ say }: Telling): void => {
  say('03:02:00', 'confirm', 'carol', 'declaration', {});
  say('03:21:00', 'confirm', 'sam', 'credentials', {
    note: 'leak',
    data: { rotate: ['payments', 'ledger', 'crm', 'mail'], revokeFirst: [], unaffected: ['google', 'sms'] },
  });
};
const leaveRevoke = (telling: Telling): void => {
  declared(telling);
  const { say, ran } = telling;
  ran('issue.payments', ['03:24:00', '03:24:01'], 'done', { after: {}, ids: { generation: 'payments-new' } });
  ran('install.payments', ['03:24:10', '03:24:12'], 'done', { after: { held: 1, proven: true }, ids: { generation: 'payments-new' } });
  ran('revoke.payments', ['03:24:20', '03:24:22'], 'failed', null, ['StillUsed', 'the old one is still used']);
  say('03:25:00', 'decide', 'sam', 'revoke.payments', { action: 'skip', reason: 'the vendor is away', due: '2026-12-01', evidence: [] });
};

describe('what remains', () => {
  test.each(reports(leaveRevoke))('names two generations that are alive, long before the end (%s)', (_, report) => {
    const told = section(report, 'What remains');
    expect(told).not.toContain(NOTHING);
    expect(told).toContain('| revoke.payments | left out by sam until 2026-12-01: the vendor is away | security-lead |');
    expect(told).toMatch(/Still to be done, and nobody can say yet what it leaves: .*api\.deploy/);
    expect(told).not.toContain('issue.sms');
  });

  test.each(
    reports(({ say, ran }) => {
      say('03:02:00', 'confirm', 'carol', 'declaration', {});
      ran(`undo.main.${COUPON}`, ['03:12:01', '03:12:09'], 'failed', null, ['PlatformFailed', 'statement 1 failed; nothing was changed']);
    }).slice(0, 1),
  )('names what has failed (%s)', (_, report) => {
    expect(section(report, 'What remains')).toContain(
      `| undo.main.${COUPON.replace('_', String.raw`\_`)} | failed: statement 1 failed; nothing was changed | data-evidence-lead |`,
    );
  });

  test.each(reports(({ say }) => say('03:02:00', 'confirm', 'carol', 'declaration', {})))(
    'never says that there is nothing before anything was done (%s)',
    (_, report) => {
      expect(section(report, 'What remains')).not.toContain(NOTHING);
    },
  );
});

describe('rows', () => {
  const restore = (state: 'done' | 'failed', restored: number) =>
    reports(({ say, ran }) => {
      say('03:02:00', 'confirm', 'carol', 'declaration', {});
      say('03:14:00', 'confirm', 'dora', 'restore.main.orders', { plan: PLAN });
      const after = { restored, same: 0, changed: 0, blocked: [{ by: 'a foreign key', rows: 21 }], unreadable: 0, lost: ['coupon'] };
      ran(
        'restore.main.orders',
        ['03:14:01', '03:14:05'],
        state,
        { after },
        state === 'failed' ? ['PlatformFailed', 'the order of the tables is wrong'] : undefined,
      );
    })[0]?.[1];

  test('of a failed try are not lost: the next one may put them back', () => {
    expect(restore('failed', 0)?.inShort.happened.join()).not.toContain('LOST BY DESIGN');
    expect(restore('failed', 0)?.incidentCommand?.data?.lost).toEqual([]);
  });
  test('have lost the values of columns only where rows were put back', () => {
    const lost = (restored: number) => restore('done', restored)?.incidentCommand?.data?.lost.map((one) => one.what);
    expect(lost(0)).toEqual(['deleted rows of orders of main']);
    expect(lost(3)).toEqual(['deleted rows of orders of main', 'the values of coupon in the rows that were put back of orders of main']);
  });
});

describe('the words of people', () => {
  test.each(reports(leaveRevoke))('the note on a list is no name of it (%s)', (_, report) => {
    expect(report.inShort.decided.join('\n')).toContain('not exposed: google, sms; note: leak');
  });

  test.each(reports(leaveRevoke))('a credential that was not exposed says so once in the checklist, and who signed (%s)', (_, report) => {
    const told = markdownOf(report);
    expect(told).toContain('revoke.sms skipped, not exposed, as signed by sam');
    expect(told).not.toContain('skipped, skipped');
  });

  test('a warning that asks for an answer is marked once it has it', () => {
    const warnings = [`undo.main.${COUPON} is asked about again: more would be lost; nothing was changed`, 'no gate covers ci'];
    const [[, open], [, over]] = [[], [[`undo.main.${COUPON}`, ['03:13:00', '03:13:04'], 'done'] as const]].map(
      (runs) =>
        reports(
          (telling) => {
            declared(telling);
            for (const run of runs) telling.ran(...run);
          },
          { worker: { warnings } },
        )[0]!,
    ) as [[string, Report], [string, Report]];
    expect(open.warnings).toEqual(warnings);
    expect(over.warnings).toEqual([`${warnings[0]} (answered since)`, warnings[1]]);
  });

  test('who was given the role of those who sign is not told as who holds it, where nobody knows that he may', () => {
    const [, [, report]] = reports((telling) => {
      telling.say('03:01:00', 'assign', 'carol', null, { role: 'security-lead', to: 'eve', reason: 'sam sleeps' });
      leaveRevoke(telling);
    }) as [[string, Report], [string, Report]];
    expect(report.incidentCommand?.roles.find((one) => one.role === 'security-lead')?.holders).toEqual(['sam']);
  });
});
