/** Stands between Backout and a real n8n: counts what took effect, loses answers, stalls. It changes nothing of what is asked or answered. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

export interface Front {
  readonly url: string;
  /** Writes that took effect since `anew`. */
  readonly effects: () => number;
  readonly asked: () => readonly string[];
  readonly loseAnswer: (writes: number | null) => void;
  readonly stall: () => void;
  readonly calm: () => void;
  readonly anew: () => void;
  readonly stop: () => Promise<void>;
}

export async function startFront(target: string, ownerKey: string): Promise<Front> {
  let effects = 0;
  let asked: string[] = [];
  let writesLeft: number | null = null;
  let isStalled = false;

  /** n8n answers 200 to whoever unpublishes what is not published: nothing took effect then. */
  const isActive = async (id: string): Promise<boolean> => {
    const response = await fetch(`${target}/api/v1/workflows/${id}`, { headers: { 'x-n8n-api-key': ownerKey } });
    return /"active":true/.test(await response.text());
  };

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method = 'GET', url = '/' } = request;
    asked.push(`${method} ${url}`);
    if (isStalled) return;
    const headers = new Headers();
    for (const name of ['x-n8n-api-key', 'accept', 'origin', 'user-agent']) {
      const value = request.headers[name];
      if (typeof value === 'string') headers.set(name, value);
    }
    const [, id, verb] = /\/workflows\/([\w-]+)(\/unpublish)?$/.exec(url) ?? [];
    const isWrite = method !== 'GET' && method !== 'OPTIONS';
    const hadEffect = isWrite && id !== undefined && (verb === undefined || (await isActive(id)));
    const answer = await fetch(`${target}${url}`, { method, headers, redirect: 'manual' });
    const body = Buffer.from(await answer.arrayBuffer());
    if (hadEffect && answer.ok) effects += 1;
    if (isWrite && writesLeft !== null) {
      writesLeft -= 1;
      if (writesLeft < 0) {
        writesLeft = null;
        response.socket?.resetAndDestroy();
        return;
      }
    }
    const kept = ['content-type', 'access-control-allow-methods', 'retry-after'].flatMap((name) => {
      const value = answer.headers.get(name);
      return value === null ? [] : [[name, value] as const];
    });
    response.writeHead(answer.status, Object.fromEntries(kept)).end(body);
  };

  const server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no address');
  const calm = (): void => {
    writesLeft = null;
    isStalled = false;
  };
  return {
    url: `http://127.0.0.1:${address.port}`,
    effects: () => effects,
    asked: () => asked,
    loseAnswer: (writes) => {
      writesLeft = writes;
    },
    stall: () => {
      isStalled = true;
    },
    calm,
    anew: () => {
      calm();
      effects = 0;
      asked = [];
    },
    stop: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => {
        server.close(() => {
          resolve();
        });
      });
    },
  };
}
