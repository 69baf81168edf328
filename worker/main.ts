/** The worker process. */
import { runProcess } from './worker.ts';

await runProcess();
