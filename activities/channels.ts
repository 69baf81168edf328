/** The channels of `backout.yaml`: a file, a webhook of one's own, Slack, Discord. */
import { mkdir, open, type FileHandle } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Channel } from '../model/config.ts';
import type { Text } from '../model/templates.ts';
import { AdapterError } from './adapters/adapter.ts';
import { secretOf } from './secrets.ts';
import { discord, postChat, postJson, slack, Undelivered, type Chat } from './webhooks.ts';

/** A notice with what to do next, or a letter. A file and a webhook get all of it as JSON, a chat its words. `id` is stable over attempts. */
export type Message = { readonly id: string } & ({ readonly text: string; readonly next: readonly string[] } | Text);

export interface Delivered {
  /** It was there before, under its id. */
  readonly already: boolean;
  /** What the chat calls its messages, where it says so. */
  readonly ids: readonly string[];
}

/** Delivers once. Throws Undelivered, which says whether sending it again is safe; no address is in anything thrown. */
export async function post(folder: string, channel: Channel, message: Message, signal: AbortSignal = new AbortController().signal): Promise<Delivered> {
  if ('file' in channel) return { already: !(await append(resolve(folder, channel.file), message)), ids: [] };
  if ('webhook' in channel) {
    await postJson(await addressOf(folder, channel.webhook), message, signal);
    return { already: false, ids: [] };
  }
  const [chat, reference]: [Chat, string] = 'slack' in channel ? [slack, channel.slack] : [discord, channel.discord];
  const ids = await postChat(chat, await addressOf(folder, reference), wordsOf(message), signal);
  return { already: false, ids: ids.filter((id) => id !== null) };
}

const wordsOf = (message: Message): string =>
  'text' in message ? [message.text, ...(message.next.length === 0 ? [] : ['', 'Next:', ...message.next])].join('\n') : `${message.subject}\n\n${message.body}`;

async function addressOf(folder: string, reference: string): Promise<string> {
  if (!/^(env|file):/.test(reference)) return reference;
  try {
    return await secretOf(folder)(reference);
  } catch (error) {
    if (error instanceof AdapterError) throw new Undelivered('refused', error.message);
    throw error;
  }
}

/** One JSON line; false where a line with its id is there already. */
async function append(path: string, message: Message): Promise<boolean> {
  try {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(path, 'a+');
    try {
      const line = `${JSON.stringify(message)}\n`;
      const { size } = await file.stat();
      if (size > 0 && (await holds(file, message.id))) return false;
      // Was the last line cut off? This one must not be glued to it.
      await file.appendFile(size > 0 && (await lastOf(file, size)) !== '\n' ? `\n${line}` : line);
      return true;
    } finally {
      await file.close();
    }
  } catch (error) {
    throw new Undelivered('later', `${error instanceof Error ? error.message : String(error)}; let the worker write there, or name another file`);
  }
}

async function holds(file: FileHandle, id: string): Promise<boolean> {
  const written = JSON.stringify(id);
  for await (const line of file.readLines({ start: 0, autoClose: false })) if (line.includes(written) && idOf(line) === id) return true;
  return false;
}

function idOf(line: string): unknown {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && 'id' in value ? value.id : null;
  } catch {
    // A line that was cut off by a crash, or is somebody else's.
    return null;
  }
}

async function lastOf(file: FileHandle, size: number): Promise<string> {
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, size - 1);
  return buffer.toString();
}
