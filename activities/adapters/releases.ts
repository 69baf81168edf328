/**
 * `releases`, the embedded default: `<root>/releases/<version>/…`, a `current` link, real processes on this machine, and no vendor.
 *
 *   <root>/releases/<version>/   one folder a version          <root>/.backout/active.json    where traffic goes: its rename is the switch
 *   <root>/current               link to the one in place      <root>/.backout/effects.jsonl  one line a real switch, only appended to
 *   <root>/logs/<version>.log    what its processes say        <root>/.backout/lease.<n>      who may change things: the highest n
 *
 * CI deploys forward by the same path:
 *   node activities/adapters/releases.ts deploy --root R --port P --version V [--health /healthz] -- ./bin/serve
 * What runs, who listens and what is left over is asked of /proc (proc(5), Linux 6), never of our own memory.
 */
import { randomUUID } from 'node:crypto';
import * as fs from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { AdapterError, type Adapter, type AdapterCall, type Observation } from './adapter.ts';
import { Attempt } from './releases-attempt.ts';
import { Lease } from './releases-lease.ts';
import { isHealthy, orNull, Site, stateFolder } from './releases-machine.ts';

const optionsSchema = z.strictObject({
  root: z.string().min(1).describe('Folder that holds releases/ and current; relative to backout.yaml'),
  command: z.array(z.string().min(1)).min(1).describe('Run in the release folder; `{port}` and the variable PORT are where it must listen on 127.0.0.1'),
  port: z.int().min(1).max(65_535).describe('The public one'),
  host: z.string().default('127.0.0.1'),
  startTimeoutSeconds: z.number().positive().max(600).default(20),
  drainSeconds: z.number().min(0).max(600).default(5).describe('For the last requests to the old release, and again from SIGTERM to SIGKILL'),
  env: z.record(z.string(), z.string()).optional().describe('Variables of the service; `env:NAME` and `file:PATH` are secrets of the worker'),
});
export type ReleasesOptions = z.infer<typeof optionsSchema>;
type Call = AdapterCall<ReleasesOptions>;

const HEARTBEAT_MS = 500;

/** Nothing but an AdapterError leaves: the system's errors name a file and a reason, and hold no secret. */
async function guarded<T>(signal: AbortSignal, act: () => Promise<T>): Promise<T> {
  try {
    signal.throwIfAborted();
    return await act();
  } catch (error) {
    if (error instanceof AdapterError) throw error;
    if (signal.aborted) throw new AdapterError('unavailable', 'stopped waiting as asked; traffic was not moved', { cause: error });
    const code = error instanceof Error && 'code' in error ? error.code : null;
    throw new AdapterError(
      code === 'EACCES' || code === 'EPERM' ? 'unauthorized' : 'unexpected-response',
      error instanceof Error ? error.message : 'no error',
      { cause: error },
    );
  }
}

const inspect = (call: Call): Promise<Observation> =>
  guarded(call.signal, () => {
    const site = new Site(call);
    const { active, holder, link, serving } = site.look();
    const current = link === null || link === serving ? serving : null;
    return Promise.resolve({
      current,
      targetPresent: site.program(call.to) !== null,
      operationId: current !== null && holder.kind === 'front' ? (active?.operationId ?? null) : null,
      parts:
        link === null || link === serving
          ? []
          : [
              { name: 'the current link', version: link },
              { name: 'the serving process', version: serving },
            ],
      versions: site.versions(),
      facts: {
        portHeldBy: holder.kind === 'foreign' ? holder.who : holder.kind,
        pid: holder.kind === 'front' && serving !== null ? (active?.pid ?? null) : null,
        privatePort: active?.port ?? null,
        log: serving === null ? null : site.logOf(serving),
      },
    });
  });

