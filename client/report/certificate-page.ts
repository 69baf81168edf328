/** The certificate as one HTML file that needs nothing else: for a client, on paper or on a screen. */
import { CERTIFICATE_STYLE } from './certificate-style.ts';
import type { Certificate, LeftItem, RemovedItem, Standing } from './certificate.ts';
import { asIs, html, theirs, type Html } from './html.ts';
import { dense, POLICY } from './page.ts';

export function certificatePage(one: Certificate): string {
  const page = html`<!doctype html>
    <html lang="en" dir="ltr">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${asIs(POLICY)}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta name="referrer" content="no-referrer" />
        <meta name="robots" content="noindex" />
        <title>${one.title}: ${one.tenant}</title>
        <style>
          ${asIs(CERTIFICATE_STYLE)}
        </style>
      </head>
      <body class="${one.isCertificate ? 'certificate' : 'status'}">
        <main>
          <header>
            ${one.house === null ? null : html`<p class="house">${theirs(one.house)}</p>`}
            <p class="title">${one.title}</p>
            <h1>${theirs(one.tenant)}</h1>
            ${one.isCertificate ? html`<p class="statement">${one.statement}</p>` : banner(one)}
          </header>
          ${facts(one)} ${one.left.length === 0 ? null : owned('What is left', one.left, 'left')}
          ${one.removed.length === 0 ? null : removed(one.isCertificate ? 'What was removed' : 'What was removed so far', one.removed)}
          ${one.notRemovable.length === 0 ? null : owned(one.isCertificate ? 'What could not be removed' : 'What cannot be removed', one.notRemovable, 'kept')}
          ${
            one.notes.length === 0
              ? null
              : html`<ul class="notes">
                  ${one.notes.map((note) => html`<li>${theirs(note)}</li>`)}
                </ul>`
          }
        </main>
        ${proof(one)}
      </body>
    </html> `;
  return dense(page);
}

const WORD: Readonly<Record<Exclude<Standing, 'complete'>, string>> = {
  open: 'Not finished',
  partial: 'Ended partial',
  failed: 'Failed',
  refused: 'Refused',
  unproven: 'Not shown',
};

const banner = ({ standing, statement }: Certificate): Html =>
  html`<div class="banner" role="note">
    <b>${standing === 'complete' ? '' : WORD[standing]}</b>
    <p>${statement}</p>
  </div>`;

const MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December'];
/** `21 November 2026`: no reader takes the day for the month. */
const day = (iso: string): string => `${Number(iso.slice(8, 10))} ${MONTHS[Number(iso.slice(5, 7)) - 1] ?? ''} ${iso.slice(0, 4)}`;
const clock = (iso: string): string => `${iso.slice(11, 16)} UTC`;
const moment = (iso: string): Html => html`<time datetime="${iso}">${day(iso)} <small>${clock(iso)}</small></time>`;
const shortMoment = (iso: string): Html => html`<time>${iso.slice(0, 10)} ${iso.slice(11, 16)}</time>`;

function facts(one: Certificate): Html {
  const fact = (name: string, value: Html): Html =>
    html`<div>
      <dt>${name}</dt>
      <dd>${value}</dd>
    </div>`;
  const requests = one.requests.map(
    ({ id, status }) => html`<li>${theirs(id)}${status === null ? null : html` <span class="faint">${status.toLowerCase().replaceAll('_', ' ')}</span>`}</li>`,
  );
  return html`<dl class="facts">
    ${one.completedAt === null ? fact('As of', moment(one.madeAt)) : fact('Completed', moment(one.completedAt))}
    ${one.completionConfirmedBy === null ? null : fact('Completion confirmed by', theirs(one.completionConfirmedBy))}
    ${one.lookedAt === null ? null : fact('Looked at again, nothing left', moment(one.lookedAt))}
    ${
      one.requests.length === 0
        ? null
        : fact(
            one.requests.length === 1 ? 'Provisioning request' : 'Provisioning requests',
            html`<ul>
              ${requests}
            </ul>`,
          )
    }
  </dl>`;
}

/** What the mark before it says without colour too: seen, or taken on somebody's word. */
const mark = ({ known }: RemovedItem): Html =>
  known === 'said' ? html`<i class="said">○</i>` : known === 'configuration' ? html`<i class="partly">◐</i>` : html`<i>✓</i>`;

const item = ({ kind, name, id }: Pick<LeftItem, 'kind' | 'name' | 'id'>): Html =>
  name === ''
    ? html`<b>${kind}</b>`
    : html`<small>${kind}</small><b>${theirs(name)}</b>${id === null ? null : html` <span class="faint">${theirs(id)}</span>`}`;

const removed = (title: string, all: readonly RemovedItem[]): Html =>
  html`<section>
    <h2>${title}</h2>
    <table class="removed">
      <thead>
        <tr>
          <th scope="col">Item</th>
          <th scope="col">What was done</th>
          <th scope="col">Confirmed by</th>
          <th scope="col">How it is known</th>
        </tr>
      </thead>
      <tbody>
        ${all.map(
          (one) =>
            html`<tr>
              <td>${item(one)}</td>
              <td data-title="What was done">${one.done}</td>
              <td data-title="Confirmed by">${one.confirmedBy === null ? '–' : theirs(one.confirmedBy)}${one.at === null ? null : shortMoment(one.at)}</td>
              <td data-title="How it is known" class="how">
                ${mark(one)}<span>${theirs(one.how)}${one.rollbackId === null ? null : html` <small>by rollback ${one.rollbackId}</small>`}</span>
              </td>
            </tr>`,
        )}
      </tbody>
    </table>
  </section>`;

const owned = (title: string, all: readonly LeftItem[], name: string): Html =>
  html`<section class="${name}">
    <h2>${title}</h2>
    <table>
      <thead>
        <tr>
          <th scope="col">Item</th>
          <th scope="col">Why</th>
          <th scope="col">Who owns it</th>
        </tr>
      </thead>
      <tbody>
        ${all.map(
          (one) =>
            html`<tr>
              <td>${item(one)}</td>
              <td data-title="Why">${one.why}</td>
              <td data-title="Who owns it">${theirs(one.owner)}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </section>`;

const proof = (one: Certificate): Html =>
  html`<footer>
    <h2>How this can be checked</h2>
    <p>
      The record of this rollback is append-only: each entry holds the hash of the one before it. With the two values below, whoever issued this page can show
      the record behind every line.
    </p>
    <dl>
      <dt>Rollback</dt>
      <dd><code>${one.rollbackId}</code></dd>
      <dt>${one.record.entry === null ? 'Record' : `Record, entry ${one.record.entry}`}</dt>
      <dd><code>${one.record.head ?? 'unknown'}</code></dd>
    </dl>
    <p class="faint">
      Issued ${day(one.madeAt)}, ${clock(one.madeAt)}. Names are as the people themselves gave them. Times are UTC. ✓ seen, ◐ done in the tenant’s
      configuration, ○ on a person’s word.
    </p>
  </footer>`;
