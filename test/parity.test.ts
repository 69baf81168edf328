/** Parity of critical endpoints [001 step 3a], against real HTTP on loopback. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import type { Checked } from '../activities/checks.ts';
import { difference } from '../activities/openapi.ts';
import { checkParity, digestOf, readDocument, type OperationParity, type ParityConfig, type ParityContext } from '../activities/parity.ts';

type Json = Record<string, unknown>;
type Answer = (request: IncomingMessage, response: ServerResponse) => void;

const ref = (name: string): Json => ({ $ref: `#/components/schemas/${name}` });
const json = (schema: unknown): Json => ({ 'application/json': { schema } });
const ok = (schema: unknown): Json => ({ responses: { 200: { description: 'ok', content: json(schema) } } });

/** A shop: a list, one by id, a tree that refers to itself, and one that changes something. */
const shop = (): Json => ({
  openapi: '3.1.0',
  info: { title: 'shop', version: '1' },
  paths: {
    '/products': { get: ok({ type: 'array', items: ref('Product') }), head: { responses: { 200: { description: 'ok' } } } },
    '/products/{id}': {
      parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'string' }, example: 'a b' }],
      get: ok(ref('Product')),
    },
    '/tree': { get: ok(ref('Category')) },
    '/orders': { post: ok(ref('Product')) },
    '/search': { get: { ...ok({ type: 'object' }), parameters: [{ name: 'q', in: 'query', required: true, schema: { type: 'string' } }] } },
  },
  components: {
    schemas: {
      Product: {
        type: 'object',
        required: ['id', 'price'],
        properties: { id: { type: 'string' }, price: ref('Price'), secret: { type: 'string', writeOnly: true } },
      },
      Price: { type: 'number', minimum: 0 },
      Category: { type: 'object', required: ['name'], properties: { name: { type: 'string' }, children: { type: 'array', items: ref('Category') } } },
    },
  },
});

const PRODUCT = { id: '1', price: 9.5 };
const sends =
  (body: unknown, status = 200, type = 'application/json; charset=utf-8'): Answer =>
  (_, response) => {
    response.writeHead(status, { 'content-type': type }).end(typeof body === 'string' ? body : JSON.stringify(body));
  };

let folder = '';
let url = '';
let document: unknown = {};
let answers: Record<string, Answer> = {};
let asked: string[] = [];
const server = createServer((request, response) => {
  asked.push(`${request.method} ${request.url}`);
  const answer = answers[`${request.method} ${request.url}`] ?? (request.url === '/openapi.json' ? sends(document) : sends({}, 404));
  answer(request, response);
});

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'parity-'));
  document = shop();
  asked = [];
  answers = {
    'GET /products': sends([PRODUCT, PRODUCT]),
    'HEAD /products': sends(''),
    'GET /products/a%20b': sends(PRODUCT),
    'GET /tree': sends({ name: 'all', children: [{ name: 'one' }] }),
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  url = typeof address === 'object' && address !== null ? `http://127.0.0.1:${address.port}/openapi.json` : '';
});
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
  rmSync(folder, { recursive: true });
});

const check = (critical: readonly string[], more: Partial<ParityConfig> = {}, context: Partial<ParityContext> = {}): Promise<Checked> =>
  checkParity(
    { url, critical, timeoutSeconds: 1, ...more },
    { folder, version: 'v1', recorded: shop(), settleSeconds: 0, signal: new AbortController().signal, ...context },
  );
const operations = ({ receipt }: Checked): readonly OperationParity[] => (receipt.after as { operations: OperationParity[] }).operations;
const verdicts = (checked: Checked): Record<string, string> => Object.fromEntries(operations(checked).map(({ operation, verdict }) => [operation, verdict]));

