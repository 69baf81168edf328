/** The report as one HTML file that needs nothing else: no script, no request, to be read at night, on a telephone, or on paper. */
import { piecesOf, table, type Block, type Line, type MomentRow, type Piece } from './document.ts';
import { asIs, html, textOf, theirs, type Html } from './html.ts';
import { STYLE } from './page-style.ts';
import { timeBars } from './page-time.ts';
import type { Report } from './report.ts';
import { factRows, notClosed, outcomeOf, outcomeTone, sectionsOf, titleOf } from './sections.ts';

/** Should anything foreign ever get past the escaping, the browser still runs and fetches nothing. */
export const POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

export function pageOf(report: Report): string {
  const sections = sectionsOf(report);
  const page = html`<!doctype html>
    <html lang="en" dir="ltr">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${asIs(POLICY)}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta name="referrer" content="no-referrer" />
        <meta name="robots" content="noindex" />
        <title>${titleOf(report)}</title>
        <style>
          ${asIs(STYLE)}
        </style>
      </head>
      <body>
        <header>
          <span class="badge ${outcomeTone(report)}">${outcomeOf(report)}</span>
          <h1>${headline(report)}</h1>
          <div class="faint">${subtitle(report)}</div>
          ${notClosed(report).map(block)}
        </header>
        <main>
          ${story(report)} ${timeBars(report)}
          <nav aria-label="Sections">
            <ul>
              ${sections.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>`)}
            </ul>
          </nav>
          <section id="facts">
            <h2>In figures</h2>
            ${block(table(['', ''], factRows(report)))}
          </section>
          ${sections.map(
            ({ id, title, blocks }) =>
              html`<section id="${id}">
                <h2>${title}</h2>
                ${blocks.map(block)}
              </section> `,
          )}
        </main>
        <footer>Made ${report.madeAt} by <code>backout report</code>. Names are what people said of themselves, unless it says how they are known.</footer>
      </body>
    </html> `;
  return dense(page);
}

/** The indentation of the source is no part of the page: what is foreign has no line breaks in it. */
export const dense = (page: Html): string => textOf(page).replaceAll(/\n\s+/g, '\n');

/** The outcome stands before it. */
const headline = (report: Report): Html => theirs(titleOf(report).slice(0, -`: ${outcomeOf(report)}`.length));

function subtitle({ environment, incident, startedAt, id }: Report): Html {
  const parts = [incident.number === null ? '' : `Incident ${incident.number}`, incident.severity ?? '', environment, startedAt.slice(0, 10)].filter(
    (one) => one !== '',
  );
  return html`${parts.map((one) => html`${theirs(one)} · `)}<code>${id}</code>`;
}

function story({ inShort: { happened, decided, proven, remains }, followUps, waiting, clock }: Report): Html {
  const lines = (all: readonly string[]): Html =>
    html`<ul>
      ${all.map((one) => html`<li>${prose(one)}</li>`)}
    </ul>`;
  const isClear = followUps.length === 0 && waiting.length === 0 && !clock.breached;
  return html`<div class="story">
    <section>
      <h2>What happened</h2>
      ${happened.map((one) => html`<p>${prose(one)}</p>`)}
    </section>
    <section>
      <h2>Who decided</h2>
      ${lines(decided)}
    </section>
    <section>
      <h2>What was proven</h2>
      ${lines(proven)}
    </section>
    <section class="${isClear ? 'clear' : ''}">
      <h2>What remains</h2>
      ${lines(remains)}
    </section>
  </div>`;
}

/** A number stays with its unit. */
const prose = (text: string): Html => theirs(text.replaceAll(/(?<=\d) (?=(?:s|min|h|d|UTC)\b)/g, '\u00A0'));

function piece(one: Piece): Html {
  if (typeof one === 'string') return one === '' ? html`` : theirs(one);
  if ('code' in one) return html`<code>${theirs(one.code)}</code>`;
  if ('strong' in one) return html`<strong>${theirs(one.strong)}</strong>`;
  if ('em' in one) return html`<em>${theirs(one.em)}</em>`;
  return html`<span class="tone ${one.tone}">${theirs(one.text)}</span>`;
}

const line = (of: Line): Html => html`${piecesOf(of).map(piece)}`;

function block(one: Block): Html {
  switch (one.kind) {
    case 'text':
      return html`<p>${line(one.line)}</p>`;
    case 'quote':
      return html`<blockquote><p>${line(one.line)}</p></blockquote>`;
    case 'heading':
      return html`<h3>${line(one.text)}</h3>`;
    case 'list':
      return html`<ul>
        ${one.items.map((item) => html`<li>${line(item)}</li>`)}
      </ul>`;
    case 'table':
      return one.titles.every((title) => title === '') ? pairs(one.rows) : rows(one.titles, one.rows);
    case 'moments':
      return html`<ol class="moments">
        ${one.rows.map(moment)}
      </ol>`;
    case 'commands':
    default:
      return html`<pre>${one.lines.map((command) => html`<code>${command}</code>`)}</pre>`;
  }
}

const moment = ({ at, after, who, what, mark }: MomentRow): Html =>
  html`<li class="${mark}">
    <time>${at}</time><span class="after">${after}</span>
    <div><b>${theirs(who)}</b> ${theirs(what)}</div>
  </li>`;

/** Names and values. */
const pairs = (all: readonly (readonly Line[])[]): Html =>
  html`<table class="pairs">
    <tbody>
      ${all.map(
        ([name = '', ...values]) =>
          html`<tr>
            <th scope="row">${line(name)}</th>
            ${values.map((value) => html`<td>${line(value)}</td>`)}
          </tr>`,
      )}
    </tbody>
  </table>`;

const lengthOf = (of: Line): number => piecesOf(of).reduce((sum, one) => sum + (typeof one === 'string' ? one : Object.values(one).join('')).length, 0);

/** A column gets the room its longest value needs. */
const roomFor = (longest: number): string => (longest > 60 ? 'wide' : longest > 22 ? 'mid' : 'tight');

function rows(titles: readonly string[], all: readonly (readonly Line[])[]): Html {
  const rooms = titles.map((_, column) => roomFor(Math.max(0, ...all.map((row) => lengthOf(row[column] ?? '')))));
  return html`<table>
    <thead>
      <tr>
        ${titles.map((title) => html`<th scope="col">${title}</th>`)}
      </tr>
    </thead>
    <tbody>
      ${all.map(
        (row) =>
          html`<tr>
            ${row.map((cell, column) => html`<td class="${rooms[column] ?? ''}" data-title="${titles[column] ?? ''}">${line(cell)}</td>`)}
          </tr>`,
      )}
    </tbody>
  </table>`;
}
