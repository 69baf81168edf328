/** The certificate that a client is given [000, issue 5]: told by the worker and by the record alone, and never more than is known. */
import { describe, expect, test } from 'vitest';
import { houseOf, type Certificate } from '../../client/report/certificate.ts';
import { certificateMarkdown } from '../../client/report/certificate-markdown.ts';
import { certificatePage } from '../../client/report/certificate-page.ts';
import { markdownOf } from '../../client/report/markdown.ts';
import { pageOf } from '../../client/report/page.ts';
import { configSchema } from '../../model/config.ts';
import type { Inventoried } from '../../model/deprovision.ts';
import { given as incidentGiven, longNight, made } from './incident-given.ts';
import {
  artifacts,
  at,
  begun,
  CALENDAR,
  certified,
  cleanedUp,
  completed,
  CREDENTIAL,
  CRM,
  EARLIER,
  everything,
  failedOnce,
  given,
  HEAD,
  leftOf,
  lines,
  materialOf,
  refusalOf,
  reported,
  ROLLBACK,
  SECOND,
  SOURCES,
  VAPI,
  WEBHOOK,
  whole,
  WORKFLOW,
  after,
  only,
  type Telling,
} from './deprovision-given.ts';

const open = { outcome: null, status: 'ROLLBACK_IN_PROGRESS', worker: { state: 'waiting' } } as const;

describe.each(SOURCES)('the certificate of a complete offboarding, %s', (from) => {
  const one = certified(given(whole), from);

  test('says what was done with each artifact, by whose word, and how it is known', () => {
    expect(one).toMatchObject({ isCertificate: true, standing: 'complete', title: 'Offboarding certificate', tenant: 'acme', house: 'NexumOps', left: [] });
    expect(lines(one)).toEqual([
      'Acme intake: deleted, ana, seen gone on the platform',
      'Acme follow-up: deactivated, ben, seen inactive on the platform',
      '/acme/intake: removed, ana, seen gone on the platform',
      'HubSpot Acme: disconnected, ana, taken out of the tenant’s configuration; access credentials cleaned up: confirmed by carl, not verified',
      'front-desk@acme.example: disconnected, ana, taken out of the tenant’s configuration; access credentials cleaned up: confirmed by carl, not verified',
      'Recepcionista Acme: reported deactivated or deleted, ben, confirmed by ben, not verified',
    ]);
    expect(one.removed[0]?.at).toBe(at('02 09:30:02'));
  });

  test('says what could not be removed and who owns it', () => {
    expect(one.notRemovable.map(({ kind, name, owner }) => `${kind} ${name}: ${owner}`)).toEqual([
      'Access credential acme-hubspot: NexumOps (operator)',
      'Records in the CRM : the client',
      'Booked appointments : the client',
      'Audit log entries : NexumOps (operator)',
    ]);
  });

  test('can be checked: requests, rollback, the last entry of the record, dates', () => {
    expect(one).toMatchObject({
      requests: [{ id: 'req-2041', status: 'ROLLED_BACK' }],
      rollbackId: ROLLBACK,
      record: { head: HEAD },
      completedAt: at('04 16:00:00'),
      completionConfirmedBy: 'dina',
      lookedAt: at('04 15:00:00'),
      madeAt: at('05 10:00:00'),
    });
    for (const text of [certificateMarkdown(one), certificatePage(one)]) for (const part of [ROLLBACK, HEAD, 'req-2041', 'dina']) expect(text).toContain(part);
    expect(certificatePage(one)).toContain('4 November 2026');
  });

  test('never calls removed what rests on a word alone', () => {
    expect(one.statement).toContain('1 of them on a person’s word alone');
    expect(certificatePage(one)).toMatch(/<i class="said">○<\/i><span><bdi>confirmed by ben, not verified/);
  });

  test('has nothing of the house in it: no starter, no reason, no note, no message, no address', () => {
    const all = everything(one);
    for (const part of ['olga', 's3cret', 'wiki.internal', 'n8n.internal', 'pat-eu1', 'contract 88-B', '5678']) expect(all).not.toContain(part);
  });
});