export const releases: Adapter<ReleasesOptions> = {
  name: 'releases',
  options: optionsSchema,
  fence: {
    by: 'lease',
    window:
      'None for traffic and the link: a switch is the rename of a file that a successor removes first. A worker that is stopped for more than 4 s exactly ' +
      'between its last look at the lease and a start or a stop may still start one process, which gets no traffic and is stopped by the next apply, ' +
      'stop one that its successor stops as well, or repeat a line of the ledger word for word.',
  },
  executesInCi: false,
  limits: [
    'One Linux machine: processes and ports are read from /proc, and the folder must not be shared with another machine.',
    'HTTP/1.1 only. The service sees the front as its peer and the client in X-Forwarded-For; the front itself ends with the machine.',
    'A request to the old release that lasts longer than drainSeconds, and every upgraded connection (WebSocket), is cut off.',
    'A release that a script started on the public port itself is taken over with a gap: from its letting go of the port until the front has bound it, some milliseconds, and what it does to its own requests on SIGTERM.',
    'Nothing restarts a process that dies, or any of them after a reboot: apply and deploy do.',
    'The command stays in the foreground and listens on 127.0.0.1:PORT. Versions are letters, digits and . _ + - only.',
  ],
  inspect,
  files: (call) => guarded(call.signal, async () => [new Site(call).folderOf(call.to)]),
  apply: (call) =>
    guarded(call.signal, async () => {
      const site = new Site(call);
      if (site.program(call.to) === null)
        throw new AdapterError(
          'not-found',
          `${JSON.stringify(call.to)} is no release of ${site.root} that has ${call.options.command[0]}; nothing was changed`,
        );
      for (const folder of [stateFolder(site.root), join(site.root, 'logs')]) fs.mkdirSync(folder, { recursive: true });
      const lease = await Lease.acquire(call, stateFolder(site.root));
      const attempt = new Attempt(call, site, lease);
      const beat = setInterval(() => {
        attempt.beat();
      }, HEARTBEAT_MS);
      try {
        return await attempt.run();
      } finally {
        clearInterval(beat);
        lease.release();
      }
    }),
  /** `inspect` reads the system anew; beyond that the public port must answer. */
  verify: async (call) => {
    const seen = await inspect(call);
    const { host, port } = call.options;
    const answers = await guarded(call.signal, () => isHealthy(port, ['0.0.0.0', '::'].includes(host) ? '127.0.0.1' : host, [], call.signal));
    return { ...seen, current: answers ? seen.current : null, facts: { ...seen.facts, answers } };
  },
  manual: ({ folder, options, to }) => {
    const root = resolve(folder, options.root);
    const flags = Object.entries({
      root,
      port: options.port,
      host: options.host,
      version: to,
      'start-timeout': options.startTimeoutSeconds,
      drain: options.drainSeconds,
    });
    const env = Object.entries(options.env ?? {}).map(([name, value]) => ['env', `${name}=${value}`] as const);
    const words = [...flags, ...env].flatMap(([name, value]) => [`--${name}`, String(value)]);
    const quoted = (word: string): string => (/^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`);
    return [
      `cd ${quoted(folder)}`,
      [process.execPath, import.meta.filename, 'deploy', ...words, '--', ...options.command].map(quoted).join(' '),
      `readlink ${quoted(join(root, 'current'))}`,
    ];
  },
};

/** What a CI script calls to deploy forward: `apply` itself, under a lease like any other. */
async function deploy(argv: readonly string[]): Promise<void> {
  const text = { type: 'string' } as const;
  const many = { type: 'string', multiple: true, default: [] as string[] } as const;
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: { root: text, port: text, host: text, version: text, operation: text, 'start-timeout': text, drain: text, health: many, env: many },
  });
  const number = (flag: string | undefined): number | undefined => (flag === undefined ? undefined : Number(flag));
  const options = optionsSchema.parse({
    root: values.root,
    command: positionals,
    port: number(values.port),
    host: values.host,
    startTimeoutSeconds: number(values['start-timeout']),
    drainSeconds: number(values.drain),
    env: Object.fromEntries(values.env.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)])),
  });
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      abort.abort();
    });
  const receipt = await releases.apply({
    environment: 'deploy',
    component: 'deploy',
    options,
    folder: process.cwd(),
    to: values.version ?? '',
    healthPaths: values.health,
    attempt: 1,
    operationId: values.operation ?? `deploy/${randomUUID()}`,
    signal: abort.signal,
    heartbeat: () => undefined,
    served: () => Promise.resolve(null),
    secret: (reference) => {
      const name = reference.slice(reference.indexOf(':') + 1);
      const value = reference.startsWith('env:') ? process.env[name] : orNull(() => fs.readFileSync(name, 'utf8').trim());
      return value === undefined || value === null ? Promise.reject(new AdapterError('configuration', `there is no ${reference}`)) : Promise.resolve(value);
    },
  });
  process.stdout.write(`${JSON.stringify(receipt)}\n`);
}

if (import.meta.main) {
  const [word, ...argv] = process.argv.slice(2);
  try {
    if (word !== 'deploy') throw new Error('usage: releases.ts deploy --root R --port P --version V [--health /healthz] [--env NAME=VALUE] -- COMMAND…');
    await deploy(argv);
  } catch (error) {
    process.stderr.write(`releases: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
