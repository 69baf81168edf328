import { expect } from 'vitest';
import { releases } from '../../activities/adapters/releases.ts';
import { adapterContract } from './contract.ts';
import { CANARY, Platform } from './releases-fixture/platform.ts';

adapterContract({
  name: 'releases',
  setup: async () => {
    const platform = await Platform.serving();
    return {
      adapter: releases, rawOptions: platform.rawOptions, canary: CANARY,
      start: 'v1', good: 'v2', bad: 'crashing', missing: 'v0',
      call: (overrides) => platform.call(overrides),
      effects: () => Promise.resolve(platform.effects()),
      snapshot: () => Promise.resolve(platform.snapshot()),
      stall: () => Promise.resolve(platform.call({ to: 'silent' })),
      teardown: async () => { expect(await platform.teardown()).toEqual([]); },
    };
  },
});
