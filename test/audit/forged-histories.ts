/** Histories that were changed after the fact, as files and as exports; and those that were never ours. */
import { beforeAll, describe, expect, test } from 'vitest';
import { sha256 } from '../../store/digest.ts';
import {
  auditFile,
  auditOf,
  bodyOf,
  checks,
  elsewhere,
  faultsOf,
  first,
  forged,
  rechained,
  dataOf,
  repay,
  without,
  type Json,
  type Snapshot,
} from './evidence.ts';
import { ID, type Story } from './story.ts';

export function forgedHistories(tell: () => Story): void {
  let story: Story;
  beforeAll(() => {
    story = tell();
  });

  describe('replay and the comparison of values find, in a file and without anything else,', () => {
    const offline = (json: string) => auditFile({ ...story.real, record: false, runs: null }, json);
    const runStep = (of: Json): boolean =>
      ((of['result'] as Json | undefined)?.['payloads'] as Json[] | undefined)?.some((one) => dataOf(one).includes('"receipt"')) ?? false;

    test('a changed activity result', async () => {
      const audit = await offline(
        forged(
          story.jsonOf('rolled back'),
          'activityTaskCompleted',
          (of) => {
            repay(first(of, 'result'), (value) => {
              value['receipt'] = { after: { version: 'v0.0.1' } };
            });
          },
          runStep,
        ),
      );
      expect(faultsOf(audit, 'values').join()).toMatch(/the result differs: at steps\[0\]\.receipt/);
    });

    test('a changed activity result that decides the way', async () => {
      const audit = await offline(
        forged(
          story.jsonOf('rolled back'),
          'activityTaskCompleted',
          (of) => {
            repay(first(of, 'result'), (value) => {
              value['state'] = 'failed';
            });
          },
          runStep,
        ),
      );
      expect(checks(audit)).toEqual(['replay']);
    });

    test('a changed activity input', async () => {
      const audit = await offline(
        forged(
          story.jsonOf('rolled back'),
          'activityTaskScheduled',
          (of) => {
            repay(first(of, 'input'), (value) => {
              value['to'] = 'v0.0.1';
            });
          },
          (of) => (of['activityType'] as Json)['name'] === 'runStep',
        ),
      );
      expect(faultsOf(audit, 'values')[0]).toMatch(/activity runStep: the input differs: at \[0\]\.to the history has "v0\.0\.1", replay computes "v1\.0\.0"/);
    });

    test('a changed summary, and a changed timeout', async () => {
      const audit = await offline(
        forged(story.jsonOf('rolled back'), 'activityTaskScheduled', (of, event) => {
          of['heartbeatTimeout'] = '99s';
          ((event['userMetadata'] as Json)['summary'] as Json)['data'] = Buffer.from('"nothing to see"').toString('base64');
        }),
      );
      expect(faultsOf(audit, 'values').join()).toMatch(/the summary differs.*the timeouts differs/s);
    });

    test('a changed timer', async () => {
      const audit = await offline(
        forged(story.jsonOf('rolled back'), 'timerStarted', (of) => {
          of['startToFireTimeout'] = '1s';
        }),
      );
      expect(faultsOf(audit, 'values').join()).toContain('the duration in ms differs');
    });

    test('changed search attributes', async () => {
      const audit = await offline(
        forged(story.jsonOf('rolled back'), 'upsertWorkflowSearchAttributes', (of) => {
          (((of['searchAttributes'] as Json)['indexedFields'] as Json)['RollbackState'] as Json)['data'] = Buffer.from('"running"').toString('base64');
        }),
      );
      expect(faultsOf(audit, 'values').join()).toContain('RollbackState the history has "running"');
    });

    test('a changed answer to an update', async () => {
      const audit = await offline(
        forged(story.jsonOf('rolled back'), 'workflowExecutionUpdateCompleted', (of) => {
          repay(first(of['outcome'] as Json, 'success'), (value) => {
            value['accepted'] = false;
          });
        }),
      );
      expect(faultsOf(audit, 'values').join()).toContain('at accepted the history has false, replay computes true');
    });

    test('a changed message', async () => {
      const audit = await offline(
        forged(story.jsonOf('reset'), 'workflowExecutionSignaled', (of) => {
          repay(first(of, 'input'), (value) => {
            value['by'] = 'ben';
          });
        }),
      );
      expect(faultsOf(audit, 'values').join()).toContain('answers[0].by the history has "ana", replay computes "ben"');
    });

    test('a changed result', async () => {
      const audit = await offline(
        forged(story.jsonOf('rolled back'), 'workflowExecutionCompleted', (of) => {
          repay(first(of, 'result'), (value) => {
            (value['clock'] as Json)['breached'] = true;
          });
        }),
      );
      expect(faultsOf(audit, 'values')).toHaveLength(1);
      expect(faultsOf(audit, 'values')[0]).toContain('the result differs: at clock.breached the history has true');
    });

    test('a changed failure', async () => {
      const audit = await offline(
        forged(story.jsonOf('failed'), 'workflowExecutionFailed', (of) => {
          const failure = of['failure'] as Json;
          failure['message'] = 'all was well';
          repay(first(failure['applicationFailureInfo'] as Json, 'details'), (value) => {
            value['stopped'] = 'by nobody';
          });
        }),
      );
      expect(faultsOf(audit, 'values').join()).toMatch(/the failure differs: at message.*the state in the failure differs: at stopped/s);
    });

    test('another run id than that of the run, which is the one field that replay computes otherwise after a reset', async () => {
      expect(await offline(story.jsonOf('reset'))).toMatchObject({ ok: true });
      const audit = await offline(
        forged(story.jsonOf('reset'), 'workflowExecutionCompleted', (of) => {
          repay(first(of, 'result'), (value) => {
            value['runId'] = '00000000-0000-0000-0000-000000000000';
          });
        }),
      );
      expect(faultsOf(audit, 'values').join()).toContain('at runId the history has "00000000');
    });

    test('a removed event', async () => {
      const audit = await offline(without(story.jsonOf('rolled back'), (event) => event['eventType'] === 'EVENT_TYPE_TIMER_STARTED'));
      expect(checks(audit)).toEqual(['replay']);
    });
  });

  describe('an exported history', () => {
    const withExport = (change: (row: Snapshot['exports'][number]) => Snapshot['exports'][number] | null): Snapshot => ({
      ...story.real,
      runs: null,
      exports: story.real.exports.flatMap((row) => {
        if (row.runId !== story.runOf['rolled back']) return [row];
        const other = change(row);
        return other ? [other] : [];
      }),
    });
    /** An activity result in it, whatever the text is wrapped in. */
    const rewritten = (text: string): string => {
      const inner: unknown = JSON.parse(text);
      const json = forged(
        typeof inner === 'string' ? inner : text,
        'activityTaskCompleted',
        (of) => {
          repay(first(of, 'result'), (value) => {
            value['attempts'] = 9;
          });
        },
        (of) => of['scheduledEventId'] === '12',
      );
      return typeof inner === 'string' ? JSON.stringify(json) : json;
    };

    test('with a changed activity result is found, also with the hash beside it made to fit', async () => {
      const audit = await auditOf(
        withExport((row) => {
          const json = rewritten(row.json);
          return { ...row, json, sha256: sha256(json) };
        }),
        ID,
      );
      expect(faultsOf(audit, 'export').join()).toMatch(/the exported history of run .*: its text has the hash .*; entry \d+ of the record says/);
      expect(faultsOf(audit, 'values').join()).toContain('attempts');
    });

    test('whose hash was changed is found', async () => {
      expect(
        faultsOf(
          await auditOf(
            withExport((row) => ({ ...row, sha256: sha256('another text') })),
            ID,
          ),
          'export',
        ).join(),
      ).toContain('does not have the hash beside it');
    });

    test('that was deleted is missed', async () => {
      expect(
        faultsOf(
          await auditOf(
            withExport(() => null),
            ID,
          ),
          'export',
        ).join(),
      ).toContain(`the exported history of run ${story.runOf['rolled back']}, which it announces, is gone`);
    });

    test('that the record does not announce is found', async () => {
      const entries = rechained(story.real.entries.map(bodyOf).filter((body) => body.type !== 'history' || body['runId'] !== story.runOf['rolled back']));
      expect(faultsOf(await auditOf({ ...story.real, entries, checkpoints: null }, ID), 'export').join()).toContain('the record does not announce it');
    });

    test('that differs from what Temporal has is found', async () => {
      const json = forged(story.jsonOf('rolled back'), 'workflowExecutionStarted', (of) => {
        of['identity'] = 'somebody else';
      });
      const audit = await auditOf(
        { ...story.real, runs: story.real.runs?.map((run) => (run.runId === story.runOf['rolled back'] ? { ...run, json } : run)) ?? null },
        ID,
      );
      expect(faultsOf(audit, 'export')).toEqual([
        expect.stringContaining('event 1: the copies differ: at workflowExecutionStartedEventAttributes.identity Temporal has "somebody else"'),
      ]);
    });

    test('handed in as a file, with nothing changed but the identity of the starter, is found', async () => {
      const audit = await auditFile(
        { ...story.real, runs: null },
        forged(story.jsonOf('rolled back'), 'workflowExecutionStarted', (of) => {
          of['identity'] = 'somebody else';
        }),
      );
      expect(checks(audit)).toEqual(['export']);
    });
  });

  describe('a foreign history', () => {
    test('of another installation is named, and not looked at further', async () => {
      const audit = await auditFile(
        story.real,
        elsewhere(story.jsonOf('rolled back'), story.runOf['rolled back'] ?? '?', '11111111-1111-4111-8111-111111111111'),
      );
      expect(checks(audit)).toEqual(['origin']);
      expect(faultsOf(audit, 'origin').join()).toContain('a foreign history: its rollback');
      expect(audit.checked).toEqual([]);
    });

    test('under the Workflow Id of another rollback is named', async () => {
      const audit = await auditFile(
        story.real,
        forged(story.jsonOf('rolled back'), 'workflowExecutionStarted', (of) => {
          of['workflowId'] = 'deployRevert/production/shop';
        }),
      );
      expect(faultsOf(audit, 'origin').join()).toContain('not under deployRevert/production/shop');
    });

    test('of a run that the record does not know is named', async () => {
      const json = forged(story.jsonOf('rolled back'), 'workflowExecutionStarted', (of) => {
        of['originalExecutionRunId'] = '11111111-1111-4111-8111-111111111111';
      });
      expect(faultsOf(await auditFile(story.real, json), 'origin').join()).toContain('the record has nothing of its run');
    });

    test('of a type that is no kind of ours is named, also without the record', async () => {
      const json = forged(story.jsonOf('rolled back'), 'workflowExecutionStarted', (of) => {
        of['workflowType'] = { name: 'payInvoice' };
      });
      for (const snapshot of [story.real, { ...story.real, record: false, runs: null }])
        expect(faultsOf(await auditFile(snapshot, json), 'origin').join()).toContain('it is of the type payInvoice');
    });

    test.each(['', '{}', '[]', '{"events":[]}', '"text"', '{"events":[{"eventId":"2"}]}', 'null'])('is no history at all: %s', async (text) => {
      expect(checks(await auditFile(story.real, text))).toEqual(['origin']);
    });
  });
}