describe('parity of critical endpoints [001 step 3a]', () => {
  it('passes where the document is the same and the behaviour is as documented', async () => {
    const checked = await check(['GET /products', 'HEAD /products', 'GET /products/{id}', 'GET /tree']);
    expect(checked).toMatchObject({ state: 'done', failure: null, receipt: { after: { url, against: 'what was recorded of v1' } } });
    expect(checked.warning).toBeUndefined();
    expect(new Set(Object.values(verdicts(checked)))).toEqual(new Set(['passed']));
    expect(operations(checked)[0]).toEqual({
      operation: 'GET /products',
      verdict: 'passed',
      document: 'documented the same',
      behaviour: `${new URL(url).origin}/products answered 200 application/json`,
    });
  });

  it('calls nothing that may change something, and nothing whose parameters nobody knows: that is inconclusive, and told', async () => {
    const checked = await check(['POST /orders', 'GET /search', 'GET /products']);
    expect(verdicts(checked)).toEqual({ 'POST /orders': 'inconclusive', 'GET /search': 'inconclusive', 'GET /products': 'passed' });
    expect(asked).toEqual(['GET /openapi.json', 'GET /products']);
    expect(checked.state).toBe('done');
    expect(checked.warning).toContain('POST /orders: documented the same; not probed: POST may change something');
    expect(checked.warning).toContain('GET /search: documented the same; not probed: the document gives no example for q');
  });

  it('compares documents only, where the configuration says so', async () => {
    expect(verdicts(await check(['GET /products'], { probe: false }))).toEqual({ 'GET /products': 'inconclusive' });
    expect(asked).toEqual(['GET /openapi.json']);
  });
});

