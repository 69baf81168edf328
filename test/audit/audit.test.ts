/** Each tampering that `backout audit` has to find: one test each, which fails when its check is deleted. */
import { beforeAll, describe, expect, test } from 'vitest';
import { auditFile, auditMeanwhile, auditOf, bodyOf, checks, faultsOf, first, forged, rechained, repay, type Json, type Snapshot } from './evidence.ts';
import { forgedHistories } from './forged-histories.ts';
import { ID, live, type Story } from './story.ts';

let story: Story;
beforeAll(async () => {
  story = await live();
});

/** Lengths that the history had at times; what a workflow task does is written at once. */
const momentsOf = (json: string): number[] =>
  (JSON.parse(json) as { events: Json[] }).events.flatMap((event, at) => (event['eventType'] === 'EVENT_TYPE_WORKFLOW_TASK_SCHEDULED' ? [at + 1] : []));

describe('what happened', () => {
  test('is found to be as it was written, in every run of every ending', async () => {
    const audit = await auditOf(story.real, ID);
    expect(audit).toMatchObject({
      ok: true,
      faults: [],
      notChecked: [],
      record: { entries: story.real.entries.length, anchoredUntil: story.real.entries.length },
    });
    const runs = audit.checked.flatMap((one) => one.runs);
    expect(runs.map((run) => run.runId).toSorted()).toEqual(Object.values(story.runOf).toSorted());
    expect(runs.every((run) => run.build !== null && run.exported === true)).toBe(true);
    expect(Math.min(...audit.checked.map((one) => one.values))).toBeGreaterThan(4);
    expect(audit.checked.reduce((sum, one) => sum + one.heads, 0)).toBeGreaterThan(20);
  });

  test('is found from the exports alone, when Temporal has forgotten it', async () => {
    const audit = await auditOf({ ...story.real, runs: null }, ID);
    expect(audit.faults).toEqual([]);
    expect(audit.checked.flatMap((one) => one.runs.map((run) => run.from))).toEqual(Array.from({ length: 7 }, () => 'the record'));
  });

  test.each(['rolled back', 'refused', 'failed', 'terminated', 'resumed', 'reset away', 'reset'])(
    'is found in a file without anything else, and what could not be checked is said: %s',
    async (name) => {
      const audit = await auditFile({ ...story.real, record: false, runs: null }, story.jsonOf(name));
      expect(audit.faults).toEqual([]);
      expect(audit.notChecked.join()).toContain('no Postgres is at hand');
      expect(audit.record).toBeNull();
      expect(audit.checked[0]?.values).toBeGreaterThan(3);
    },
  );

  test('is no fault where it happens while it is read', async () => {
    const runId = story.runOf['rolled back'] ?? '';
    const moments = momentsOf(story.jsonOf('rolled back'));
    expect(moments.length).toBeGreaterThan(5);
    for (const events of moments) {
      const audit = await auditMeanwhile({ ...story.real, checkpoints: null }, ID, runId, { events, entries: 1 });
      expect([events, audit.faults]).toEqual([events, []]);
    }
  });

  test('is found in a file that was taken while it was open, and what was done since is said to be unknown where nothing else is at hand', async () => {
    const json = JSON.parse(story.jsonOf('rolled back')) as { events: Json[] };
    const open = JSON.stringify({ events: json.events.slice(0, momentsOf(story.jsonOf('rolled back')).at(-1)) });
    expect(await auditFile(story.real, open)).toMatchObject({ ok: true, notChecked: [] });
    const alone = await auditFile({ ...story.real, runs: null, exports: [] }, open);
    expect(alone.faults.map((fault) => fault.fault)).toEqual([expect.stringMatching(/exported history of run .* is gone/) as string]);
    expect(alone.notChecked.join()).toContain('what it has done since');
  });

  test('is found in a file beside the record', async () => {
    for (const name of Object.keys(story.runOf)) expect(await auditFile(story.real, story.jsonOf(name))).toMatchObject({ ok: true, notChecked: [] });
  });
});

