import { randomUUID } from 'node:crypto';
import { linkSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AdapterError, type AdapterCall } from './adapter.ts';
import { identify, identitySchema, isAlive, orNull } from './releases-machine.ts';

/** A holder that has not refreshed its lease for so long has been stopped, or is gone. */
const LEASE_STALE_MS = 4_000;
const LEASE_REFRESH_MS = 1_000;
const LEASE_POLL_MS = 250;

export const superseded = (): AdapterError => new AdapterError('superseded', 'another attempt has taken over this platform; this one did nothing more');

/**
 * Who may change things: the creator of the lease with the highest number, and creating a number is exclusive. A lease is free when its
 * holder is dead or has not refreshed it. A successor first removes what its predecessors had prepared, so that a rename of theirs
 * which comes late finds nothing to rename.
 */
export class Lease {
  readonly #folder: string;
  readonly #operationId: string;
  #number = 0;
  #timer: NodeJS.Timeout | undefined;

  private constructor(folder: string, operationId: string) {
    this.#folder = folder;
    this.#operationId = operationId;
  }

  static async acquire(call: Pick<AdapterCall<unknown>, 'operationId' | 'signal' | 'heartbeat'>, folder: string): Promise<Lease> {
    const lease = new Lease(folder, call.operationId);
    for (let newest = lease.#newest(); !(lease.#isFree(newest) && lease.#create(newest + 1)); newest = lease.#newest()) {
      call.heartbeat('waiting for another attempt on this platform to end');
      await sleep(LEASE_POLL_MS, undefined, { signal: call.signal });
    }
    const old = /^(?:lease|next-\w+(?:\.json)?)\.(\d+)$/;
    for (const name of readdirSync(folder)) if (Number(old.exec(name)?.[1] ?? 'none') < lease.#number) rmSync(join(folder, name), { force: true });
    lease.#timer = setInterval(() => {
      lease.#touch(new Date());
    }, LEASE_REFRESH_MS);
    return lease;
  }

  /** Throws unless the lease is still ours. To be called in the same breath as the change that it guards. */
  hold(): void {
    if (this.#newest() !== this.#number || (this.#isStale(this.#number) && !this.#create(this.#number + 1))) throw superseded();
  }

  /** A name for a file to be renamed into place under this lease. */
  prepared(target: string): string {
    return join(this.#folder, `next-${basename(target)}.${this.#number}`);
  }

  release(): void {
    clearInterval(this.#timer);
    this.#touch(new Date(0));
  }

  #file(number: number): string {
    return join(this.#folder, `lease.${number}`);
  }
  #touch(at: Date): void {
    orNull(() => utimesSync(this.#file(this.#number), at, at));
  }
  #newest(): number {
    return Math.max(
      0,
      ...readdirSync(this.#folder)
        .filter((name) => name.startsWith('lease.'))
        .map((name) => Number(name.slice(6))),
    );
  }
  #isStale(number: number): boolean {
    return Date.now() - (orNull(() => statSync(this.#file(number)).mtimeMs) ?? 0) > LEASE_STALE_MS;
  }

  #isFree(number: number): boolean {
    const holder = identitySchema.safeParse(orNull(() => JSON.parse(readFileSync(this.#file(number), 'utf8'))));
    return this.#isStale(number) || !holder.success || !isAlive(holder.data);
  }

  #create(number: number): boolean {
    const claim = join(this.#folder, `claim-${randomUUID()}`);
    writeFileSync(claim, JSON.stringify({ ...identify(process.pid), operationId: this.#operationId }));
    const created = orNull(() => linkSync(claim, this.#file(number))) === undefined;
    rmSync(claim, { force: true });
    if (created) this.#number = number;
    return created && this.#newest() === number; // A low number is free again once it has been tidied away: it is no lease.
  }
}