describe('the documents', () => {
  const changed = (
    change: (document: ReturnType<typeof shop> & { components: { schemas: Record<string, Json> }; paths: Record<string, Json> }) => void,
  ): Json => {
    const other = shop() as Parameters<typeof change>[0];
    change(other);
    return other;
  };

  it.each([
    [
      'a change behind references',
      'GET /products',
      (doc: Json) => Object.assign((doc['components'] as { schemas: Record<string, Json> }).schemas['Price']!, { type: 'string' }),
      'responses › 200 › content › application/json › schema › items › properties › price › type is "number" in the target\'s document and "string" in the one served',
    ],
    [
      'a change in what refers to itself',
      'GET /tree',
      (doc: Json) => delete (doc['components'] as { schemas: Record<string, { properties: Json }> }).schemas['Category']!.properties['name'],
      "#/components/schemas/Category › properties › name is only in the target's document",
    ],
    [
      'a parameter of the path',
      'GET /products/{id}',
      (doc: Json) => delete (doc['paths'] as Record<string, Json>)['/products/{id}']!['parameters'],
      "parameters › 0 is only in the target's document",
    ],
    [
      'a demand for credentials that holds for the whole document',
      'GET /products',
      (doc: Json) => Object.assign(doc, { security: [{ key: [] }] }),
      'security is only in the document served',
    ],
  ])('%s fails, and says where', async (_, operation, change, where) => {
    document = changed(change);
    const checked = await check([operation]);
    expect(operations(checked)[0]).toMatchObject({ verdict: 'failed', document: where });
    expect(checked).toMatchObject({ state: 'failed', failure: { type: 'ParityDiffers', message: expect.stringContaining(`${operation}: ${where}`) } });
  });

  it('a change elsewhere is none of the critical endpoints', async () => {
    document = changed((doc) => {
      delete doc.paths['/orders'];
      doc['info'] = { title: 'another', version: '2' };
    });
    expect((await check(['GET /products', 'GET /tree'])).state).toBe('done');
  });

  it('an operation has to be in both', async () => {
    document = changed((doc) => delete doc.paths['/products']);
    expect(operations(await check(['GET /products']))[0]).toMatchObject({ verdict: 'failed', document: 'not in the document served' });
    document = shop();
    const recorded = changed((doc) => delete doc.paths['/products']);
    expect(operations(await check(['GET /products'], {}, { recorded }))[0]).toMatchObject({ verdict: 'failed', document: "not in the target's document" });
  });

  it("the target's own is the file of its version, JSON or YAML, and what was recorded where there is no file", async () => {
    const file = { document: 'api/openapi-{version}.yaml' };
    expect(await check(['GET /products'], file)).toMatchObject({ state: 'done', receipt: { after: { against: 'what was recorded of v1' } } });
    for (const text of [stringify(shop()), JSON.stringify(shop())]) {
      writeFileSync(join(folder, 'v1.yaml'), text);
      const against = join(folder, 'v1.yaml');
      const given = { recorded: changed((doc) => delete doc.paths['/products']) };
      expect(await check(['GET /products'], { document: '{version}.yaml' }, given)).toMatchObject({ state: 'done', receipt: { after: { against } } });
    }
  });

  it.each([
    ['is not there', null, /ENOENT/],
    ['is no document', 'just: text', /no OpenAPI 3 document/],
    ['is of another format', JSON.stringify({ swagger: '2.0', paths: {} }), /no OpenAPI 3 document/],
    ['is neither', '{"a": [', /neither JSON nor YAML/],
    ['contains itself', 'openapi: 3.1.0\npaths: &a\n  x: *a\n', /neither JSON nor YAML/],
    ['is too large', 'x'.repeat(5 * 1024 * 1024 + 1), /larger than/],
  ])('a file that %s fails as configuration, and names it', async (_, text, reason) => {
    if (text !== null) writeFileSync(join(folder, 'v1.yaml'), text);
    const { state, failure } = await check(['GET /products'], { document: '{version}.yaml' }, { recorded: null });
    expect({ state, type: failure?.type }).toEqual({ state: 'failed', type: 'Configuration' });
    expect(failure?.message).toContain(join(folder, 'v1.yaml'));
    expect(failure?.message).toMatch(reason);
    expect(asked).toEqual([]);
  });

  it.each(['../secret', '..', '/etc/passwd', 'a/../../b'])('a version like %s names no file', async (version) => {
    const { failure } = await check(['GET /products'], { document: 'api/{version}' }, { version });
    expect(failure).toMatchObject({ type: 'Configuration', message: expect.stringContaining('cannot be part of the path') });
  });

  it('digests are enough to compare with, though not to say where', async () => {
    const critical = ['GET /products', 'GET /tree', 'GET /nothing'];
    const recorded = digestOf(await readDocument(url, new AbortController().signal), critical);
    expect(recorded).toEqual({ 'GET /products': expect.stringMatching(/^sha256:[0-9a-f]{64}$/), 'GET /tree': expect.any(String), 'GET /nothing': null });
    expect(await check(['GET /products', 'GET /tree'], {}, { recorded })).toMatchObject({ state: 'done', failure: null });
    expect(verdicts(await check(['GET /products/{id}'], {}, { recorded }))).toEqual({ 'GET /products/{id}': 'inconclusive' });
    document = changed((doc) => (doc.components.schemas['Price'] = { type: 'integer' }));
    const differs = operations(await check(['GET /products', 'GET /tree'], {}, { recorded }));
    expect(differs.map(({ verdict, document }) => [verdict, document])).toEqual([
      ['failed', "documented otherwise than in the target's document, of which only a digest was kept"],
      ['passed', 'documented the same'],
    ]);
  });

  it('without any document of the target nothing is proven: skipped, and told; behaviour is looked at all the same', async () => {
    const checked = await check(['GET /products'], {}, { recorded: null });
    expect(checked).toMatchObject({ state: 'skipped', failure: null, warning: expect.stringContaining("no document of the target's to compare with") });
    answers['GET /products'] = sends({}, 500);
    expect((await check(['GET /products'], {}, { recorded: null })).state).toBe('failed');
  });

  it.each([
    ['does not answer', (_: IncomingMessage, response: ServerResponse) => response.destroy(), /cannot be read/],
    ['hangs', () => undefined, /timeout/],
    ['is an error', sends({}, 503), /HTTP 503/],
    ['is elsewhere', (_: IncomingMessage, response: ServerResponse) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(), /HTTP 302/],
    ['is a web page', sends('<html>'), /no OpenAPI 3 document|neither/],
    ['does not end', sends('x'.repeat(6 * 1024 * 1024)), /larger than/],
  ] as const)(
    'one that %s is a failure',
    async (_, answer, reason) => {
      answers['GET /openapi.json'] = answer;
      const { state, failure } = await check(['GET /products']);
      expect({ state, type: failure?.type }).toEqual({ state: 'failed', type: 'ParityDiffers' });
      expect(failure?.message).toMatch(reason);
      await expect(readDocument(url, new AbortController().signal)).rejects.toThrow(url);
    },
    20_000,
  );
});

