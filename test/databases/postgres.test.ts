import { testDatabase } from '../store/database.ts';
import { postgres } from '../../activities/databases/registry.ts';
import { databaseContract } from './contract.ts';
import { APPROVED, callOf, CANARY, COUPON, pictureOf, shop, withPassword } from './undo-given.ts';

databaseContract('postgres', async () => {
  const database = await testDatabase();
  await shop(database.url);
  const url = withPassword(database.url);
  return {
    database: postgres,
    rawOptions: { url: 'env:SHOP_DB', ledger: { hash: 'checksum' } },
    call: (overrides = {}) => callOf(url, overrides),
    newest: COUPON,
    destroys: APPROVED,
    picture: () => pictureOf(database.url),
    violated: 'SELECT id FROM orders WHERE id <= 2',
    broken: 'SELECT nothing FROM nowhere',
    canary: CANARY,
    teardown: () => database.drop(),
  };
});
