/** Ports of this machine: whether one is free, and what to say where it is not. */
import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { LocalProblem } from './problem.ts';

const LOOPBACK = '127.0.0.1';
export type PortOption = '--temporal-port' | '--ui-port' | '--postgres-port';

/** Free for a server on 127.0.0.1: it can be bound and nobody answers there (a wildcard listener may leave the bind possible). */
export async function isFree(port: number): Promise<boolean> {
  const bound = await new Promise<boolean>((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: LOOPBACK, exclusive: true }, () => server.close(() => resolve(true)));
  });
  return bound && !(await accepts(port));
}

/** Whether something on 127.0.0.1 takes a connection on this port. */
export async function accepts(port: number): Promise<boolean> {
  return new Promise<boolean>((resolve) => {
    const socket = connect({ port, host: LOOPBACK });
    const answer = (value: boolean): void => {
      socket.destroy();
      resolve(value);
    };
    socket.once('connect', () => answer(true));
    socket.once('error', () => answer(false));
    socket.setTimeout(1_000, () => answer(false));
  });
}

/** Any port that is free now. One connection is made and closed from the listening side, which keeps Linux from giving the port out again for a minute. */
export async function freePort(): Promise<number> {
  return new Promise<number>((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.end();
    });
    server.once('error', reject);
    server.listen({ port: 0, host: LOOPBACK }, () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      const client = connect({ port, host: LOOPBACK });
      client.once('error', reject);
      client.once('close', () => server.close(() => resolve(port)));
      client.resume();
    });
  });
}

/** The first free port above one that is taken, so that a second checkout gets numbers a person can remember. */
export async function nextFreePort(above: number): Promise<number> {
  for (let port = above + 1; port <= Math.min(above + 50, 65_535); port += 1) {
    if (await isFree(port)) return port;
  }
  return freePort();
}

export interface WantedPort {
  readonly what: string;
  readonly option: PortOption;
  readonly port: number;
}

/** Throws one problem for all wanted ports that are taken, with the options that would work. */
export async function requireFree(wanted: readonly WantedPort[]): Promise<void> {
  const free = await Promise.all(wanted.map(({ port }) => isFree(port)));
  const taken = wanted.filter((_, index) => free[index] === false);
  if (taken.length > 0) throw await portTaken(taken);
}

export async function portTaken(taken: readonly WantedPort[]): Promise<LocalProblem> {
  const offers = await Promise.all(taken.map(async ({ option, port }) => `${option} ${await nextFreePort(port)}`));
  const which = taken.map(({ what, port }) => `Port ${port} (${what}) is taken by another program.`).join(' ');
  return new LocalProblem('port-taken', which, `Stop that program, or use ${offers.length === 1 ? 'another port' : 'other ports'}: ${offers.join(' ')}`);
}

/** Waits until somebody accepts connections on a port; false once `isOver` says so. */
export async function waitForPort(port: number, isOver: () => boolean): Promise<boolean> {
  while (!isOver()) {
    if (await accepts(port)) return true;
    await sleep(20);
  }
  return false;
}
