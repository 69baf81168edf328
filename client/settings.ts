/** Where Temporal, Postgres and the configuration are: flags, then environment, then `backout.yaml`, then a running `backout dev`, then the defaults [product.md 7]. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { ConnectionOptions } from '@temporalio/client';
import type { Command } from 'commander';
import type { LoadedConfig } from '../model/config-file.ts';
import { readDev, stateFolder, type Dev } from './local/folder.ts';
import { EXIT, Problem } from './problem.ts';

export interface Flags {
  readonly json: boolean;
  readonly address?: string;
  readonly namespace?: string;
  readonly databaseUrl?: string;
  readonly config?: string;
}

export const flagsOf = (command: Command): Flags => ({ json: false, ...command.optsWithGlobals<Partial<Flags>>() });

export interface TemporalSettings {
  readonly options: ConnectionOptions & { readonly address: string };
  readonly namespace: string;
  readonly from: string;
}
export interface DatabaseSettings {
  readonly url: string;
  readonly from: string;
}

const DEFAULT_ADDRESS = 'localhost:7233';
const env = (name: string): string | null => process.env[name] || null;

export class Settings {
  readonly flags: Flags;
  readonly configPath: string;
  private readonly named: boolean;
  private text: Promise<string | null> | null = null;
  private loaded: Promise<LoadedConfig | null> | null = null;
  private running: Promise<Dev | null> | null = null;

  constructor(flags: Flags) {
    this.flags = flags;
    const given = flags.config ?? env('BACKOUT_CONFIG');
    this.named = given !== null;
    this.configPath = resolve(given ?? 'backout.yaml');
  }

  /** Null where there is none and none was named. Throws ConfigError. */
  config(): Promise<LoadedConfig | null> {
    return (this.loaded ??= this.parse());
  }

  async requireConfig(): Promise<LoadedConfig> {
    const loaded = await this.config();
    if (loaded) return loaded;
    throw new Problem(
      EXIT.usage,
      'configuration',
      `there is no ${this.configPath}`,
      'write one with `backout init`, or name another with --config or BACKOUT_CONFIG',
    );
  }

  async temporal(): Promise<TemporalSettings> {
    const found = await this.findTemporal();
    const namespace = this.flags.namespace ?? env('TEMPORAL_NAMESPACE') ?? found.namespace ?? (await this.connections())?.temporal?.namespace ?? 'default';
    return { ...found, namespace };
  }

  async database(): Promise<DatabaseSettings | null> {
    if (this.flags.databaseUrl !== undefined) return { url: this.flags.databaseUrl, from: '--database-url' };
    const url = env('DATABASE_URL');
    if (url !== null) return { url, from: 'DATABASE_URL' };
    const reference = (await this.connections())?.database?.url;
    if (reference !== undefined) return { url: await this.resolve(reference), from: this.configPath };
    const dev = await this.dev();
    return dev && { url: dev.databaseUrl, from: 'backout dev' };
  }

  private async findTemporal(): Promise<Omit<TemporalSettings, 'namespace'> & { readonly namespace?: string | undefined }> {
    const around = Object.keys(process.env).some((name) => name.startsWith('TEMPORAL_')) ? await fromEnvironment() : null;
    // TLS and keys of the environment belong to whichever server is named.
    const at = (address: string, from: string, namespace?: string) => ({ options: { ...around?.options, address }, namespace, from });
    if (this.flags.address !== undefined) return at(this.flags.address, '--address');
    if (around && (env('TEMPORAL_ADDRESS') !== null || env('TEMPORAL_PROFILE') !== null))
      return at(around.options.address ?? DEFAULT_ADDRESS, env('TEMPORAL_PROFILE') === null ? 'TEMPORAL_ADDRESS' : 'TEMPORAL_PROFILE', around.namespace);
    const address = (await this.connections())?.temporal?.address;
    if (address !== undefined) return at(address, this.configPath);
    const dev = await this.dev();
    if (dev) return at(dev.temporalAddress, 'backout dev', dev.namespace);
    // The default profile of the ecosystem comes last: it may name production, and nobody has asked for it here.
    const profile = await fromEnvironment();
    return {
      options: { ...profile.options, address: profile.options.address ?? DEFAULT_ADDRESS },
      namespace: profile.namespace,
      from: profile.options.address === undefined ? 'the default' : 'the default profile',
    };
  }

  private dev(): Promise<Dev | null> {
    return (this.running ??= readDev(stateFolder(this.configPath)));
  }

  /** Reading YAML and checking it costs twice a Node: only where the file can say something about connections. */
  private async connections(): Promise<Pick<LoadedConfig['config'], 'temporal' | 'database'> | null> {
    const text = await (this.text ??= this.read());
    return text !== null && /^(?!\s*#).*\b(?:temporal|database)\b/m.test(text) ? ((await this.config())?.config ?? null) : null;
  }

  private async read(): Promise<string | null> {
    try {
      return await readFile(this.configPath, 'utf8');
    } catch (cause) {
      if (!this.named) return null;
      throw new Problem(
        EXIT.usage,
        'configuration',
        `${this.configPath} cannot be read`,
        'correct --config or BACKOUT_CONFIG, or write one with `backout init`',
        {},
        cause,
      );
    }
  }

  private async parse(): Promise<LoadedConfig | null> {
    const text = await (this.text ??= this.read());
    if (text === null) return null;
    const { parseConfig } = await import('../model/config-file.ts');
    return parseConfig(text, this.configPath, dirname(this.configPath));
  }

  private async resolve(reference: string): Promise<string> {
    const rest = reference.slice(reference.indexOf(':') + 1);
    const path = resolve(dirname(this.configPath), rest);
    const value = reference.startsWith('env:')
      ? env(rest)
      : await readFile(path, 'utf8').then(
          (text) => text.trim(),
          () => null,
        );
    if (value !== null && value !== '') return value;
    throw new Problem(
      EXIT.usage,
      'configuration',
      `${this.configPath} says that the address of the database is in ${reference}, and there is nothing`,
      'provide it, or give --database-url or DATABASE_URL',
    );
  }
}

