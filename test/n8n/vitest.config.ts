/** `npm run test:n8n`: the contract against a real n8n, which is installed for it (2 minutes, 1.9 GB, once), which `npm test` must not. */
import { resolve } from 'node:path';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  root: resolve(import.meta.dirname, '../..'),
  test: {
    include: ['test/n8n/*.real.ts'],
    pool: 'forks',
    // It takes minutes, so each test says when it is done.
    reporters: ['verbose'],
    testTimeout: 180_000,
    // The installation and the first start are in a hook.
    hookTimeout: 20 * 60_000,
  },
});