describe('what is no certificate says so', () => {
  const NOT = 'This is not a certificate.';
  const check = (one: Certificate): void => {
    expect(one.isCertificate).toBe(false);
    expect(one.statement.startsWith(NOT)).toBe(true);
    expect(one).toMatchObject({ completedAt: null, completionConfirmedBy: null });
    const [markdown, page] = [certificateMarkdown(one), certificatePage(one)];
    expect(markdown.split('\n')[0]).toBe('# Offboarding status: acme');
    expect(markdown.split('\n')[2]).toContain(NOT);
    expect(page).toContain('<div class="banner" role="note">');
    expect(page.indexOf(NOT)).toBeLessThan(page.indexOf('<dl class="facts">'));
    for (const text of [markdown, page]) expect(text).not.toMatch(/certificate of|offboarding certificate|no longer|>Completed</i);
  };

  test.each(SOURCES)('while it is under way, %s: what is left, and how far each is', (from) => {
    const story = (telling: Telling): void => {
      begun(telling);
      artifacts(telling, ['workflow.x7Kq2', 'workflow.b9Lm4', 'vapi.5f0c-77', 'webhook.acme/intake', 'routes', 'calendar']);
      telling.say('03 12:00:00', 'confirm', 'ben', 'vapi.5f0c-77', { note: 'done' });
      // Approved, and the worker has not come to it.
      telling.say('03 12:01:00', 'confirm', 'ben', 'workflow.b9Lm4', { choice: 'delete' });
      telling.say('03 12:02:00', 'decline', 'ben', 'workflow.x7Kq2', { reason: 'their lawyer called' });
    };
    const one = certified(given(story, open), from);
    check(one);
    expect(one.standing).toBe('open');
    expect(leftOf(one)).toEqual([
      'Acme intake: the removal was declined, NexumOps (operator)',
      'Acme follow-up: confirmed, not carried out yet, NexumOps (operator)',
      '/acme/intake: not confirmed yet, NexumOps (operator)',
      'front-desk@acme.example: not confirmed yet, NexumOps (operator)',
      'Recepcionista Acme: reported as removed, still to be checked, NexumOps (operator)',
    ]);
    expect(lines(one)).toHaveLength(1);
    expect(everything(one)).not.toContain('lawyer');
  });

  test.each(SOURCES)('of a partial end, %s: what failed, without what the platform said', (from) => {
    const one = certified(given(failedOnce, { outcome: 'partial', status: 'FAILED' }), from);
    check(one);
    expect(one.statement).toContain('ended partial: 5 of 6 items are taken back');
    expect(one.statement).toContain('what is left rests with NexumOps (operator)');
    expect(leftOf(one)).toEqual(['Acme intake: left to be cleaned up by hand, NexumOps (operator)']);
    expect(one.requests).toEqual([{ id: 'req-2041', status: 'FAILED' }]);
    expect(everything(one)).not.toMatch(/answered 500|Thursday|eve\b/);
  });

  test('of one that was refused at the start: nothing was removed, and no other tenant is named', () => {
    const refusal = {
      rule: 'protected',
      source: '[000]',
      explanation: 'webhook is listed by request 7 of another tenant, globex',
      by: 'olga',
      at: at('02 09:00:00'),
    } as const;
    const story = ({ put }: Telling): void => put('02 09:00:00', 'refused', { refusal, input: {} });
    for (const [from] of SOURCES) {
      const one = certified(given(story, { plan: null, outcome: 'refused' }), from);
      check(one);
      expect(one.statement).toContain('refused before anything was changed: nothing was removed');
      expect(one).toMatchObject({ removed: [], left: [], notRemovable: [] });
      expect(everything(one)).not.toMatch(/globex|olga/);
      expect(markdownOf(reported(given(story, { plan: null, outcome: 'refused' }), from))).toContain('globex');
    }
  });

  test('of one that was closed before it was begun: everything is left', () => {
    const story = ({ ran }: Telling): void => ran('identify', '02 09:00:01', 'done', { after: {} });
    const one = certified(given(story, { outcome: 'refused', status: null }));
    check(one);
    expect(one).toMatchObject({ removed: [], notRemovable: [] });
    expect(reported(given(story, { outcome: 'refused', status: null })).remains).toEqual([]);
    expect(new Set(one.left.map((each) => each.why))).toEqual(new Set(['not started']));
  });

  test.each([
    ['an artifact is open', given((telling) => (begun(telling), artifacts(telling, ['workflow.x7Kq2']), completed(telling))), {}],
    [
      'the last look was before the cleanup',
      given((telling) => {
        failedOnce(telling);
        completed(telling);
        telling.say('04 15:59:30', 'confirm', 'fred', 'cleanup', { note: 'deleted' });
      }),
      {},
    ],
    ['no last look has passed', given((telling) => (begun(telling), artifacts(telling))), {}],
    ['a request is elsewhere', given(whole, { status: 'FAILED' }), {}],
    ['the record lacks something', given(whole, { worker: { record: { entries: 9, head: 'sha256:old', behind: true } } }), {}],
  ])('though it calls itself rolled-back: %s', (_, one) => {
    const certificate = certified(one);
    check(certificate);
    expect(certificate.standing).toBe('unproven');
  });

  test.each(SOURCES)('where the last look found something again, %s', (from) => {
    const story = (telling: Telling): void => {
      begun(telling);
      artifacts(telling);
      const again = [{ subject: 'n8n-workflow x7Kq2', failure: { type: 'NotRemoved', message: 'n8n workflow "Acme intake" was deleted, and is there' } }];
      telling.ran('remnants', '04 15:00:00', 'failed', null, ['SomethingLeft', 'it is there'], { change: { left: { again, itself: false } } });
    };
    const one = certified(given(story, { ...open, status: 'FAILED' }), from);
    check(one);
    expect(leftOf(one)).toEqual(['Acme intake: was found in place again, NexumOps (operator)']);
  });
});

