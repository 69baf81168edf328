/** The way to Postgres, on which the answer to a COMMIT is lost: after it took effect, or before it arrived. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

export interface Lossy {
  readonly url: string;
  close(): void;
}

export async function lossyWay(url: string, takesEffect: boolean): Promise<Lossy> {
  const { port, hostname } = new URL(url);
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    const cut = (): void => {
      client.destroy();
      upstream.destroy();
    };
    let isCommitting = false;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', cut).on('close', cut);
    }
    client.on('data', (chunk) => {
      isCommitting = chunk.includes('COMMIT');
      if (isCommitting && !takesEffect) cut();
      else upstream.write(chunk);
    });
    upstream.on('data', (chunk) => {
      if (isCommitting) cut();
      else client.write(chunk);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const to = new URL(url);
  to.port = String(typeof address === 'object' && address !== null ? address.port : 0);
  to.hostname = '127.0.0.1';
  return {
    url: to.href,
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
