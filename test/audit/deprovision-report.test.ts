/** The report of a deprovisioning [000, issue 5]: told by the worker and by the record alone. */
import { describe, expect, test } from 'vitest';
import { certificatePage } from '../../client/report/certificate-page.ts';
import { markdownOf } from '../../client/report/markdown.ts';
import { pageOf } from '../../client/report/page.ts';
import {
  ALL,
  artifacts,
  at,
  begun,
  certified,
  cleanedUp,
  completed,
  failedOnce,
  given,
  planOf,
  reported,
  ROLLBACK,
  SOURCES,
  whole,
  many,
  type Given,
  type Telling,
} from './deprovision-given.ts';

const open = { outcome: null, status: 'ROLLBACK_IN_PROGRESS', worker: { state: 'waiting' } } as const;

test('a page of 500 artifacts is small enough to be mailed', () => {
  const one = many(500);
  const page = certificatePage(certified(one));
  expect(certified(one).removed).toHaveLength(500);
  expect(page).toContain('Acme appointment reminder 499');
  expect(Buffer.byteLength(page)).toBeLessThan(250_000);
  // Each artifact once in its table and in the timeline; a trouble among them is said everywhere.
  expect(Buffer.byteLength(pageOf(reported(one)))).toBeLessThan(500_000);
  expect(markdownOf(reported(one))).toContain('And 500 more, each about an artifact that was taken back');
});

describe.each(SOURCES)('the report, %s', (from) => {
  const report = reported(given(cleanedUp), from);
  const text = markdownOf(report);

  test('says who started it, why by [000], and how the requests stood', () => {
    expect(text).toContain('# Deprovisioning of acme: rolled-back');
    expect(report.summary).toContain('olga asked for the deprovisioning of acme in production: the client is offboarded [000 reason 4]');
    expect(report.summary).toContain('7 artifacts of request req-2041: 6 taken back, 1 not removable.');
    expect(text).toContain(String.raw`| req-2041 | COMPLETED | ROLLED\_BACK |`);
    expect(report.deprovision?.episodes).toEqual([
      {
        from: at('02 09:30:11'),
        until: at('04 15:59:02'),
        why: ['workflow.x7Kq2: n8n workflow "Acme intake" is still present: http://n8n.internal:5678 answered 500'],
      },
    ]);
  });

  test('has a row for each artifact, and what failed', () => {
    expect(text).toContain('| n8n workflow "Acme follow-up" (b9Lm4) | deactivate | deactivated | ben | 2026-11-02 09:31:02 | seen inactive on the platform |');
    expect(text).toContain(
      '| n8n workflow "Acme intake" (x7Kq2) | delete | deleted or deactivated | fred | 2026-11-04 15:59:02 | cleaned up by hand, seen gone |',
    );
    expect(text).toContain('## Failures and retries');
    expect(text).toContain('| 2026-11-02 09:30:10 | `workflow.x7Kq2` | failed |');
    expect(text).toContain('Cleaned up by hand: fred, 2026-11-04 14:00:00 UTC: deleted on the server.');
  });

  test('says what could not be removed and whose it is, and whose the work is that is left', () => {
    expect(report.remains.map(({ artifact, owner }) => `${artifact}: ${owner ?? ''}`)).toEqual([
      'credential acme-hubspot: operator',
      'external CRM records: client',
      'calendar events: client',
      'audit log entries: operator',
    ]);
    expect(report.safeguards.map((one) => one.gap)).toEqual(["1 VAPI assistant is removed by a person's word alone: nobody could look"]);
    expect(report.followUps.map((one) => one.action)).toEqual(['Clean up credential acme-hubspot by hand']);
  });

  test('has timeline, decisions and waiting times, and nothing that only an incident has', () => {
    expect(report.timeline[0]?.what).toContain('The plan: 7 artifacts of request req-2041');
    expect(report.decisions.map((one) => `${one.by} ${one.what}`)).toEqual([
      'ana confirmed the inventory, plan sha256:c0ffee11c0ff',
      'ana confirmed that no route answers any more',
      'eve left workflow.x7Kq2 as what remains',
      'fred confirmed that what had failed was cleaned up by hand',
      'dina confirmed the end of the deprovisioning',
    ]);
    const waits = new Map(report.waitingTimes.waits.map((one) => [`${one.step ?? ''} ${one.asked}`, one.seconds]));
    expect(waits.get('workflow.b9Lm4 answer')).toBe(20 * 60 + 59);
    expect(waits.get('completion answer')).toBe(59 * 60);
    expect(text).not.toMatch(
      /## (Freeze|Declaration|Now and then|For the review|Communications)|Root cause|Target \(machine time\)|accepted risk|post-mortem/i,
    );
    expect(report).toMatchObject({ incidentCommand: null, open: [] });
  });
});

test('a run that had grown long and went on by itself is nobody’s decision and no accident', () => {
  const story = (telling: Telling): void => {
    begun(telling);
    const resumes = { rollbackId: ROLLBACK, by: 'backout', reason: 'the history had grown long', continues: 'run-1' };
    telling.put('02 09:20:00', 'resumed', { input: { by: 'olga', resumes }, plan: planOf(ALL) });
    artifacts(telling);
    completed(telling);
  };
  const report = reported(given(story));
  expect(report.decisions.some((one) => one.by === 'backout')).toBe(false);
  expect(report.safeguards.some((one) => one.gap.includes('ended from outside'))).toBe(false);
  expect(report.timeline.map((one) => `${one.who} ${one.what}`)).toContain('Backout went on in a new run: the history had grown long');
});

test('of a partial end the report names what is to be done, by whom, and that it is started again', () => {
  const report = reported(given(failedOnce, { outcome: 'partial', status: 'FAILED' }));
  expect(report.followUps.map((one) => one.action)).toEqual([
    'Remove n8n workflow "Acme intake" (x7Kq2): n8n workflow "Acme intake" is still present: http://n8n.internal:5678 answered 500; left by eve: n8n is down until Thursday',
    'Start the deprovisioning again once that is cleaned up: req-2041 is not ROLLED_BACK',
    'Clean up credential acme-hubspot by hand',
  ]);
  expect(report.deprovision?.episodes[0]?.until).toBeNull();
  expect(markdownOf(report)).toContain('still so');
});

test('a decline makes the request FAILED, and is why; where no request was begun, none was', () => {
  const story = (telling: Telling): void => {
    begun(telling);
    telling.say('02 09:30:00', 'decline', 'ben', 'workflow.x7Kq2', { reason: 'not yet' });
    telling.ran('failure', '02 09:30:01', 'done', { after: { 'req-2041': 'FAILED' } });
  };
  const episodes = (one: Given) => reported(one, 'fromRecord').deprovision?.episodes;
  expect(episodes(given(story, open))).toEqual([{ from: at('02 09:30:01'), until: null, why: ['workflow.x7Kq2: declined by ben: not yet'] }]);
  expect(episodes(given(({ ran }) => ran('failure', '02 09:30:01', 'already', { detail: 'no request was begun' }), open))).toEqual([]);
});

test.each(SOURCES)('who was awaited for the end, %s, is known though nothing had failed', (from) => {
  expect(reported(given(whole), from).waitingTimes.waits.find((one) => one.step === 'completion')?.seconds).toBe(59 * 60);
});