describe('the chain finds', () => {
  test('an edited entry', async () => {
    const seq = story.seqWhere(story.stepOf('rolled back', 'web.deploy'));
    const audit = await auditOf(
      {
        ...story.real,
        entries: story.real.entries.map((entry) => (entry.seq === seq ? { ...entry, body: entry.body.replace('"humanMs":0', '"humanMs":1') } : entry)),
      },
      ID,
    );
    expect(faultsOf(audit, 'chain')).toEqual([`entry ${seq} of the record: entry ${seq} was edited: its hash does not match its body`]);
  });

  test('an edited entry whose hash was made to fit', async () => {
    const seq = story.seqWhere(story.stepOf('rolled back', 'web.deploy'));
    const forgery = rechained(story.real.entries.map(bodyOf).map((body, index) => (index + 1 === seq ? { ...body, humanMs: 1 } : body)));
    const audit = await auditOf({ ...story.real, entries: story.real.entries.map((entry) => (entry.seq === seq ? (forgery[seq - 1] ?? entry) : entry)) }, ID);
    expect(faultsOf(audit, 'chain').join()).toContain(`entry ${seq + 1} does not follow the entry before it`);
  });

  test('a deleted entry', async () => {
    const audit = await auditOf({ ...story.real, entries: story.real.entries.filter((entry) => entry.seq !== 5) }, ID);
    expect(faultsOf(audit, 'chain').join()).toContain('entry 5 is missing');
  });

  test('a deleted entry, the rest numbered anew', async () => {
    const audit = await auditOf(
      { ...story.real, entries: story.real.entries.filter((entry) => entry.seq !== 5).map((entry, index) => ({ ...entry, seq: index + 1 })) },
      ID,
    );
    expect(faultsOf(audit, 'chain').join()).toContain('entry 5 does not follow the entry before it');
  });

  test('re-ordered entries', async () => {
    const [fifth, sixth] = [story.real.entries[4], story.real.entries[5]];
    if (!fifth || !sixth) throw new Error('too few entries');
    const audit = await auditOf(
      { ...story.real, entries: [...story.real.entries.slice(0, 4), { ...sixth, seq: 5 }, { ...fifth, seq: 6 }, ...story.real.entries.slice(6)] },
      ID,
    );
    expect(faultsOf(audit, 'chain').join()).toMatch(/entry 5 does not follow .*entry 6 does not follow/);
  });
});

describe('what stands outside of the record finds', () => {
  test('a record that was cut off, from the heads in the histories', async () => {
    const closed = story.seqWhere((entry) => entry.type === 'closed' && entry.event.startsWith(story.runOf['reset'] ?? '?'));
    const audit = await auditOf({ ...story.real, entries: story.real.entries.slice(0, closed - 1), checkpoints: null }, ID);
    expect(faultsOf(audit, 'chain')).toEqual([]);
    expect(faultsOf(audit, 'heads').join()).toContain(`run ${story.runOf['reset']}, event`);
  });

  test('a record that was written anew as a whole, from the heads in the histories', async () => {
    const seq = story.seqWhere(story.stepOf('rolled back', 'web.deploy'));
    // Something that no history repeats, so that nothing but the heads can show it.
    const audit = await auditOf(
      {
        ...story.real,
        entries: rechained(story.real.entries.map(bodyOf).map((body, index) => (index + 1 === seq ? { ...body, startedAt: body.at } : body))),
        checkpoints: null,
      },
      ID,
    );
    expect(checks(audit)).toEqual(['heads']);
    expect(audit.notChecked.join()).toContain('there are no checkpoints outside Postgres');
  });

  test('the same from the checkpoints, when the histories were rewritten with it', async () => {
    const bodies = story.real.entries
      .map(bodyOf)
      .filter((body) => body.type !== 'history')
      .map((body, index) => (index === 3 ? { ...body, startedAt: body.at } : body));
    const audit = await auditOf({ ...story.real, entries: rechained(bodies), exports: [], runs: null }, ID);
    expect(checks(audit)).toEqual(['checkpoints']);
    expect(audit.record?.anchoredUntil).toBe(3);
  });

  test('a cut that the histories cannot show, from the checkpoints', async () => {
    const audit = await auditOf(
      {
        ...story.real,
        entries: story.real.entries.slice(0, -1),
        exports: story.real.exports.filter((row) => row.runId !== bodyOf(story.real.entries.at(-1) ?? story.real.entries[0]!)['runId']),
      },
      ID,
    );
    expect(faultsOf(audit, 'checkpoints').join()).toContain(`entry ${story.real.entries.length} is gone`);
    expect(faultsOf(audit, 'heads')).toEqual([]);
  });

  test('a history that was told another number of entries', async () => {
    const json = forged(story.jsonOf('rolled back'), 'activityTaskCompleted', (of) => {
      repay(first(of, 'result'), (value) => {
        if (value['record']) (value['record'] as Json)['entries'] = 77;
      });
    });
    const audit = await auditOf(
      { ...story.real, exports: [], runs: story.real.runs?.map((run) => (run.runId === story.runOf['rolled back'] ? { ...run, json } : run)) ?? null },
      ID,
    );
    expect(faultsOf(audit, 'heads').join()).toContain('it saw 77 entries of this rollback at that head');
  });
});