describe('the behaviour', () => {
  const behaviour = async (operation = 'GET /products/{id}'): Promise<[string, string]> => {
    const [one] = operations(await check([operation]));
    return [one!.verdict, one!.behaviour.replace(/^http:\S+ /, '')];
  };
  const one = 'GET /products/a%20b';

  it.each([
    ['a status that is not documented', sends(PRODUCT, 404), 'answered 404, which is not documented'],
    ['a failure of the server', sends(PRODUCT, 500), 'answered 500'],
    ['a redirect that is not documented', sends('', 302), 'answered 302, which is not documented'],
    ['another content type', sends('<p>', 200, 'text/html'), 'answered 200 with text/html, which is not documented'],
    ['no JSON', sends('{'), 'answered 200, and its body is no JSON'],
    ['a property that is missing', sends({ id: '1' }), "answered 200, and its body is not as documented: it must have required property 'price'"],
    ['a property of another type', sends({ id: '1', price: 'canary' }), 'answered 200, and its body is not as documented: it/price must be number'],
    ['another type at the top', sends([PRODUCT]), 'answered 200, and its body is not as documented: it must be object'],
  ])('%s fails, and no value is shown', async (_, answer, detail) => {
    answers[one] = answer;
    expect(await behaviour()).toEqual(['failed', detail]);
  });

  it('that of every item in a list', async () => {
    answers['GET /products'] = sends([PRODUCT, { id: 1, price: 1 }]);
    expect(await behaviour('GET /products')).toEqual(['failed', 'answered 200, and its body is not as documented: it/1/id must be string']);
  });

  it('no answer fails', async () => {
    answers[one] = (_, response) => {
      response.destroy();
    };
    expect((await behaviour())[0]).toBe('failed');
    answers[one] = () => undefined;
    expect(await behaviour()).toEqual(['failed', 'The operation was aborted due to timeout']);
  });

  it('a documented 5xx is no proof either', async () => {
    (document as { paths: Record<string, { get: Json }> }).paths['/tree']!.get['responses'] = { default: { description: 'anything' } };
    answers['GET /tree'] = sends({}, 500);
    expect(operations(await check(['GET /tree'], {}, { recorded: document }))[0]).toMatchObject({ verdict: 'failed' });
    answers['GET /tree'] = sends('', 418, 'text/plain');
    expect(operations(await check(['GET /tree'], {}, { recorded: document }))[0]).toMatchObject({ verdict: 'passed' });
  });

  it('a body that is too large, and one behind credentials, are not judged', async () => {
    answers[one] = sends(JSON.stringify({ ...PRODUCT, more: 'x'.repeat(2_000_000) }));
    expect((await behaviour())[0]).toBe('inconclusive');
    Object.assign(document as Json, { security: [{ key: [] }] });
    answers[one] = sends({}, 401);
    const [seen] = operations(await check(['GET /products/{id}'], {}, { recorded: document }));
    expect(seen).toMatchObject({ verdict: 'inconclusive', behaviour: 'not probed: it asks for credentials (401)' });
  });

  it.each([
    [
      'nullable, as 3.0 says it',
      { type: 'object', nullable: true, properties: { a: { type: 'string', nullable: true } }, required: ['a'] },
      [null, { a: null }, { a: 'x' }],
      [{ a: 1 }, {}],
    ],
    ['null, as 3.1 says it', { type: ['object', 'null'] }, [null, {}], [[], 1]],
    ['all of several', { allOf: [ref('Product'), { required: ['more'] }] }, [{ ...PRODUCT, more: 1 }], [PRODUCT, { more: 1 }]],
    ['one of several that look alike', { oneOf: [ref('Product'), { type: 'object' }] }, [PRODUCT, {}], ['text']],
    ['rules of 3.0 that 3.1 writes otherwise', { type: 'integer', exclusiveMinimum: true, minimum: 0, format: 'whatever' }, [1], ['1']],
    ['a type that nobody knows', { type: 'file' }, ['x', 1], []],
    ['itself', ref('Self'), [{ self: {} }], ['x']],
    ['anything', true, [1, null, {}], []],
  ])('the schema: %s', async (_, schema, right, wrong) => {
    const given = shop() as { paths: Json; components: { schemas: Json } };
    given.components.schemas['Self'] = { type: 'object', allOf: [ref('Self')], properties: { self: ref('Self') } };
    given.paths['/x'] = { get: ok(schema) };
    document = given;
    const verdict = async (body: unknown): Promise<string | undefined> => {
      answers['GET /x'] = sends(JSON.stringify(body));
      return verdicts(await check(['GET /x'], {}, { recorded: given }))['GET /x'];
    };
    for (const body of right) expect(await verdict(body), JSON.stringify(body)).toBe('passed');
    for (const body of wrong) expect(await verdict(body), JSON.stringify(body)).toBe('failed');
  });

  it.each([
    [[{ url: '/v2/' }], '/v2/tree'],
    [[{ url: 'https://api.example.com/{base}', variables: { base: { default: 'v3' } } }], '/v3/tree'],
    [[{ url: 'http://[' }], '/tree'],
    [[], '/tree'],
  ])('is asked where the document is served, below the path of its first server: %j', async (servers, path) => {
    document = { ...shop(), servers };
    await check(['GET /tree'], {}, { recorded: document });
    expect(asked.at(-1)).toBe(`GET ${path}`);
  });

  it('may take a while to settle, and is not waited for when the worker stops', async () => {
    const abort = new AbortController();
    let calls = 0;
    answers['GET /products'] = (request, response) => {
      calls += 1;
      (calls < 3 ? sends({}, 503) : sends([PRODUCT]))(request, response);
    };
    expect((await check(['GET /products'], {}, { settleSeconds: 10 })).state).toBe('done');
    expect(calls).toBe(3);
    answers['GET /products'] = () => {
      abort.abort(new Error('the worker stops'));
    };
    await expect(check(['GET /products'], {}, { settleSeconds: 10, signal: abort.signal })).rejects.toThrow('the worker stops');
  });
});

