/** Where a step of an incident acts. */
import type { LoadedConfig } from '../../model/config-file.ts';
import type { EnvironmentConfig } from '../../model/config.ts';
import { NotPossible } from '../components.ts';
import type { Attempt, Dependencies } from '../dependencies.ts';
import type { IncidentWork, StepWork } from '../step.ts';

export interface Scene {
  readonly work: StepWork;
  readonly incident: IncidentWork;
  readonly loaded: LoadedConfig;
  readonly environment: EnvironmentConfig;
  readonly deps: Dependencies;
  readonly attempt: Attempt;
}

export function environmentOf(loaded: LoadedConfig, name: string): EnvironmentConfig {
  const found = Object.hasOwn(loaded.config.environments, name) ? loaded.config.environments[name] : undefined;
  if (found) return found;
  throw new NotPossible('unknown-environment', `there is no environment ${JSON.stringify(name)} in ${loaded.file}`);
}
