import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Native modules and signal handlers: a process a file. Two cores: two files at once.
    pool: 'forks',
    maxConcurrency: 3,
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    globalSetup: ['test/support/prepare.ts'],
  },
});
