import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

// For the processes of the tests; what they start themselves is given it by `test/support/world.ts`.
process.env['NODE_COMPILE_CACHE'] ??= join(tmpdir(), 'node-compile-cache');

/** What takes minutes: begun last, everybody would wait for it alone. */
const LONG = [/-crash|recover/, /crash|-ended|ended-/, /\/(?:e2e|audit|client)\//];
const rank = ({ moduleId }: TestSpecification): number => {
  const at = LONG.findIndex((pattern) => pattern.test(moduleId));
  return at === -1 ? LONG.length : at;
};

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.toSorted((one, other) => rank(one) - rank(other));
  }
}

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
    sequence: { sequencer: LongestFirst },
  },
});