describe('digests', () => {
  const around = (schema: unknown, schemas: Json): Json => ({ openapi: '3.1.0', paths: { '/a': { get: ok(schema) } }, components: { schemas } });
  const digest = (given: Json): string | null | undefined => digestOf(given, ['GET /a'])['GET /a'];

  it('are the same whether a part is written out or referred to, whatever its name and the order of keys', () => {
    const written = digest(around({ type: 'object', properties: { p: { type: 'number' } } }, {}));
    expect(digest(around(ref('A'), { A: { properties: { p: ref('B') }, type: 'object' }, B: ref('C'), C: { type: 'number' } }))).toBe(written);
    expect(digest(around({ type: 'object', properties: { p: { type: 'integer' } } }, {}))).not.toBe(written);
    expect(digest(around({ type: 'object', properties: { p: { ...ref('C'), deprecated: true } } }, { C: { type: 'number' } }))).not.toBe(written);
  });

  it('take references to nowhere, outside and in a circle as they are written', () => {
    const given = (pointer: string): Json => around({ $ref: pointer }, { Loop: ref('Loop') });
    const all = ['#/nowhere', 'other.yaml#/x', '#/components/schemas/Loop', '#', '#/%E0%A4%A'].map((pointer) => digest(given(pointer)));
    expect(new Set(all).size).toBe(5);
    expect(difference(given('#/nowhere'), given('#/nowhere'), 'GET /a')).toBeNull();
    expect(difference(given('#/nowhere'), given('other.yaml#/x'), 'GET /a')).toContain('$ref is "#/nowhere"');
  });

  it('are made at once of what written out would have no end, or a million million parts', () => {
    const pairs = Object.fromEntries(Array.from({ length: 40 }, (_, at) => [`S${at}`, { properties: { a: ref(`S${at + 1}`), b: ref(`S${at + 1}`) } }]));
    const circle = Object.fromEntries(
      Array.from({ length: 300 }, (_, at) => [
        `C${at}`,
        { properties: Object.fromEntries([1, 7, 50].map((step) => [`p${step}`, ref(`C${(at + step) % 300}`)])) },
      ]),
    );
    const began = performance.now();
    const one = around({ properties: { x: ref('S0'), y: ref('C0') } }, { ...pairs, ...circle });
    const other = structuredClone(one) as { components: { schemas: Record<string, Json> } };
    other.components.schemas['C299']!['title'] = 'changed';
    expect(difference(one, structuredClone(one), 'GET /a')).toBeNull();
    expect(difference(one, other as unknown as Json, 'GET /a')).toBe('#/components/schemas/C299 › title is only in the document served');
    expect(performance.now() - began).toBeLessThan(5_000);
  });
});
