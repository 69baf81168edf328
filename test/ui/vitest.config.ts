/** `npm run test:ui`: the tests that need a browser, which `npm test` must not. */
import { resolve } from 'node:path';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  root: resolve(import.meta.dirname, '../..'),
  test: {
    include: ['test/ui/*.browser.ts'],
    pool: 'forks',
    testTimeout: 180_000,
    hookTimeout: 180_000,
    globalSetup: ['test/support/prepare.ts'],
  },
});
