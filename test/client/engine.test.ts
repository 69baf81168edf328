/** Our requests, read by the API's own definitions, over a real HTTP/2 connection; and its answers, read by us. */
import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import proto from '@temporalio/proto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Engine, UpdateFailed } from '../../client/engine.ts';
import { isNotFound, Problem } from '../../client/problem.ts';

const api = proto.temporal.api;
const service = api.workflowservice.v1;
const enums = api.enums.v1;
const json = (value: unknown) => ({ metadata: { encoding: Buffer.from('json/plain') }, data: Buffer.from(JSON.stringify(value)) });

interface Answer {
  readonly body?: Uint8Array;
  readonly status?: number;
  readonly message?: string;
  readonly silent?: boolean;
}

let server: Http2Server;
let engine: Engine;
let answer: (path: string) => Answer;
const asked: { path: string; headers: Record<string, unknown>; body: Buffer }[] = [];

function respond(stream: ServerHttp2Stream, { body = new Uint8Array(), status = 0, message = '', silent = false }: Answer): void {
  if (silent) return;
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => {
    stream.sendTrailers({ 'grpc-status': String(status), 'grpc-message': encodeURIComponent(message) });
  });
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  // In two pieces, as a network may deliver it.
  stream.write(Buffer.concat([head, body.subarray(0, 3)]));
  stream.end(body.subarray(3));
}

beforeEach(async () => {
  asked.length = 0;
  server = createServer();
  server.on('stream', (stream, headers) => {
    const chunks: Buffer[] = [];
    stream.on('error', () => undefined);
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      const path = String(headers[':path']).split('/').at(-1) ?? '';
      asked.push({ path, headers: { ...headers }, body: Buffer.concat(chunks).subarray(5) });
      respond(stream, answer(path));
    });
  });
  await new Promise<void>((ready) => {
    server.listen(0, '127.0.0.1', ready);
  });
  engine = new Engine({
    options: { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, metadata: { 'x-team': 'shop' } },
    namespace: 'prod',
    from: 'a test',
  });
});

afterEach(async () => {
  engine.close();
  await new Promise<void>((done) => {
    server.close(() => {
      done();
    });
  });
});

const request = <T>(type: { decode(bytes: Uint8Array): T; toObject(message: T, options: object): Record<string, unknown> }) =>
  type.toObject(type.decode(asked[0]?.body ?? Buffer.alloc(0)), { longs: Number, enums: Number, bytes: String });
const info = {
  execution: { workflowId: 'deployRevert/production/web', runId: 'r1' },
  type: { name: 'deployRevert' },
  startTime: { seconds: 1_795_000_000 as unknown as Long, nanos: 500_000_000 },
  status: enums.WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED,
  historyLength: 300 as unknown as Long,
  searchAttributes: { indexedFields: { RollbackState: json('waiting'), RollbackComponents: json(['web', 'api']) } },
};
type Long = ReturnType<typeof api.workflow.v1.WorkflowExecutionInfo.decode>['historyLength']; // Numbers do as well, whatever the types say.

test('starts with the input as JSON, a summary, and the policies that let no two run at once', async () => {
  answer = () => ({ body: service.StartWorkflowExecutionResponse.encode({ runId: 'r1' }).finish() });
  expect(await engine.start({ type: 'deployRevert', id: 'deployRevert/production/web', input: { by: 'änne' }, summary: 'web back', timeoutSeconds: 900 })).toBe(
    'r1',
  );
  const start = service.StartWorkflowExecutionRequest.decode(asked[0]?.body ?? Buffer.alloc(0));
  expect(start).toMatchObject({
    namespace: 'prod',
    workflowId: 'deployRevert/production/web',
    workflowType: { name: 'deployRevert' },
    taskQueue: { name: 'backout' },
    workflowIdReusePolicy: 1,
    workflowIdConflictPolicy: 1,
  });
  expect(Buffer.from(start.input?.payloads?.[0]?.data ?? []).toString()).toBe('{"by":"änne"}');
  expect(Buffer.from(start.input?.payloads?.[0]?.metadata?.['encoding'] ?? []).toString()).toBe('json/plain');
  expect(Buffer.from(start.userMetadata?.summary?.data ?? []).toString()).toBe('"web back"');
  expect(Number(start.workflowExecutionTimeout?.seconds)).toBe(900);
  expect(start.requestId).toMatch(/^[0-9a-f-]{36}$/);
  expect(asked[0]?.headers).toMatchObject({ 'temporal-namespace': 'prod', 'x-team': 'shop', 'content-type': 'application/grpc' });
});