describe('how it is known', () => {
  const first = (list: readonly Inventoried[], story: (telling: Telling) => void, from: 'fromWorker' | 'fromRecord' = 'fromWorker') =>
    lines(certified(only(list, story), from))[0];

  test.each(SOURCES)('cleaned up by hand after a failure, %s', (from) => {
    const one = certified(given(cleanedUp), from);
    expect(one.isCertificate).toBe(true);
    expect(lines(one)[0]).toBe('Acme intake: deactivated or deleted, fred, cleaned up by hand, seen gone');
    // The last look of all, just before the end was written.
    expect(one.removed[0]?.at).toBe(at('04 15:59:02'));
  });

  test('cleaned up, and decided so: the inspection agreed', () => {
    const story = ({ say, ran }: Telling): void => {
      say('02 09:30:00', 'confirm', 'ana', 'workflow.x7Kq2', { choice: 'delete' });
      ran('workflow.x7Kq2', '02 09:30:10', 'failed', null, ['NotRemoved', 'is there']);
      say('02 10:00:00', 'decide', 'gil', 'workflow.x7Kq2', { action: 'done', reason: 'by hand', evidence: [] });
      ran('workflow.x7Kq2', '02 10:00:02', 'already', after('absent'), undefined, { mode: 'inspect' });
    };
    expect(first([WORKFLOW], story)).toBe('Acme intake: deleted, gil, cleaned up by hand, seen gone');
  });

  test('a second try of ours that finds it gone has removed it: it was not gone before', () => {
    const story = ({ say, ran }: Telling): void => {
      say('02 09:30:00', 'confirm', 'ana', 'webhook.acme/intake');
      ran('webhook.acme/intake', '02 09:30:10', 'failed', null, ['RouteAnswers', 'its route still answers']);
      say('02 10:00:00', 'decide', 'gil', 'webhook.acme/intake', { action: 'retry', reason: 'n8n is restarted' });
      ran('webhook.acme/intake', '02 10:00:02', 'already', after('absent'));
    };
    expect(first([WEBHOOK], story)).toBe('/acme/intake: removed, ana, seen gone on the platform');
  });

  test.each([
    ['absent', 'was gone before', 'was gone before'],
    ['inactive', 'was inactive before', 'was inactive before'],
  ])('%s before it came to it', (presence, done, how) => {
    const story = ({ say, ran }: Telling): void => {
      say('02 09:30:00', 'confirm', 'ana', 'workflow.x7Kq2', { choice: 'deactivate' });
      ran('workflow.x7Kq2', '02 09:30:10', 'already', after(presence));
    };
    expect(first([WORKFLOW], story)).toBe(`Acme intake: ${done}, ana, ${how}`);
  });

  test('a path that nothing served any more', () => {
    const story = ({ say, ran }: Telling): void => {
      say('02 09:30:00', 'confirm', 'ana', 'webhook.acme/intake');
      ran('webhook.acme/intake', '02 09:30:10', 'already', after('absent'));
    };
    expect(first([WEBHOOK], story)).toBe('/acme/intake: was gone before, ana, was gone before');
  });

  test.each(SOURCES)('left before anybody was heard, %s: documented, and not awaited', (from) => {
    const story = (telling: Telling): void => {
      begun(telling);
      telling.say('02 09:30:00', 'decide', 'eve', 'workflow.x7Kq2', { action: 'skip', reason: 'n8n is down', evidence: [] });
    };
    expect(leftOf(certified(given(story, { ...open, artifacts: [WORKFLOW] }), from))).toEqual([
      'Acme intake: left to be cleaned up by hand, NexumOps (operator)',
    ]);
  });

  test('listed and never seen: a person says that it is gone, and it is looked for', () => {
    const listedOnly = { ...WORKFLOW, presence: 'absent' } as const;
    const story =
      (verified: boolean) =>
      ({ say, ran }: Telling): void => {
        say('02 09:30:00', 'confirm', 'ana', 'workflow.x7Kq2');
        ran('workflow.x7Kq2', '02 09:30:10', 'already', after(verified ? 'absent' : 'unknown', { verified }));
      };
    expect(first([listedOnly], story(true))).toBe('Acme intake: was gone before, ana, was gone before');
    expect(first([listedOnly], story(false))).toBe('Acme intake: reported gone, ana, confirmed by ana, not verified');
  });

  test('done by hand, as a person chose, and seen', () => {
    const story = ({ say, ran }: Telling): void => {
      say('02 09:30:00', 'confirm', 'ana', 'workflow.x7Kq2', { choice: 'done' });
      ran('workflow.x7Kq2', '02 09:30:10', 'already', after('inactive'));
    };
    expect(first([WORKFLOW], story)).toBe('Acme intake: deactivated by hand, ana, removed by hand by ana, seen inactive on the platform');
  });

  test.each([
    ['absent', true, 'deleted by hand, ben, removed by hand by ben, seen gone on the platform'],
    ['inactive', true, 'deactivated by hand, ben, removed by hand by ben, seen inactive on the platform'],
    ['unknown', false, 'reported deactivated or deleted, ben, confirmed by ben, not verified'],
  ])('a VAPI assistant that is %s', (presence, verified, expected) => {
    const story = ({ say, ran }: Telling): void => {
      say('02 09:30:00', 'confirm', 'ben', 'vapi.5f0c-77', { note: 'gone' });
      ran('vapi.5f0c-77.look', '02 09:30:10', 'done', after(presence, { verified }));
    };
    expect(first([VAPI], story)).toBe(`Recepcionista Acme: ${expected}`);
  });

  test('a VAPI assistant that was left, and cleaned up where nobody could look, is not verified', () => {
    const story = ({ say, ran }: Telling): void => {
      ran('failure', '02 09:31:00', 'done', { after: { 'req-2041': 'FAILED' } });
      say('02 09:30:00', 'decide', 'eve', 'vapi.5f0c-77', { action: 'skip', reason: 'no access', evidence: [] });
      say('02 09:30:00', 'decide', 'eve', 'vapi.5f0c-77.look', { action: 'skip', reason: 'no access', evidence: [] });
      say('04 14:00:00', 'confirm', 'fred', 'cleanup', { note: 'deleted' });
    };
    for (const [from] of SOURCES)
      expect(first([VAPI], story, from)).toBe('Recepcionista Acme: reported deactivated or deleted, fred, confirmed by fred, not verified');
  });

  test('credentials that nobody has confirmed could not be removed, and hinder no certificate', () => {
    const story = ({ say, ran }: Telling): void => {
      say('02 09:30:00', 'confirm', 'ana', 'crm.4471102');
      ran('crm.4471102', '02 09:30:10', 'done', after('present'));
      say('02 09:31:00', 'decide', 'eve', 'crm.4471102.credentials', { action: 'skip', reason: 'the client keeps them', evidence: [] });
    };
    const one = certified(only([CRM], story));
    expect(one.isCertificate).toBe(true);
    expect(one.left).toEqual([]);
    expect(lines(one)).toEqual(['HubSpot Acme: disconnected, ana, taken out of the tenant’s configuration']);
    expect(one.notRemovable[0]).toMatchObject({ kind: 'Access credentials', name: 'of the CRM connection HubSpot Acme', owner: 'NexumOps (operator)' });
  });

  test('what is shared with a request that lives on is kept', () => {
    const kept = { ...SECOND, kept: 'request req-3000 of acme lists it too, and is not rolled back' };
    const one = certified(
      only([kept], () => undefined),
      'fromWorker',
    );
    expect(one.removed).toEqual([]);
    expect(one.notRemovable[0]).toMatchObject({ name: 'Acme follow-up', why: 'stays in use by another active request of this tenant' });
  });

  test('what nobody listed: removed by hand, or not the tenant’s and then without its name', () => {
    const stray = { type: 'n8n-workflow', id: 'zz9', name: 'Globex intake', requests: [], presence: 'present' } as const;
    const story =
      (choice: string) =>
      ({ say }: Telling): void =>
        say('02 09:30:00', 'confirm', 'ana', 'unlisted.workflow.zz9', { choice, note: 'it is Globex’s' });
    expect(first([stray], story('removed'))).toBe('Globex intake: removed by hand, ana, removed by hand by ana, seen gone on the platform');
    const judged = only([stray], story('not-ours'));
    expect(everything(certified(judged))).not.toMatch(/globex|zz9/i);
    expect(certified(judged).notes.join()).toContain('does not belong to the tenant, as ana judged');
    expect(markdownOf(reported(judged))).toContain('Globex');
    const unjudged = certified(given(begun, { ...open, artifacts: [stray] }));
    expect(everything(unjudged)).not.toMatch(/globex|zz9/i);
    expect(unjudged.left).toHaveLength(1);
  });
});

