/** The house rules that no linter knows, each with a bad example that it must catch. */
import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { historyFromJSON, historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { describe, expect, it } from 'vitest';
import * as registry from '../activities/adapters/registry.ts';
import * as sources from '../activities/configs/registry.ts';
import * as authorities from '../activities/credentials/authorities.ts';
import * as holders from '../activities/credentials/holders.ts';
import * as databases from '../activities/databases/registry.ts';
import * as chains from '../activities/evidence/registry.ts';
import * as carriers from '../activities/freezes/registry.ts';
import * as stores from '../activities/provisioning/registry.ts';
import * as platforms from '../activities/tenants/registry.ts';
import { KINDS } from '../model/policy.ts';
import { RULE_SOURCE } from '../model/refusal.ts';
import { INCIDENT_ROLES } from '../model/roles.ts';
import { MESSAGE_HELP } from '../workflows/messages.ts';
import * as messages from '../workflows/messages.ts';
import { PAYLOAD_CONVERTER } from '../worker/bundle.ts';

const ROOT = resolve(import.meta.dirname, '..');
const read = (path: string): Promise<string> => readFile(join(ROOT, path), 'utf8');

/** Files of the adapters folder that are the port, shared tools, or part of another adapter. */
const PORT = new Set(['adapter.ts', 'http.ts', 'registry.ts']);
const kebab = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** Adapter files that the registry does not name. A file `x-part.ts` belongs to the adapter `x`. */
function unregistered(files: readonly string[], names: readonly string[]): string[] {
  return files.filter((file) => !PORT.has(file) && !names.some((name) => file === `${name}.ts` || file.startsWith(`${name}-`)));
}

describe('adapters', () => {
  it('are all registered, under the name of their file', async () => {
    const names = Object.keys(registry).map(kebab);
    expect(Object.values(registry).map((adapter) => adapter.name)).toEqual(names);
    expect(unregistered(await readdir(join(ROOT, 'activities/adapters')), names)).toEqual([]);
    expect(unregistered(['vercel.ts', 'releases.ts', 'releases-front.ts'], ['releases'])).toEqual(['vercel.ts']);
  });

  it('each pass the shared contract', async () => {
    for (const name of Object.keys(registry).map(kebab)) expect(await read(`test/adapters/${name}.test.ts`), name).toMatch(/adapterContract[<(]/);
  });

  it('are unknown to the model and to the workflows', async () => {
    const named: string[] = [];
    for (const folder of ['model', 'workflows']) {
      // The default of a configuration is the one place where a platform is named.
      for (const file of (await readdir(join(ROOT, folder))).filter((one) => one !== 'config.ts')) {
        const source = await read(`${folder}/${file}`);
        named.push(
          ...Object.keys(registry)
            .map(kebab)
            .filter((name) => source.includes(`'${name}'`))
            .map((name) => `${folder}/${file} names ${name}`),
        );
      }
    }
    expect(named).toEqual([]);
  });
});

describe('the other ports', () => {
  const ports = [
    {
      folder: 'activities/freezes',
      names: Object.values(carriers).map((one) => one.name),
      own: ['carrier.ts', 'registry.ts'],
      contract: 'freezeContract',
      tests: 'test/freezes',
    },
    {
      folder: 'activities/configs',
      names: Object.values(sources).map((one) => one.name),
      own: ['source.ts', 'registry.ts'],
      contract: 'configContract',
      tests: 'test/configs',
    },
    {
      folder: 'activities/provisioning',
      names: Object.values(stores).map((one) => one.name),
      own: ['provisioning.ts', 'registry.ts'],
      contract: 'provisioningContract',
      tests: 'test/provisioning',
    },
    {
      folder: 'activities/tenants',
      names: Object.values(platforms).map((one) => one.name),
      own: ['platform.ts', 'read-only.ts', 'registry.ts'],
      contract: 'tenantContract',
      tests: 'test/tenants',
    },
    {
      folder: 'activities/databases',
      names: Object.values(databases).map((one) => one.name),
      own: ['database.ts', 'registry.ts'],
      contract: 'databaseContract',
      tests: 'test/databases',
    },
    {
      folder: 'activities/evidence',
      names: Object.values(chains).map((one) => one.name),
      own: ['chain.ts', 'registry.ts'],
      contract: 'evidenceContract',
      tests: 'test/evidence',
    },
    {
      folder: 'activities/credentials',
      names: [...Object.values(authorities), ...Object.values(holders)].map((one) => one.name),
      own: ['authority.ts', 'authorities.ts', 'holders.ts', 'kept.ts', 'fingerprint.ts', 'fingerprint-files.ts'],
      contract: '(authority|holder)Contract',
      tests: 'test/credentials',
    },
  ];
  it.each(ports)('$folder: one line and one contract test for each platform', async ({ folder, names, own, contract, tests }) => {
    const files = (await readdir(join(ROOT, folder))).filter((file) => !own.includes(file));
    expect(names.length).toBeGreaterThan(0);
    expect(files.filter((file) => !names.some((name) => file === `${name}.ts` || file.startsWith(`${name}-`)))).toEqual([]);
    for (const name of names) expect(await read(`${tests}/${name}.test.ts`), name).toMatch(new RegExp(`${contract}[<(]`));
  });
});

describe('messages', () => {
  it('are constants named after what is sent', () => {
    const sent = Object.entries(messages).flatMap(([constant, definition]) =>
      /(Signal|Query)$/.test(constant) && 'name' in definition ? [[constant.replace(/(Signal|Query)$/, ''), definition.name]] : [],
    );
    expect(sent.length).toBeGreaterThan(10);
    for (const [constant, name] of sent) expect(constant).toBe(name);
  });

  it('show JSON that can be copied', () => {
    for (const [name, help] of Object.entries(MESSAGE_HELP)) {
      const json = /\{.*\}/.exec(help)?.[0] ?? '';
      expect(() => JSON.parse(json) as unknown, name).not.toThrow();
    }
  });
});

describe('the workflow bundle', () => {
  it('builds, stays small, and holds neither zod nor an adapter nor an activity', async () => {
    const { code } = await bundleWorkflowCode({
      workflowsPath: join(ROOT, 'workflows/index.ts'),
      workflowInterceptorModules: [join(ROOT, 'workflows/interceptors.ts')],
      payloadConverterPath: PAYLOAD_CONVERTER,
      logger: new DefaultLogger('ERROR'),
    });
    const readable = code.replace(/\/\/# sourceMappingURL.*/s, '');
    expect(readable.length).toBeLessThan(1_000_000);
    for (const foreign of ['node_modules/zod', 'activities/adapters', 'activities/step', 'node_modules/pg', 'node_modules/yaml'])
      expect(readable.includes(foreign), foreign).toBe(false);
    expect(readable).toContain('workflows/rollback');
  });

  it('can read its own histories: one protobufjs for all of Temporal', () => {
    const input = { payloads: [{ metadata: { encoding: 'anNvbi9wbGFpbg==' }, data: 'e30=' }] };
    const started = { workflowType: { name: 'deployRevert' }, taskQueue: { name: 'backout' }, input };
    const event = {
      eventId: '1',
      eventTime: '2026-11-21T00:00:00Z',
      eventType: 'EVENT_TYPE_WORKFLOW_EXECUTION_STARTED',
      workflowExecutionStartedEventAttributes: started,
    };
    const again = historyToJSON(historyFromJSON({ events: [event] }));
    expect(again).toContain('e30=');
  });
});

describe('documents', () => {
  it('name every term of the model in the glossary', async () => {
    const glossary = await read('docs/glossary.md');
    for (const kind of KINDS) expect(glossary, kind).toContain(kind);
    for (const word of [
      'rolled-back-late',
      'already',
      'unknown',
      'irreversible',
      'claim',
      'receipt',
      'generation',
      'machine time',
      'abandoned',
      'plan hash',
      'checkpoint',
      'declaration',
      'freeze',
      'carrier',
      'comparison',
      'baseline blocker',
      'accepted risk',
      ...Object.keys(INCIDENT_ROLES),
    ])
      expect(glossary, word).toContain(word);
  });

  it('explain every refusal in the runbook', async () => {
    const runbook = await read('docs/runbook.md');
    for (const rule of Object.keys(RULE_SOURCE)) expect(runbook, rule).toContain(`\`${rule}\``);
  });

  it('have one decision record per decided conflict, each with a status', async () => {
    const files = (await readdir(join(ROOT, 'docs/adr'))).filter((file) => file.endsWith('.md'));
    expect(files.length).toBeGreaterThanOrEqual(9);
    for (const file of files) expect(await read(`docs/adr/${file}`), file).toMatch(/^# \d{4} .+\n\nStatus: (accepted|superseded|proposed)/);
  });
});

describe('sources', () => {
  it('hold no unfinished work and no focused test', async () => {
    const odd = /\b(FIXME|XXX)\b|\b(it|describe|test)\.(only|skip|todo)\(|@ts-ignore|as any\b/;
    expect(odd.test('it.only(')).toBe(true);
    for (const folder of ['model', 'workflows', 'activities', 'store', 'worker', 'client', 'test']) {
      for (const file of await readdir(join(ROOT, folder), { recursive: true })) {
        if (!file.endsWith('.ts') || file === 'structure.test.ts') continue;
        const found = odd.exec(await read(join(folder, file)));
        expect(found?.[0], `${folder}/${file}`).toBeUndefined();
      }
    }
  });
});
