/** A worker that knows the platform on paper beside the real ones, and otherwise is what users run. */
import { runProcess } from '../../worker/worker.ts';
import { paper } from './lying-platform.ts';

export const LYING_WORKER = 'test/support/lying-worker.ts';

if (import.meta.main) await runProcess((deps) => ({ ...deps, adapters: { ...deps.adapters, paper } }));