test('an Id that runs already is no error', async () => {
  answer = () => ({ status: 6, message: 'Workflow execution is already running.' });
  expect(await engine.start({ type: 'deployRevert', id: 'x', input: {}, summary: '' })).toBeNull();
});

test('describes a run', async () => {
  answer = () => ({ body: service.DescribeWorkflowExecutionResponse.encode({ workflowExecutionInfo: info }).finish() });
  expect(await engine.describe('deployRevert/production/web', 'r1')).toEqual({
    id: 'deployRevert/production/web',
    runId: 'r1',
    type: 'deployRevert',
    status: 'TERMINATED',
    startedAt: new Date(1_795_000_000_500).toISOString(),
    closedAt: null,
    historyLength: 300,
    attributes: { RollbackState: 'waiting', RollbackComponents: ['web', 'api'] },
  });
  expect(request(service.DescribeWorkflowExecutionRequest)).toEqual({
    namespace: 'prod',
    execution: { workflowId: 'deployRevert/production/web', runId: 'r1' },
  });
});

test('lists page by page, up to the limit', async () => {
  answer = () => ({ body: service.ListWorkflowExecutionsResponse.encode({ executions: [info, info], nextPageToken: Buffer.from([1, 2]) }).finish() });
  expect(await engine.list("RunId = 'x'", 3)).toHaveLength(3);
  expect(asked).toHaveLength(2);
  const second = service.ListWorkflowExecutionsRequest.decode(asked[1]?.body ?? Buffer.alloc(0));
  expect(second.query).toBe("RunId = 'x'");
  expect([...second.nextPageToken]).toEqual([1, 2]);
});

test('reads the first event', async () => {
  answer = () => ({
    body: service.GetWorkflowExecutionHistoryResponse.encode({
      history: {
        events: [
          {
            workflowExecutionStartedEventAttributes: {
              workflowType: { name: 'deployRevert' },
              originalExecutionRunId: 'r0',
              input: { payloads: [json({ by: 'ci' })] },
            },
          },
        ],
      },
    }).finish(),
  });
  expect(await engine.first('id')).toEqual({ kind: 'deployRevert', runId: 'r0', input: { by: 'ci' } });
});

test('queries, and tells silence from an unknown run', async () => {
  answer = () => ({ body: service.QueryWorkflowResponse.encode({ queryResult: { payloads: [json({ state: 'waiting' })] } }).finish() });
  expect(await engine.query('id', undefined, 'state')).toEqual({ state: 'waiting' });
  expect(request(service.QueryWorkflowRequest)).toMatchObject({ execution: { workflowId: 'id' }, query: { queryType: 'state' }, queryRejectCondition: 1 });
  answer = () => ({ silent: true });
  await expect(engine.query('id', undefined, 'state', 50)).rejects.toMatchObject({ name: 'CallError', code: 4 });
  answer = () => ({ status: 5, message: 'workflow not found for ID: id' });
  expect(isNotFound(await engine.query('id', undefined, 'state').catch((error: unknown) => error))).toBe(true);
});

test('updates with an id of their own, and hears the validator', async () => {
  answer = () => ({
    body: service.UpdateWorkflowExecutionResponse.encode({
      stage: enums.UpdateWorkflowExecutionLifecycleStage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED,
      outcome: { success: { payloads: [json({ accepted: true, state: 'running' })] } },
    }).finish(),
  });
  expect(await engine.update('id', 'confirm', { step: 'a' }, 'u1', 1000)).toEqual({ accepted: true, state: 'running' });
  const sent = service.UpdateWorkflowExecutionRequest.decode(asked[0]?.body ?? Buffer.alloc(0));
  expect(sent).toMatchObject({
    workflowExecution: { workflowId: 'id' },
    waitPolicy: { lifecycleStage: 3 },
    request: { meta: { updateId: 'u1' }, input: { name: 'confirm' } },
  });
  expect(Buffer.from(sent.request?.input?.args?.payloads?.[0]?.data ?? []).toString()).toBe('{"step":"a"}');
  answer = () => ({
    body: service.UpdateWorkflowExecutionResponse.encode({
      stage: enums.UpdateWorkflowExecutionLifecycleStage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED,
      outcome: { failure: { message: 'step is missing', applicationFailureInfo: { type: 'Malformed' } } },
    }).finish(),
  });
  await expect(engine.update('id', 'confirm', {}, 'u2', 1000)).rejects.toMatchObject(new UpdateFailed('Malformed', 'step is missing'));
  answer = () => ({
    body: service.UpdateWorkflowExecutionResponse.encode({
      stage: enums.UpdateWorkflowExecutionLifecycleStage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ADMITTED,
    }).finish(),
  });
  expect(await engine.update('id', 'confirm', {}, 'u3', 1000)).toBeNull();
});

