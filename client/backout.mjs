#!/usr/bin/env node
/** Starts the command on a Node that runs TypeScript; plain JavaScript, so that an old Node can read it and say so. */
import module from 'node:module';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

if (major > 22 || (major === 22 && minor >= 18)) {
  // Sources with their types stripped are kept too: the second start costs a third of the first.
  module.enableCompileCache();
  const { main } = await import('./cli.ts');
  await main(process.argv.slice(2));
} else {
  await startNewer();
}

/** With the Node that came along; the signals of a terminal reach both of us, and the child decides when it ends. */
async function startNewer() {
  const [{ spawn }, { existsSync }, { constants }, { fileURLToPath }] = await Promise.all([
    import('node:child_process'),
    import('node:fs'),
    import('node:os'),
    import('node:url'),
  ]);
  const newer = fileURLToPath(new URL('../node_modules/.bin/node', import.meta.url));
  if (existsSync(newer)) {
    const child = spawn(newer, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
    process.on('SIGINT', () => undefined);
    for (const signal of ['SIGTERM', 'SIGHUP'])
      process.on(signal, () => {
        child.kill(signal);
      });
    child.on('exit', (code, signal) => {
      process.exit(code ?? 128 + constants.signals[signal ?? 'SIGKILL']);
    });
    return;
  }
  const error = {
    type: 'node-too-old',
    message: `Backout needs Node 22.18 or newer; this is ${process.versions.node}`,
    remedy: 'run `npm ci` in the folder of Backout, which brings Node 24 along, or install a newer Node',
  };
  if (process.argv.includes('--json')) process.stdout.write(`${JSON.stringify({ error }, null, 2)}\n`);
  else process.stderr.write(`backout: ${error.message}\n  ${error.remedy}\n`);
  process.exitCode = 2;
}
