/**
 * A process of its own that lets the SDK download its Temporal server into the folder given as argument. The SDK offers no
 * download without a start, and no way to give up: so this is a child, which can be killed.
 */
import { TestWorkflowEnvironment } from '@temporalio/testing';

const environment = await TestWorkflowEnvironment.createLocal({ server: { executable: { type: 'cached-download', downloadDir: process.argv[2] ?? '.' } } });
await environment.teardown();
