/** Requests without a pause, over kept-alive and over fresh connections, small and with a body. Nothing is ever tried twice. */
import { Agent, request } from 'node:http';
import { z } from 'zod';

const answerSchema = z.object({ version: z.string(), bytes: z.number(), pid: z.number(), headers: z.record(z.string(), z.unknown()) });
export type Answer = z.infer<typeof answerSchema>;

export function ask(port: number, path: string, { body = '', agent = false }: { body?: string; agent?: Agent | false } = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const onward = request({ host: '127.0.0.1', port, path, agent, method: body === '' ? 'GET' : 'POST' }, (response) => {
      let text = '';
      response
        .on('data', (chunk: Buffer) => {
          text += chunk.toString();
        })
        .on('error', reject)
        .on('end', () => {
          if (response.statusCode !== 200) return reject(new Error(`${response.statusCode} ${text}`));
          const answer = answerSchema.parse(JSON.parse(text));
          if (answer.bytes === body.length) resolve(answer);
          else reject(new Error(`${answer.bytes} bytes of ${body.length} arrived`));
        });
    });
    onward.on('error', reject).end(body);
  });
}

export class Load {
  readonly served: string[] = [];
  readonly failed: string[] = [];
  readonly #agents: Agent[] = [];
  readonly #loops: Promise<void>[] = [];
  #running = true;

  constructor(port: number) {
    const body = 'x'.repeat(200_000);
    const kinds = [
      {},
      {},
      { body },
      { path: '/?ms=300' },
      { kept: true },
      { kept: true },
      { kept: true, body },
      { kept: true, path: '/?ms=300' },
      { kept: true, pauseMs: 400 },
    ];
    for (const { path = '/', kept = false, pauseMs = 2, ...rest } of kinds as { path?: string; kept?: boolean; pauseMs?: number; body?: string }[]) {
      const agent = kept ? new Agent({ keepAlive: true, maxSockets: 1 }) : false;
      if (agent !== false) this.#agents.push(agent);
      this.#loops.push(
        this.#loop(async () => {
          await ask(port, path, { ...rest, agent }).then(
            ({ version }) => this.served.push(version),
            (error: unknown) => this.failed.push(String(error)),
          );
          await new Promise((resolve) => {
            setTimeout(resolve, pauseMs);
          });
        }),
      );
    }
  }

  async #loop(once: () => Promise<void>): Promise<void> {
    while (this.#running) await once();
  }

  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#loops);
    for (const agent of this.#agents) agent.destroy();
  }
}
