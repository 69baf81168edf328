import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

// For the processes of the tests; what they start themselves is given it by `test/support/world.ts`.
process.env['NODE_COMPILE_CACHE'] ??= join(tmpdir(), 'node-compile-cache');

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Native modules and signal handlers: a process a file. Two cores, and much of a file is waiting: three files at once.
    pool: 'forks',
    maxConcurrency: 3,
    maxWorkers: 3,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    globalSetup: ['test/support/prepare.ts'],
  },
});
