/** The floor of bar 9: bundles at its start, as a worker without a prebuilt bundle does. */
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Worker } from '@temporalio/worker';
import { join, resolve } from 'node:path';
import { PAYLOAD_CONVERTER } from '../../worker/bundle.ts';

const root = resolve(import.meta.dirname, '../..');
const logger = new DefaultLogger('ERROR');
const workflowBundle = await bundleWorkflowCode({
  workflowsPath: join(root, 'workflows/index.ts'),
  workflowInterceptorModules: [join(root, 'workflows/interceptors.ts')],
  payloadConverterPath: PAYLOAD_CONVERTER,
  logger,
});
const connection = await NativeConnection.connect({ address: process.env['TEMPORAL_ADDRESS'] ?? '' });
const worker = await Worker.create({ connection, taskQueue: 'bundling', workflowBundle, dataConverter: { payloadConverterPath: PAYLOAD_CONVERTER } });
process.send?.({ ready: true });
await worker.run();
