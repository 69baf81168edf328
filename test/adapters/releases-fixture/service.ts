/** A release of the test: it behaves as the file `mode` in its folder says, and ends at once on SIGTERM, so that only an empty one may be stopped. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const mode = readFileSync('mode', 'utf8').trim();
const [, , port = process.env['PORT']] = process.argv;
if (mode === 'crash') process.exit(3);
if (mode === 'stubborn') process.on('SIGTERM', () => undefined);

const server = createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://service');
  const answer = (status: number, body: unknown): void => {
    response.writeHead(status, { 'content-type': 'application/json', 'set-cookie': ['a=1', 'b=2'] }).end(JSON.stringify(body));
  };
  if (url.pathname === '/healthz') return answer(mode === 'sick' ? 503 : 200, {});
  if (url.pathname === '/env') return answer(200, process.env);
  const chunks: Buffer[] = [];
  request
    .on('data', (chunk: Buffer) => chunks.push(chunk))
    .on('end', () => {
      setTimeout(answer, Number(url.searchParams.get('ms')), 200, {
        version: readFileSync('version', 'utf8').trim(),
        pid: process.pid,
        bytes: Buffer.concat(chunks).length,
        headers: request.headers,
      });
    });
});
server.on('upgrade', (_, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
  socket.pipe(socket);
});
if (mode === 'silent') setInterval(() => undefined, 1_000);
else server.listen(Number(port), '127.0.0.1');
