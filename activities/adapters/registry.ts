/** One line per platform, in the order of the alphabet. */
export { githubActions } from './github-actions.ts';
export { releases } from './releases.ts';