describe('the record and the histories, against each other, find', () => {
  /** Temporal has forgotten; there are no exports either: only what is handed in speaks. */
  const alone = (changes: Partial<Snapshot>): Snapshot => ({
    ...story.real,
    exports: [],
    entries: rechained(story.real.entries.map(bodyOf).filter((body) => body.type !== 'history')),
    checkpoints: null,
    ...changes,
  });
  const replaced = (name: string, json: string) => story.real.runs?.map((run) => (run.runId === story.runOf[name] ? { ...run, json } : run)) ?? null;

  test('a result that was changed everywhere in the history, so that replay agrees', async () => {
    const rewrite = (value: Json): void => {
      value['receipt'] = { after: { version: 'v0.0.1' } };
    };
    const smoke = (of: Json): boolean => of['scheduledEventId'] === '19';
    const once = forged(
      story.jsonOf('rolled back'),
      'activityTaskCompleted',
      (of) => {
        repay(first(of, 'result'), rewrite);
      },
      smoke,
    );
    const json = forged(once, 'workflowExecutionCompleted', (of) => {
      repay(first(of, 'result'), (value) => {
        rewrite((value['steps'] as Json[])[1] as Json);
      });
    });
    expect((await auditFile({ ...story.real, record: false, runs: null }, json)).faults).toEqual([]);
    const audit = await auditOf({ ...story.real, exports: [], runs: replaced('rolled back', json) }, ID);
    expect(faultsOf(audit, 'record').join()).toMatch(/runStep: entry \d+ of the record says something else at receipt/);
  });

  test('an answer taken out of the record', async () => {
    const bodies = story.real.entries
      .map(bodyOf)
      .filter((body) => body.type !== 'history' && !(body.type === 'answer' && body.event.startsWith(story.runOf['rolled back'] ?? '?')));
    const faults = faultsOf(await auditOf(alone({ entries: rechained(bodies) }), ID), 'record');
    expect(faults.join()).toMatch(/the record has no entry .*\/answer\/.*it shows an answer that is not on the record/s);
  });

  test('an end taken out of the record', async () => {
    const bodies = story.real.entries.map(bodyOf).filter((body) => body.type !== 'history' && body.type !== 'closed');
    expect(faultsOf(await auditOf(alone({ entries: rechained(bodies) }), ID), 'record').join()).toMatch(/closeRollback: the record has no entry .*\/closed/);
  });

  test('a refusal changed in the record', async () => {
    const bodies = story.real.entries
      .map(bodyOf)
      .filter((body) => body.type !== 'history')
      .map((body) => (body.type === 'refusal' ? { ...body, refusal: { ...(body['refusal'] as Json), by: 'ben' } } : body));
    expect(faultsOf(await auditOf(alone({ entries: rechained(bodies) }), ID), 'record').join()).toContain('it shows a refusal that is not on the record');
  });

  test.each([
    ['plan', 'opened', { plan: null }],
    ['refusal', 'refused', { refusal: { rule: 'none' } }],
    ['outcome', 'closed', { outcome: 'rolled-back-late' }],
    ['state', 'step', { state: 'already' }],
    ['failure', 'step', { failure: { type: 'None' } }],
    ['text', 'notice', { text: 'all is well' }],
  ])('a changed %s of a %s entry', async (field, type, change) => {
    const bodies = story.real.entries
      .map(bodyOf)
      .filter((body) => body.type !== 'history')
      .map((body) => (body.type === type ? { ...body, ...change } : body));
    expect(faultsOf(await auditOf(alone({ entries: rechained(bodies) }), ID), 'record').join()).toMatch(
      new RegExp(`entry \\d+ of the record says something else at ${field}`),
    );
  });

  /** As if Postgres had been away when the last gate was done, and nobody had written it down since. */
  const unwritten = (name: string): Snapshot => {
    const isGate = story.stepOf(name, 'web.served');
    const entry = story.real.entries.map(bodyOf).find(isGate);
    const json = forged(story.jsonOf(name), 'activityTaskCompleted', (of) => {
      repay(first(of, 'result'), (value) => {
        if (JSON.stringify(value['receipt']) !== JSON.stringify(entry?.['receipt'])) return;
        Object.assign(value, { record: { entries: 0, head: null, behind: true }, entry: { ...entry, event: entry?.event.split('/').slice(1).join('/') } });
      });
    });
    const bodies = story.real.entries.map(bodyOf).filter((body) => body.type !== 'history' && !isGate(body));
    return alone({ entries: rechained(bodies), runs: replaced(name, json) });
  };

  test('an entry that the record was owed and never got', async () => {
    expect(faultsOf(await auditOf(unwritten('rolled back'), ID), 'record').join()).toMatch(/the record never got step\/web\.served\/0\/0/);
  });

  test('and do not accuse a run that was ended from outside before it could pay', async () => {
    const audit = await auditOf(unwritten('terminated'), ID);
    expect(faultsOf(audit, 'record').join()).not.toContain('web.served');
    expect(audit.notChecked.join()).toContain('Postgres was away and the record has not got it before the run was ended from outside');
  });

  test('an entry that nothing in the history wrote', async () => {
    const bodies = story.real.entries.map(bodyOf);
    const step = bodies.find(story.stepOf('rolled back', 'web.deploy'));
    if (!step) throw new Error('no step');
    const audit = await auditOf(
      { ...story.real, checkpoints: null, entries: rechained([...bodies, { ...step, event: `${story.runOf['rolled back']}/step/web.deploy/7/0` }]) },
      ID,
    );
    expect(checks(audit)).toEqual(['record']);
    expect(faultsOf(audit, 'record').join()).toContain('the history of its run has nothing that wrote it');
  });

  test('an entry of a run that nobody knows', async () => {
    const bodies = story.real.entries.map(bodyOf);
    const audit = await auditOf(
      {
        ...story.real,
        checkpoints: null,
        entries: rechained([...bodies, { ...(bodies[0] ?? bodies[1]!), event: '00000000-0000-0000-0000-000000000000/opened' }]),
      },
      ID,
    );
    expect(checks(audit)).toEqual(['record']);
    expect(faultsOf(audit, 'record').join()).toContain('which neither Temporal nor the exported histories know');
  });

  test('a plan whose hash was changed on both sides', async () => {
    const bodies = story.real.entries
      .map(bodyOf)
      .filter((body) => body.type !== 'history')
      .map((body) => (body.type === 'opened' ? { ...body, planHash: 'sha256:0' } : body));
    const json = forged(story.jsonOf('rolled back'), 'activityTaskCompleted', (of) => {
      repay(first(of, 'result'), (value) => {
        if (value['planHash']) value['planHash'] = 'sha256:0';
      });
    });
    expect(faultsOf(await auditOf(alone({ entries: rechained(bodies), runs: replaced('rolled back', json) }), ID), 'record').join()).toContain(
      'the plan does not have the hash that was confirmed',
    );
  });
});

forgedHistories(() => story);
