/** A worker that never finishes a deploy: it is there to be killed in the middle of one. */
import { setTimeout as delay } from 'node:timers/promises';
import { runProcess } from '../../worker/worker.ts';

await runProcess((deps) => ({
  ...deps,
  adapters: Object.fromEntries(
    Object.entries(deps.adapters).map(([name, adapter]) => [
      name,
      {
        ...adapter,
        apply: async () => {
          await delay(Number(process.env['BACKOUT_STALL_MS']));
          return {};
        },
      },
    ]),
  ),
}));
