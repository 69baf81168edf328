/** What can go wrong with a step, whether trying again helps by itself, and what a person should do. One row a type. */
import type { Failure } from './state.ts';

const FAILURES = {
  PlatformUnavailable: [true, 'see whether the platform is up; then decide retry, which inspects before it applies anything'],
  ResultUnknown: [true, 'look at the platform: only it knows what became of the call; then decide retry, which inspects first'],
  Unauthorized: [false, 'renew the credential the worker uses for this platform, then decide retry'],
  NotFound: [false, 'check name and version on the platform and in backout.yaml, then decide retry, or close and start with another target'],
  Conflict: [false, 'find out who else is changing this component, settle it, then decide retry'],
  Configuration: [false, 'mend backout.yaml on the worker, then decide retry'],
  UnexpectedResponse: [false, 'the platform answered in a way Backout does not know; act by hand (`backout now COMPONENT --print`), then decide done'],
  PlatformFailed: [false, 'read what the platform says, mend the cause, then decide retry (in a deployRevert with the analysis)'],
  NotAtTarget: [false, 'the platform reported success and did nothing; act by hand (`backout now COMPONENT --print`), then decide done'],
  NotRemoved: [true, 'see what holds it; then decide retry, or remove it by hand and decide done, or skip to document that it remains'],
  RouteAnswers: [true, 'see which workflow still serves the path (deactivate it first), then decide retry; or skip to document that it remains'],
  SomethingLeft: [true, 'remove it, or have the Canonical Object list it and start once more; then decide retry, which looks again'],
  Protected: [false, 'nothing was changed, and nothing may be: correct what lists it, or leave it out by skip'],
  HalfMoved: [false, 'some parts moved and some did not; see what remains, mend the cause, then decide retry'],
  Drifted: [false, 'somebody changed the component after it was put back; find out who, then decide retry'],
  DeadlinePassed: [false, 'the time target is over and nothing was changed by this attempt; decide retry to go on late, or close'],
  ClaimLost: [false, 'this rollback no longer holds its component: see who does (`backout list`), and close this one'],
  ConfigurationChanged: [false, 'look at what changed in backout.yaml; decide retry to go on with the new configuration'],
  SmokeFailed: [false, 'read the output; if the target itself is bad, close and start with an older target'],
  Unhealthy: [false, 'look at the service; if the target itself is bad, close and start with an older target'],
  ServedVersionDiffers: [false, 'find what stands between the platform and the user (cache, second instance, wrong alias), then decide retry'],
  RecordUnavailable: [true, 'see that Postgres is up; then decide retry'],
  PlanStale: [false, 'look at the plan again and confirm its target'],
  Held: [false, 'confirm the step takeover: take-over, or wait'],
  FreezeLifted: [false, 'find out who lifted it and why; decide retry to freeze it again'],
  GateFailed: [
    false,
    'read the output; mend the cause and decide retry, or skip: as a known baseline blocker with link and proof, or as an accepted risk with a due date',
  ],
  GateInconclusive: [true, 'it could not tell; decide retry, or skip as an accepted risk with a due date'],
  GateError: [false, 'it did not run; mend its command in backout.yaml, then decide retry'],
  InvariantViolated: [false, 'see which rows violate it and mend them; then decide retry, which checks again: nobody can accept this as risk'],
  ChainBroken: [false, 'preserve the table as it is, find out who has written to it, and tell the Security Lead; then decide retry, which verifies again'],
  MoreDestroyed: [false, 'look at what would be lost now, and confirm the step anew'],
  MoreRestored: [false, 'look at what would be put back now, and confirm the step anew'],
  RowsBlocked: [
    false,
    'see what refuses them: a row they refer to, a value that is taken, a trigger; mend that and decide retry, or skip with a due date and put them back by hand',
  ],
  CannotGoBack: [false, 'read why; mend it and decide retry, or close it and start again with --recover DATABASE=backup, a time, or by-hand'],
  CredentialRejected: [false, 'see which one is in place, and why the new one does not work; then decide retry'],
  StillUsed: [false, 'give the new one to who still uses the old one and decide retry; or retry with an analysis, to revoke it all the same'],
  NotScoped: [false, 'see at its authority what is alive, what that is allowed, and who holds it; then decide retry'],
  RevokedCredential: [false, 'choose a target that does not carry it, or build it anew; then decide retry'],
  ParityDiffers: [false, 'see which operation differs; if the target itself is bad, close and start with an older one'],
  Undelivered: [true, 'see whether the channel is up, then decide retry; or tell them by hand and decide done, with a link as evidence'],
  ReviewFailed: [false, 'see what git says of the repository, then decide retry'],
  Declined: [false, 'decide: retry asks again after the checks, close ends it'],
} as const;
export type FailureType = keyof typeof FAILURES;

/** `remedy`: what helps in this very case, where its type cannot know. */
export const failure = (type: FailureType, message: string, remedy: string = FAILURES[type][1]): Failure => ({
  type,
  message,
  retryable: FAILURES[type][0],
  remedy,
});

/** A person's no to what was asked. */
export const declinedBy = ({ by, step, reason }: { readonly by: string; readonly step: string; readonly reason: string }): Failure =>
  failure('Declined', `${by} declined ${step}: ${reason}`);
