/** A rollback run from the Temporal UI alone, in a real browser: started, read, answered. Screenshots for people are left in `shots/`. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { chromium, type Browser, type FrameLocator, type Locator, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { workflowIdOf } from '../../model/plan.ts';
import { BOOTS, World } from '../support/world.ts';

const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
const SHOTS = join(import.meta.dirname, 'shots');
/** No sandbox within a container; and a browser that talks to nobody but us. */
const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run'];
const COMPONENTS = ['web', 'api', 'cart'];

let world: World;
let browser: Browser;
let page: Page;

const shot = (name: string): Promise<Buffer> => page.screenshot({ path: join(SHOTS, `${name}.png`) });
const idOf = (component: string): string => workflowIdOf({ kind: 'deployRevert', environment: 'production', components: [component] });
const open = (path = '') => page.goto(`${world.services.uiUrl ?? ''}/namespaces/${world.services.namespace}/workflows${path}`);

/** Types JSON and leaves the field: the editor lays the text out anew then, and a click on a button that moves meanwhile is lost. */
async function type(editor: Locator, json: string): Promise<void> {
  await editor.fill(json);
  await editor.blur();
  await expect.poll(async () => JSON.parse(await editor.innerText()) as unknown).toEqual(JSON.parse(json));
}

/** The form behind *Start Workflow*, with the input of product.md 5. */
async function startByForm(component: string): Promise<WorkflowHandle> {
  await open();
  await page
    .getByRole('button', { name: 'Start Workflow' })
    .or(page.getByRole('link', { name: 'Start Workflow' }))
    .first()
    .click();
  await page.getByLabel('Workflow ID').fill(idOf(component));
  await page.getByLabel('Task Queue').fill('backout');
  await page.getByLabel('Workflow Type').fill('deployRevert');
  const input = {
    environment: 'production',
    components: [component],
    targets: { [component]: 'v1.0.0' },
    trigger: 'verification',
    cause: 'smoke-failed',
    reason: 'checkout answers 500',
    by: 'ci',
  };
  await type(page.locator('.cm-content'), JSON.stringify(input));
  await page.getByText('Task Queue is Active').waitFor();
  await shot(`start-${component}`);
  await page.getByTestId('start-workflow-button').click();
  await page.getByText('Workflow started successfully').waitFor();
  return world.client.workflow.getHandle(idOf(component));
}

/** The bad release is served, the rollback is started, and an operator is awaited. */
async function waitingRollback(component: string): Promise<WorkflowHandle> {
  expect(await world.serves(component)).toBe('v1.1.0');
  const handle = await startByForm(component);
  await world.waiting(handle);
  return handle;
}

/** The workflow's page, and its current details, as an operator comes to them. */
async function readDetails(component: string): Promise<FrameLocator> {
  await open();
  await page
    .getByRole('link', { name: idOf(component) })
    .first()
    .click();
  await page.getByRole('tab', { name: 'User Metadata' }).click();
  const details = page.frameLocator('iframe[title="output"]');
  await details.getByRole('table').waitFor();
  return details;
}

async function dialog(item: 'Send a Signal' | 'Send an Update', name: string, json: string): Promise<Locator> {
  await page.getByRole('button', { name: 'More Actions' }).click();
  await page.getByRole('menuitem', { name: item }).click();
  const form = page.getByRole('dialog', { name: item });
  await form.getByRole('button', { name: /^Select a/ }).click();
  const option = form.getByRole('option', { name: new RegExp(`^${name} `) });
  expect(await option.innerText()).toContain('{"step":"availability","by":"ana"');
  await shot(`${item === 'Send a Signal' ? 'signal' : 'update'}-names`);
  await option.click();
  await type(form.locator('.cm-content'), json);
  return form;
}

const submit = (form: Locator): Promise<void> => form.getByRole('button', { name: 'Submit' }).click();

async function expectRolledBack(component: string, handle: WorkflowHandle): Promise<void> {
  const state = await world.closed(handle);
  expect(state.outcome).toBe('rolled-back');
  expect(state.answers).toMatchObject([{ name: 'confirm', step: 'availability', by: 'ana' }]);
  expect(await world.serves(component)).toBe('v1.0.0');
  expect((await world.ownEffects(component)).map((one) => one.to)).toEqual(['v1.0.0']);
  expect((await handle.describe()).status.name).toBe('COMPLETED');
  await page.getByRole('tab', { name: /^History/ }).click();
  await page.getByText('Completed', { exact: true }).first().waitFor();
}

