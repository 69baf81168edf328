/** How a certificate looks: a sheet of A4 on paper, the same on a screen, lines instead of columns where there is no room. */
export const CERTIFICATE_STYLE = `
:root {
  color-scheme: light dark;
  --desk: #eef0f2; --paper: #fff; --ink: #1b1f24; --faint: #5d6672; --line: #d9dde2; --rule: #1f4e79;
  --good: #1a7f37; --warn: #8a5300; --bad: #b3261e; --bad-soft: #fdeceb;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --desk: #0e1013; --paper: #171b20; --ink: #e2e6ea; --faint: #9aa4b1; --line: #323943; --rule: #7fb2e5;
    --good: #6fce86; --warn: #e8b04a; --bad: #ff9a94; --bad-soft: #3a1b1a;
  }
}
* { box-sizing: border-box; margin: 0; padding: 0; }
html { -webkit-text-size-adjust: 100%; background: var(--desk); }
body {
  max-width: 210mm; margin: 2rem auto; padding: 14mm 16mm 12mm; background: var(--paper); color: var(--ink);
  border-top: 4px solid var(--rule); box-shadow: 0 1px 4px rgb(0 0 0 / .18);
  font: 14px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; overflow-wrap: anywhere;
}
body.status { border-top-color: var(--bad); }
.house { font-weight: 650; }
.title { color: var(--rule); font-size: .8125rem; font-weight: 650; letter-spacing: .09em; text-transform: uppercase; }
.house + .title { margin-top: 1.1rem; }
.status .title { color: var(--bad); }
h1 { margin: .15rem 0 .6rem; font-size: 2rem; line-height: 1.15; font-weight: 650; }
h2 { margin: 1.5rem 0 .35rem; font-size: .9375rem; font-weight: 650; break-after: avoid; }
.statement { max-width: 38rem; }
.banner { padding: .7rem 1rem; background: var(--bad-soft); border-left: 4px solid var(--bad); }
.banner b { color: var(--bad); font-size: 1.125rem; }
.faint, small, dt, th { color: var(--faint); }
.facts { display: grid; grid-template-columns: repeat(4, auto); justify-content: space-between; gap: .6rem 1.5rem; margin-top: 1.1rem; padding: .7rem 0; border: solid var(--line); border-width: 1px 0; }
.facts dt { font-size: .75rem; }
.facts dd { font-weight: 550; }
.facts ul { display: flex; flex-wrap: wrap; gap: 0 1rem; list-style: none; }
.facts .faint, .facts small { display: block; font-size: .75rem; font-weight: 400; }
table { width: 100%; border-collapse: collapse; font-size: .875rem; line-height: 1.4; }
thead { display: table-header-group; }
th { padding: .25rem .75rem .25rem 0; font-size: .75rem; font-weight: 550; text-align: left; border-bottom: 1px solid var(--ink); }
td { padding: .35rem .75rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th:last-child, td:last-child { padding-right: 0; }
tr { break-inside: avoid; }
td:first-child { width: 29%; }
.removed td:nth-child(2) { width: 17%; }
.removed td:nth-child(3) { width: 18%; }
section:not(:has(.removed)) td:last-child { width: 24%; }
td b { font-weight: 600; }
td small, td time { display: block; font-size: .75rem; }
td time { color: var(--faint); font-variant-numeric: tabular-nums; white-space: nowrap; }
.how i { float: left; width: 1.3em; color: var(--good); font-style: normal; font-weight: 700; }
.how span { display: block; margin-left: 1.3em; }
.how .said { color: var(--warn); } .how .partly { color: var(--faint); }
.notes { margin-top: 1.1rem; padding-left: 1.1rem; font-size: .875rem; }
footer { margin-top: 1.6rem; padding-top: .2rem; border-top: 1px solid var(--line); font-size: .8125rem; break-inside: avoid; }
footer h2 { margin-top: .7rem; }
footer dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .5rem 0; }
code { font: .9em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
@media screen and (max-width: 44rem) {
  body { margin: 0; padding: 1.25rem 1rem; box-shadow: none; }
  h1 { font-size: 1.6rem; }
  .facts { grid-template-columns: 1fr; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table, tbody, tr, td { display: block; }
  tr { padding: .6rem 0; border-bottom: 1px solid var(--line); }
  td, td:first-child, .removed td:nth-child(n), section:not(:has(.removed)) td:last-child { width: auto; padding: .1rem 0; border: 0; }
  td[data-title] { display: grid; grid-template-columns: 8.5rem 1fr; }
  td[data-title]::before { content: attr(data-title); color: var(--faint); font-size: .8125rem; }
  td[data-title] time { grid-column: 2; }
  td.how { grid-template-columns: 8.5rem 1.3em 1fr; }
  .how i { float: none; } .how span { margin: 0; }
  footer dl { grid-template-columns: 1fr; }
}
@media print {
  html { background: none; font-size: 13px; }
  body { max-width: none; margin: 0; padding: 4mm 0 0; border-top-width: 3pt; box-shadow: none; font-size: 9.5pt; line-height: 1.4; }
  h2 { margin-top: 1.1rem; }
  td { padding-top: .22rem; padding-bottom: .22rem; }
  footer { margin-top: 1rem; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
@page { size: A4; margin: 13mm 16mm; }
`;