test('what an earlier rollback of the same request took back is on the certificate, with its id', () => {
  const before = given((telling) => (begun(telling), artifacts(telling)), { outcome: 'partial', status: 'FAILED', rollbackId: EARLIER });
  const rest = (telling: Telling): void => {
    begun(telling);
    telling.say('02 09:30:00', 'confirm', 'ana', 'workflow.x7Kq2', { choice: 'delete' });
    telling.ran('workflow.x7Kq2', '02 09:30:02', 'done', { after: { presence: 'absent' } });
    completed(telling);
  };
  const now = given(rest, { artifacts: [WORKFLOW] });
  const one = certified(now, 'fromWorker', { earlier: [materialOf(before, 'fromRecord')] });
  expect(one.isCertificate).toBe(true);
  expect(one.removed.map(({ name, rollbackId }) => [name, rollbackId])).toEqual([
    ['Acme intake', null],
    ...[SECOND, WEBHOOK, CRM, CALENDAR, VAPI].map((each) => [each.type === 'webhook' ? '/acme/intake' : (each.name ?? each.id), EARLIER]),
  ]);
  // What its client owns is owned still.
  expect(one.notRemovable.map((each) => each.kind)).toEqual(['Access credential', 'Records in the CRM', 'Booked appointments', 'Audit log entries']);
  for (const text of [certificateMarkdown(one), certificatePage(one), markdownOf(reported(now, 'fromWorker', { earlier: [materialOf(before)] }))])
    expect(text).toContain(EARLIER);
  // What it had left, and nobody lists any more, was not removed by anybody known here.
  const failed = materialOf(given(failedOnce, { outcome: 'partial', status: 'FAILED', rollbackId: EARLIER }));
  expect(
    lines(
      certified(
        only([], () => undefined),
        'fromWorker',
        { earlier: [failed] },
      ),
    ).join(),
  ).not.toContain('Acme intake');
  expect(
    reported(
      only([], () => undefined),
      'fromWorker',
      { earlier: [failed] },
    ).deprovision?.earlier.map((each) => each.id),
  ).not.toContain(WORKFLOW.id);
  // Another request's is not this one's.
  const other = given(failedOnce, { outcome: 'partial', status: 'FAILED', rollbackId: EARLIER, requests: ['req-1'] });
  expect(certified(now, 'fromWorker', { earlier: [materialOf(other)] }).removed).toHaveLength(1);
});

