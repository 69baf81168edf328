/** Once before all tests: what takes minutes on a fresh machine is provided with progress, and the bundle is built. */
import { findTemporal } from '../../client/local/find-temporal.ts';
import { workflowBundle } from '../../worker/bundle.ts';

export default async function prepare(): Promise<void> {
  for (const name of ['TEMPORAL_ADDRESS', 'TEMPORAL_NAMESPACE', 'TEMPORAL_PROFILE', 'DATABASE_URL', 'BACKOUT_CONFIG', 'BACKOUT_BY']) delete process.env[name];
  const { from } = await findTemporal({
    progress: (line) => {
      process.stderr.write(`${line}\n`);
    },
  });
  const { buildId } = await workflowBundle();
  process.stderr.write(`Temporal server: from the ${from}; workflow bundle ${buildId}\n`);
}