beforeAll(async () => {
  if (!existsSync(CHROMIUM))
    throw new Error(
      `There is no Chromium at ${CHROMIUM}. Install it (Debian: apt-get update && apt-get install -y --no-install-recommends chromium), or name yours in CHROMIUM.`,
    );
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGS });
  world = await World.create({ headless: false, shops: COMPONENTS.map((name) => ({ ...BOOTS, name })) });
  for (const component of COMPONENTS) await world.badRelease(component);
  await world.worker();
});

beforeEach(async () => {
  page = await browser.newPage({ viewport: { width: 1400, height: 1000 } });
  page.setDefaultTimeout(30_000);
});

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') await shot(`failed-${task.name.replaceAll(/\W+/g, '-').slice(0, 40)}`);
  await page.close();
});

// Not there where the setup failed.
afterAll(async () => {
  await (browser as Browser | undefined)?.close();
  await (world as World | undefined)?.close();
});

describe('from the Temporal UI alone', () => {
  it('a rollback is started, found, read and completed by a signal', async () => {
    const handle = await waitingRollback('web');

    await open(`?query=${encodeURIComponent('RollbackState="waiting"')}`);
    await page.getByRole('navigation', { name: 'Workflows' }).getByRole('button').nth(1).click();
    for (const column of ['RollbackState', 'RollbackWaitingFor', 'RollbackTarget']) await page.getByRole('button', { name: `Add ${column} column` }).click();
    for (const column of ['Run ID', 'Type', 'Start', 'End']) await page.getByRole('button', { name: `Remove ${column} column` }).click();
    await page.getByRole('button', { name: 'Close Workflows Table configuration' }).click();
    await page.getByRole('heading', { name: 'Configure Workflows Table' }).waitFor({ state: 'hidden' });
    const row = page.getByRole('row', { name: idOf('web') });
    for (const cell of ['waiting', 'operator', 'web=v1.0.0']) await row.getByRole('cell', { name: cell }).waitFor();
    await shot('list');

    const details = await readDetails('web');
    await shot('details');
    const cells = await Promise.all((await details.getByRole('row').all()).map((one) => one.getByRole('cell').allInnerTexts()));
    expect(cells.slice(1).map(([state = '', step = '']) => [step, state.replace(/^\S+ /, '')])).toEqual([
      ['web.deploy', 'done'],
      ['web.smoke', 'done'],
      ['web.health', 'done'],
      ['web.served', 'done'],
      ['availability', 'waiting'],
    ]);
    const awaited = details.getByRole('listitem').first();
    expect(await awaited.innerText()).toMatch(/^operator, for availability .*Send the signal or update confirm with/);
    const json = await awaited.locator('pre').innerText();
    expect(json.trim()).toBe('{"step":"availability","by":"YOU"}');
    // The UI's frame is lower than its content: nothing but the closing rule may be lost.
    const frame = await page.locator('iframe[title="output"]').boundingBox();
    const why = await details.getByText('checkout answers 500').boundingBox();
    expect((why?.y ?? Infinity) + (why?.height ?? 0)).toBeLessThan((frame?.y ?? 0) + (frame?.height ?? 0));

    const form = await dialog('Send a Signal', 'confirm', json.replace('YOU', 'ana'));
    await shot('signal');
    await submit(form);
    await expectRolledBack('web', handle);
    await shot('completed');
  });

  it('another is completed by an update', async () => {
    const handle = await waitingRollback('api');
    await readDetails('api');
    const form = await dialog('Send an Update', 'confirm', '{"step":"availability","by":"ana"}');
    await shot('update');
    await submit(form);
    await page.getByText('Update successful').waitFor();
    expect(await form.count()).toBe(0);
    await expectRolledBack('api', handle);
    await shot('completed-by-update');
  });

  it('what is malformed is refused by the dialog; what is refused, which the dialog calls successful, by the details', async () => {
    const handle = await waitingRollback('cart');
    await readDetails('cart');
    const form = await dialog('Send an Update', 'confirm', '{"step":"availability"}');
    await submit(form);
    await form.getByText('"by" must be a text that is not empty').first().waitFor();
    await shot('update-malformed');
    await page.keyboard.press('Escape');

    await page.reload();
    await submit(await dialog('Send an Update', 'confirm', '{"step":"avialability","by":"ana"}'));
    await page.getByText('Update successful').waitFor();
    const details = await readDetails('cart');
    await details.getByText('there is no step "avialability"').waitFor();
    await shot('details-refused');
    expect((await world.state(handle)).state).toBe('waiting');
  });
});
