/** Where a step of an incident acts. */
import type { LoadedConfig } from '../../model/config-file.ts';
import type { EnvironmentConfig } from '../../model/config.ts';
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
