/**
 * The half of `releases` that outlives a worker.
 *
 * The front is a small process of its own that listens on the public port and hands every request to the active release. It works on
 * HTTP, not on TCP, because the unit that must not fail at a switch is the request: a client's kept-alive connection stays open across
 * the switch and its next request simply goes to the new release, whereas a TCP proxy could only guess whether such a connection is
 * idle before it breaks it. Each request gets its own connection to the release, so there is no idle connection that the release could
 * close at the wrong moment, and a connection that is refused has carried no byte of the request: trying again is safe.
 *
 * It also retires the release it has moved away from, because it alone knows when the last request there has ended, and because it is
 * still there when the worker that switched has died.
 */
import { createServer, request as send, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { pipeline, type Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { family, readActive, retire } from './releases-machine.ts';

/** The tests of whole rollbacks in test/e2e import these from here. */
export { environmentOf, processes, readActive } from './releases-machine.ts';

const CONNECT_ATTEMPTS = 20;
const CONNECT_PAUSE_MS = 50;
/** Longer than the 60 s after which common load balancers and clients let go, so that it is never the front that closes first. */
const KEEP_ALIVE_MS = 75_000;
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'proxy-connection', 'upgrade', 'expect', 'te', 'trailer']);

class Front {
  readonly #root: string;
  /** Requests under way, by the process that answers them. */
  readonly #requests = new Map<string, number>();
  readonly #retiring = new Set<string>();

  constructor(root: string) {
    this.#root = root;
  }

  /** Counts the request before it connects, so that the release it goes to is not retired in between. */
  async #dial(): Promise<{ socket: Socket; done: () => void }> {
    for (let tries = 1; ; tries += 1) {
      const active = readActive(this.#root);
      if (active !== null) {
        const { id, port } = active;
        const count = (change: number): void => {
          this.#requests.set(id, (this.#requests.get(id) ?? 0) + change);
        };
        count(1);
        const socket = connect({ port, host: '127.0.0.1', noDelay: true });
        const connected = await new Promise<boolean>((resolve) => {
          socket
            .once('connect', () => {
              resolve(true);
            })
            .on('error', () => {
              resolve(false);
            });
        });
        if (connected)
          return {
            socket,
            done: () => {
              count(-1);
            },
          };
        count(-1);
      }
      if (tries === CONNECT_ATTEMPTS) throw new Error('the active release accepts no connection');
      await sleep(CONNECT_PAUSE_MS);
    }
  }

  async forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const fail = (error: Error): void => {
      if (response.headersSent) response.destroy();
      else response.writeHead(502, { 'content-type': 'text/plain' }).end(`No answer from the release: ${error.message}\n`);
    };
    const dialled = await this.#dial().catch((error: unknown) => {
      fail(error instanceof Error ? error : new Error(String(error)));
      return null;
    });
    if (dialled === null) return;
    const { socket, done } = dialled;
    const finish = (): void => {
      socket.destroy();
      done();
    };
    if (response.closed) return finish();
    response.once('close', finish);
    const headers = [...endToEnd(request.rawHeaders), 'X-Forwarded-For', request.socket.remoteAddress ?? '', 'Connection', 'close'];
    const onward = send({ createConnection: () => socket, method: request.method, path: request.url, headers, setHost: false });
    onward.on('error', fail).on('response', (answer) => {
      response.sendDate = false;
      response.writeHead(answer.statusCode ?? 502, answer.statusMessage, endToEnd(answer.rawHeaders));
      response.flushHeaders();
      pipeline(answer, response, () => undefined);
    });
    pipeline(request, onward, () => undefined);
  }

  /** WebSockets and the like: bytes both ways until either side ends, at the latest when the release is retired. */
  async upgrade(request: IncomingMessage, client: Duplex, head: Buffer): Promise<void> {
    client.on('error', () => client.destroy());
    const dialled = await this.#dial().catch(() => null);
    if (dialled === null) return void client.end('HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\n');
    const { socket, done } = dialled;
    const lines = request.rawHeaders.map((text, index) => (index % 2 === 0 ? `${text}: ` : `${text}\r\n`)).join('');
    socket.write(`${request.method} ${request.url} HTTP/1.1\r\n${lines}\r\n`);
    socket.write(head);
    pipeline(client, socket, client, done);
  }

  /** Stops the release that traffic has left, once its last request has ended or the time for that is over. */
  async retirePrevious(): Promise<void> {
    const active = readActive(this.#root);
    const previous = active?.previous ?? null;
    if (active === null || previous === null || this.#retiring.has(previous.id)) return;
    this.#retiring.add(previous.id);
    const end = performance.now() + active.drainMs;
    while (performance.now() < end && (this.#requests.get(previous.id) ?? 0) > 0) await sleep(50);
    await retire(() => family(previous), active.drainMs);
    this.#requests.delete(previous.id);
  }
}

/** All headers but those that belong to one connection only, in the form of `rawHeaders`. */
function endToEnd(raw: readonly string[]): string[] {
  const named = raw.flatMap((text, index) => (raw[index - 1]?.toLowerCase() === 'connection' && index % 2 === 1 ? text.toLowerCase().split(/\s*,\s*/) : []));
  const dropped = new Set([...HOP_BY_HOP, ...named]);
  return raw.filter((_, index) => !dropped.has((raw[index - (index % 2)] ?? '').toLowerCase()));
}

/** Binds as soon as the port is free: when a directly started release is taken over, that is the moment it lets go. */
function main(root: string, port: number, host: string, bindTimeoutMs: number): void {
  const log = (error: unknown): void => {
    process.stderr.write(`${new Date().toISOString()} ${String(error)}\n`);
  };
  const front = new Front(root);
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: 0 }, (request, response) => {
    front.forward(request, response).catch(log);
  });
  const end = performance.now() + bindTimeoutMs;
  server.on('upgrade', (request, socket, head) => {
    front.upgrade(request, socket, head).catch(log);
  });
  server.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EADDRINUSE' && performance.now() < end) {
      setTimeout(() => server.listen(port, host), 5);
    } else {
      log(error);
      process.exit(1);
    }
  });
  // Nobody restarts the front: one request that goes wrong in an unforeseen way must not end it.
  process.on('uncaughtException', log);
  setInterval(() => {
    front.retirePrevious().catch(log);
  }, 100);
  server.listen(port, host);
}

if (import.meta.main) {
  const [root = '', port = '', host = '', bindTimeoutMs = ''] = process.argv.slice(2);
  main(root, Number(port), host, Number(bindTimeoutMs));
}
