/** What the house's own commands print is told without the secrets that the configuration refers to. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { hiding } from '../activities/secrets.ts';

it('of an address the whole and its password, however it is written; of a key the whole; what is short or not there is left alone', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'backout-secrets-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'shop-db'), 'postgres://shop:CANARY-p%40ss%2Fw0rd@127.0.0.1:5432/shop\n');
  await writeFile(join(folder, 'key'), 'sk_live_canary');
  await writeFile(join(folder, 'short'), 'on');
  const config = {
    databases: { main: { options: { url: 'file:shop-db' }, rebuild: [{ command: ['./x'] }] } },
    a: ['file:key', 'file:short', 'env:NOWHERE', 'file:gone'],
  };
  const hide = await hiding(config, folder);
  const said = hide('cannot connect to postgres://shop:CANARY-p%40ss%2Fw0rd@127.0.0.1:5432/shop with CANARY-p@ss/w0rd or sk_live_canary; go on');
  expect(said).toBe('cannot connect to [secret] with [secret] or [secret]; go on');
});