test('everything had been rolled back before: it was only looked at', () => {
  const story = ({ ran }: Telling): void => {
    ran('identify', '02 09:00:01', 'done', { after: {} });
    ran('remnants', '04 15:00:00', 'done', { after: { left: 0 } });
  };
  const one = certified(given(story, { artifacts: [], requests: [], status: null }));
  expect(one).toMatchObject({ isCertificate: true, removed: [], requests: [] });
  expect(one.statement).toBe('Everything had been taken back before. It was looked at once more, and nothing was left.');
});

test('of one request alone it is a certificate of removal, and says that it is about no more', () => {
  const one = certified(given(whole, { input: { cause: 'upgrade-regression', request: 'req-2041' } }));
  expect(one).toMatchObject({ isCertificate: true, subject: 'removal', title: 'Certificate of removal' });
  expect(one.notes.join()).toContain('It concerns the request named here only');
});

test('the house is named where somebody has named it', () => {
  expect(houseOf('NexumOps')).toBe('NexumOps');
  expect(houseOf(undefined)).toBeNull();
  expect(houseOf(configSchema.parse({ environments: {} }).product)).toBeNull();
  const nameless = certified(given(whole), 'fromWorker', {}, null);
  expect(certificatePage(nameless)).not.toContain('class="house"');
  expect(nameless.notRemovable[0]?.owner).toBe('the operator');
});