test('signals and terminates', async () => {
  answer = () => ({});
  await engine.signal('id', 'stop', { by: 'ana' });
  expect(service.SignalWorkflowExecutionRequest.decode(asked[0]?.body ?? Buffer.alloc(0))).toMatchObject({
    workflowExecution: { workflowId: 'id' },
    signalName: 'stop',
    input: { payloads: [{}] },
  });
  await engine.terminate('id', 'why');
  expect(service.TerminateWorkflowExecutionRequest.decode(asked[1]?.body ?? Buffer.alloc(0))).toMatchObject({
    workflowExecution: { workflowId: 'id' },
    reason: 'why',
  });
});

test('waits for the end, over polls that come back empty', async () => {
  const empty = service.GetWorkflowExecutionHistoryResponse.encode({ nextPageToken: Buffer.from([7]) }).finish();
  const end = service.GetWorkflowExecutionHistoryResponse.encode({
    history: { events: [{ workflowExecutionCompletedEventAttributes: { result: { payloads: [json(42)] } } }] },
  }).finish();
  answer = () => ({ body: asked.length < 3 ? empty : end });
  expect(await engine.result('id', 'r1', new AbortController().signal)).toBe(42);
  expect(service.GetWorkflowExecutionHistoryRequest.decode(asked[1]?.body ?? Buffer.alloc(0))).toMatchObject({
    waitNewEvent: true,
    historyEventFilterType: 2,
    nextPageToken: Buffer.from([7]),
  });
});

test('a failed execution says why, to the innermost cause', async () => {
  answer = () => ({
    body: service.GetWorkflowExecutionHistoryResponse.encode({
      history: { events: [{ workflowExecutionFailedEventAttributes: { failure: { message: 'Activity task failed', cause: { message: 'no such file' } } } }] },
    }).finish(),
  });
  await expect(engine.result('id', 'r1', new AbortController().signal)).rejects.toThrow('Activity task failed: no such file');
});

test('only workers that have polled within a minute count', async () => {
  const seconds = (ago: number) => ({ seconds: Math.floor(Date.now() / 1000 - ago) as unknown as Long });
  answer = () => ({
    body: service.DescribeTaskQueueResponse.encode({
      pollers: [
        { identity: 'alive', lastAccessTime: seconds(5) },
        { identity: 'gone', lastAccessTime: seconds(200) },
      ],
    }).finish(),
  });
  expect(await engine.pollers()).toEqual(['alive']);
  expect(request(service.DescribeTaskQueueRequest)).toMatchObject({ taskQueue: { name: 'backout' }, taskQueueType: 1 });
});

test('a server that goes away, and one that is none', async () => {
  const address = '127.0.0.1:1';
  const away = new Engine({ options: { address }, namespace: 'default', from: '--address' });
  const error = await away.pollers().catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(Problem);
  expect(error).toMatchObject({ exitCode: 6, type: 'temporal-unreachable', message: expect.stringContaining(address) as string });
  away.close();
  answer = () => ({ status: 7, message: 'Request unauthorized.' });
  await expect(engine.pollers()).rejects.toMatchObject({ exitCode: 6, message: expect.stringContaining('Request unauthorized.') as string });
  answer = () => ({ body: Buffer.from([0x0a, 0xff]) });
  await expect(engine.pollers()).rejects.toMatchObject({ exitCode: 6, message: expect.stringContaining('cut short') as string });
});
