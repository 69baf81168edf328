#!/usr/bin/env node
/** Starts the command on a Node that runs TypeScript; plain JavaScript, so that an old Node can read it and say so. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module from 'node:module';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

if (major > 22 || (major === 22 && minor >= 18)) {
  // Sources with their types stripped are kept too: the second start costs a third of the first.
  module.enableCompileCache();
  const { main } = await import('./cli.ts');
  await main(process.argv.slice(2));
} else {
  const newer = fileURLToPath(new URL('../node_modules/.bin/node', import.meta.url));
  if (existsSync(newer)) {
    const child = spawn(newer, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
    // A terminal signals both of us; what is meant for us alone is passed on. Either way the child decides when it ends.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
      process.on(signal, () => {
        if (signal !== 'SIGINT') child.kill(signal);
      });
    child.on('exit', (code, signal) => {
      process.exit(code ?? 128 + constants.signals[signal ?? 'SIGKILL']);
    });
  } else {
    const error = {
      type: 'node-too-old',
      message: `Backout needs Node 22.18 or newer; this is ${process.versions.node}`,
      remedy: 'run `npm ci` in the folder of Backout, which brings Node 24 along, or install a newer Node',
    };
    if (process.argv.includes('--json')) process.stdout.write(`${JSON.stringify({ error }, null, 2)}\n`);
    else process.stderr.write(`backout: ${error.message}\n  ${error.remedy}\n`);
    process.exitCode = 2;
  }
}
