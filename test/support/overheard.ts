/** What leaves whatever a contract is about, kept, so that each test ends with the same questions: no secret is in it, it is JSON, and what is thrown is an AdapterError. */
import { inspect as print } from 'node:util';
import { expect, vi } from 'vitest';
import type { z } from 'zod';
import { AdapterError } from '../../activities/adapters/adapter.ts';

export class Overheard {
  readonly things: unknown[] = [];

  /** From now on what is printed too, until the mocks are restored. */
  static listening(): Overheard {
    const heard = new Overheard();
    for (const stream of [process.stdout, process.stderr]) {
      const write = stream.write.bind(stream);
      vi.spyOn(stream, 'write').mockImplementation((chunk: string | Uint8Array) => {
        heard.note(chunk.toString());
        return write(chunk);
      });
    }
    return heard;
  }

  note<T>(thing: T): T {
    this.things.push(thing);
    return thing;
  }

  async keep<T>(answer: Promise<T>): Promise<T> {
    try {
      return this.note(await answer);
    } catch (error) {
      this.note(error);
      throw error;
    }
  }

  /** The same call, whose words are heard. */
  hearing<Call extends { readonly heartbeat: (progress: string) => void }>(call: Call): Call {
    return {
      ...call,
      heartbeat: (progress: string) => {
        call.heartbeat(this.note(progress));
      },
    };
  }
}

/** Of everything that was heard: it holds no secret, what was thrown is an AdapterError, and all else is JSON. */
export function expectFit({ things }: Overheard, canary: string): void {
  for (const thing of things) {
    expect(print(thing, { depth: null, showHidden: true, maxStringLength: null, maxArrayLength: null })).not.toContain(canary);
    if (thing instanceof Error) expect(thing).toBeInstanceOf(AdapterError);
    else expect(JSON.parse(JSON.stringify(thing))).toStrictEqual(thing);
  }
}

/** What of it passes, or does not, against the rule that valid options pass and an unknown one is an error that names it. */
export function laxness(options: z.ZodType, valid: Readonly<Record<string, unknown>>): string[] {
  const strange = options.safeParse({ ...valid, surprise: true });
  return [
    ...(options.safeParse(valid).success ? [] : ['valid options are refused']),
    ...(print(strange.error?.issues).includes('surprise') ? [] : ['an unknown option is not named']),
    ...[null, 'text', 7, []].filter((nonsense) => options.safeParse(nonsense).success).map((nonsense) => `${JSON.stringify(nonsense)} passes`),
  ];
}
