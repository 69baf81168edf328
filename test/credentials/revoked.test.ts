/** What a build carries, and what of it was not looked through: nothing that was skipped is believed to be clean. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fingerprintOf } from '../../activities/credentials/fingerprint.ts';
import { findComponent } from '../../activities/components.ts';
import { deploy } from '../../activities/deploy.ts';
import { carriedByBuild, type LookedThrough } from '../../activities/revoked.ts';
import type { Store } from '../../store/store.ts';
import { dependencies, firstAttempt, load, Paper, stepWork } from '../model/given.ts';

let folder = '';
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'revoked-'));
  fs.mkdirSync(join(folder, 'build'));
});
afterEach(() => {
  fs.rmSync(folder, { recursive: true, force: true });
});

const FOREIGN = `fp1:00000000:${'0'.repeat(64)}`;
/** A platform whose builds can be looked into, and what is known as revoked. */
async function given(fingerprints: readonly string[] = []) {
  const paper = new Paper();
  const adapter = { ...paper.adapter, files: () => Promise.resolve(['build']) };
  const component = { ...findComponent(load(), { paper: adapter }, 'production', 'web'), folder };
  const known = [(await fingerprintOf(folder, 'a-revoked-key')).fingerprint, ...fingerprints];
  const row = { environment: 'production', credential: 'payments', generation: 'g', state: 'revoked', rollbackId: 'r', at: '' } as const;
  const deps = dependencies(paper, { deployments: [] });
  const store: Store = { ...deps.store, credentials: () => Promise.resolve(known.map((fingerprint) => ({ ...row, fingerprint }))) };
  return { component, deps: { ...deps, store } };
}
const looked = async (...of: Parameters<typeof given>): Promise<LookedThrough> => {
  const { component, deps } = await given(...of);
  return carriedByBuild(component, 'v1.0.0', deps, firstAttempt());
};
const put = (name: string, content: string | Buffer): void => fs.writeFileSync(join(folder, 'build', name), content);

test('a build that was looked through to its end has no warning', async () => {
  put('bundle.js', 'x=1;'.repeat(1024 * 1024));
  expect(await looked()).toEqual({ carried: null, warnings: [] });
});

test('a bundle of some MiB is looked through', async () => {
  put('bundle.js', `${'x=1;'.repeat(1024 * 1024)}const url="https://x:a-revoked-key@pay"`);
  expect((await looked()).carried).toBe('v1.0.0 of web carries the revoked payments (build/bundle.js)');
});

test('what was not is named with the reason, few of it, and counted', async () => {
  for (const name of ['a', 'b', 'c', 'd', 'e']) put(`${name}.png`, Buffer.from([0]));
  expect((await looked()).warnings).toEqual([
    'not looked through for revoked credentials, of v1.0.0 of web: build/a.png (binary), build/b.png (binary), build/c.png (binary), and 2 more',
  ]);
});

test('fingerprints of another installation are said to be of no use here', async () => {
  expect((await looked([FOREIGN])).warnings.join()).toMatch(/was not looked through for 1 revoked secret of payments: another installation/);
});

test('the step that restores it says so, whatever it does', async () => {
  put('a.png', Buffer.from([0]));
  const { component, deps } = await given();
  const found = await deploy(stepWork(), component, deps, firstAttempt());
  expect(found).toMatchObject({ state: 'done', warnings: [expect.stringMatching(/build\/a\.png \(binary\)/) as string] });
});