/** The file of the ecosystem's profiles, where it lies unless TEMPORAL_CONFIG_FILE says otherwise. */
function profileFile(): string {
  const home = process.platform === 'darwin' ? join(homedir(), 'Library/Application Support') : join(homedir(), '.config');
  return join((process.platform === 'win32' ? env('APPDATA') : env('XDG_CONFIG_HOME')) ?? home, 'temporalio', 'temporal.toml');
}

/** TLS, API key and profiles by the ecosystem's own rules. Where there can be none, its reader is not loaded: it costs twice a Node. */
async function fromEnvironment(): Promise<{ readonly options: ConnectionOptions; readonly namespace?: string | undefined }> {
  const isPlain = Object.keys(process.env).every((name) => !name.startsWith('TEMPORAL_') || name === 'TEMPORAL_ADDRESS' || name === 'TEMPORAL_NAMESPACE');
  if (isPlain && !existsSync(profileFile()))
    return { options: env('TEMPORAL_ADDRESS') === null ? {} : { address: env('TEMPORAL_ADDRESS') ?? '' }, namespace: env('TEMPORAL_NAMESPACE') ?? undefined };
  const { loadClientConnectConfig } = await import('@temporalio/envconfig');
  try {
    const { connectionOptions, namespace } = loadClientConnectConfig();
    return { options: connectionOptions, namespace };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Problem(
      EXIT.usage,
      'configuration',
      `the Temporal settings of the environment cannot be used: ${reason}`,
      'correct TEMPORAL_PROFILE, TEMPORAL_CONFIG_FILE or the profile file',
      {},
      cause,
    );
  }
}