test('without the record it rests on the process alone, and says so', () => {
  const one = certified(given(whole), 'fromWorker', { recorded: [] });
  expect(one.isCertificate).toBe(true);
  expect(one.notes.join()).toContain('The record could not be read');
});

test('there is none of any other kind', () => {
  const night = incidentGiven(longNight);
  const report = made(night.fromWorker, night.recorded);
  expect(report.deprovision).toBeNull();
  const refused = refusalOf({ report, material: { state: night.fromWorker, recorded: night.recorded }, house: null });
  expect(refused).toMatchObject({ exitCode: 2, type: 'usage', message: expect.stringContaining('only a deprovisioning has a certificate') as string });
  expect(refused).toHaveProperty('remedy', 'leave out --certificate: `backout report l1Rollback/production/INC-42` is the report of a l1Rollback');
});

test('odd names stay names, in HTML and in Markdown, and an address shows its path only', () => {
  const odd: Inventoried[] = [
    { ...WORKFLOW, id: 'o1', name: '<script>alert(1)</script> | **bold** `x`\n# title' },
    { ...WEBHOOK, id: 'https://ops:hunter2@n8n.internal:5678/webhook/acme?token=s3cret' },
    { ...SECOND, id: 'o2', name: 'calls https://ops:hunter2@n8n.internal/acme/next?key=s3cret' },
    { ...CREDENTIAL, id: 'x" onload="y' },
  ];
  const story = (telling: Telling): void => {
    begun(telling);
    telling.say('02 09:30:00', 'confirm', '<img src=x>|eve', 'workflow.o1', { choice: 'delete' });
    telling.ran('workflow.o1', '02 09:30:02', 'done', { after: { presence: 'absent' } });
  };
  const one = given(story, { ...open, artifacts: odd });
  const [markdown, page] = [certificateMarkdown(certified(one)), certificatePage(certified(one))];
  expect(page).not.toMatch(/<script|<img|onload="/);
  expect(page).toContain('&lt;script&gt;alert(1)&lt;/script&gt;');
  expect(markdown).toContain(String.raw`\<img src=x\>\|eve`);
  expect(markdown).not.toMatch(/^# title/m);
  for (const row of markdown.split('\n').filter((each) => each.includes('alert(1)'))) expect(row.replaceAll(String.raw`\|`, '').split('|')).toHaveLength(7);
  for (const text of [markdown, page]) {
    expect(text).toContain('/webhook/acme');
    expect(text).not.toMatch(/hunter2|s3cret|n8n\.internal/);
  }
  const report = reported(one);
  expect(pageOf(report)).not.toMatch(/<script|<img|onload="/);
});
