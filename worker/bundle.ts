/** The workflow bundle, built once and kept: a worker polls in half the time, and an auditor replays with the very same code. */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
export const PAYLOAD_CONVERTER = join(ROOT, 'workflows/payload-converter.ts');
const INTERCEPTORS = join(ROOT, 'workflows/interceptors.ts');

export interface Bundle {
  readonly codePath: string;
  /** SHA-256 of the sources, first 12 digits: ties a history to the code that made it. */
  readonly buildId: string;
}

/** Builds only when a source has changed; safe for several processes at once. */
export async function workflowBundle(): Promise<Bundle> {
  const buildId = await sourcesId();
  const codePath = join(ROOT, 'dist', `workflows-${buildId}.js`);
  if (
    await readFile(codePath).then(
      () => true,
      () => false,
    )
  )
    return { codePath, buildId };
  const { bundleWorkflowCode, DefaultLogger } = await import('@temporalio/worker');
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(ROOT, 'workflows/index.ts'),
    workflowInterceptorModules: [INTERCEPTORS],
    payloadConverterPath: PAYLOAD_CONVERTER,
    logger: new DefaultLogger('WARN'),
  });
  await mkdir(dirname(codePath), { recursive: true });
  const draft = `${codePath}.${process.pid}`;
  await writeFile(draft, code);
  await rename(draft, codePath);
  return { codePath, buildId };
}

/** Over the files the bundle is made of, and the SDK's version. */
async function sourcesId(): Promise<string> {
  const hash = createHash('sha256');
  for (const folder of ['model', 'workflows']) {
    for (const file of (await readdir(join(ROOT, folder))).toSorted()) hash.update(file).update(await readFile(join(ROOT, folder, file)));
  }
  hash.update(await readFile(join(ROOT, 'node_modules/@temporalio/workflow/package.json')));
  return hash.digest('hex').slice(0, 12);
}
