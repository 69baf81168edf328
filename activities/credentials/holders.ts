/** One line per holder of credentials, in the order of the alphabet. */
export { envFile } from './env-file.ts';
