/** How the page looks: one column that can be read at night and on paper, tables that become lists where there is no room for them. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --paper: #fff; --panel: #f5f6f8; --ink: #1c2024; --faint: #5b6470; --line: #dcdfe4;
  --good: #1a7f37; --warn: #8a5300; --bad: #c1121f; --calm: #5b6470;
  --good-soft: #e3f4e7; --warn-soft: #fdf0d5; --bad-soft: #fde7e9; --calm-soft: #eceef1;
  --machine: #2563a8; --people: #d08a1d;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #14171b; --panel: #1c2026; --ink: #dfe3e8; --faint: #9aa4b1; --line: #30363f;
    --good: #6fce86; --warn: #e8b04a; --bad: #ff8a8f; --calm: #9aa4b1;
    --good-soft: #16301d; --warn-soft: #352812; --bad-soft: #3d1a1d; --calm-soft: #262b33;
    --machine: #6aa9ea; --people: #e0a548;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-padding-top: 1rem; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  overflow-wrap: anywhere;
}
main, header, footer { max-width: 74rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2rem; }
h1 { margin: .5rem 0 .25rem; font-size: 1.75rem; line-height: 1.25; font-weight: 650; text-wrap: balance; }
h2 { margin: 2.75rem 0 .75rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); font-size: 1.25rem; line-height: 1.3; }
h3 { margin: 1.5rem 0 .5rem; font-size: 1rem; }
p { margin: .5rem 0; max-width: 52rem; }
code { font: .875em/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; background: var(--calm-soft); padding: .08em .3em; border-radius: .25em; }
pre { margin: .5rem 0; padding: .75rem 1rem; background: var(--panel); border: 1px solid var(--line); border-radius: .5rem; white-space: pre-wrap; }
pre code { display: block; background: none; padding: 0; }
blockquote { margin: 1rem 0; padding: .6rem 1rem; border-left: .3rem solid var(--warn); background: var(--warn-soft); border-radius: .25rem; }
blockquote p { margin: 0; }
ul { margin: .5rem 0; padding-left: 1.25rem; }
li { margin: .25rem 0; }
a { color: inherit; }
.faint { color: var(--faint); }
.tone { font-weight: 600; white-space: nowrap; }
.good { color: var(--good); } .warn { color: var(--warn); } .bad { color: var(--bad); } .calm { color: var(--calm); }
.badge { display: inline-block; padding: .2rem .7rem; border-radius: 1rem; font-weight: 650; letter-spacing: .01em; }
.badge.good { background: var(--good-soft); } .badge.warn { background: var(--warn-soft); } .badge.bad { background: var(--bad-soft); } .badge.calm { background: var(--calm-soft); }
nav ul { display: flex; flex-wrap: wrap; gap: .15rem .9rem; margin: 1.5rem 0 0; padding: 0; list-style: none; font-size: .875rem; }
nav li { margin: 0; }
nav a { color: var(--faint); }
.story { display: grid; gap: 1rem; grid-template-columns: repeat(2, minmax(0, 1fr)); margin-top: 1.5rem; }
.story section { padding: 1rem 1.25rem; background: var(--panel); border: 1px solid var(--line); border-radius: .6rem; }
.story section:first-child { grid-column: 1 / -1; }
.story section:last-child { grid-column: 1 / -1; border-left: .3rem solid var(--warn); }
.story section.clear:last-child { border-left-color: var(--good); }
.story h2 { margin: 0 0 .4rem; padding: 0; border: 0; font-size: 1rem; }
.story ul { margin: 0; padding-left: 1.1rem; }
.story p { margin: 0 0 .4rem; max-width: none; }
.times { margin-top: 1.5rem; }
.times figure { margin: 0 0 1rem; }
.times figcaption { display: flex; flex-wrap: wrap; gap: .2rem 1.25rem; margin-bottom: .35rem; font-size: .9375rem; }
.times svg { display: block; width: 100%; height: 1.5rem; border-radius: .35rem; }
.key::before { content: ""; display: inline-block; width: .75em; height: .75em; margin-right: .4em; border-radius: .15em; background: currentColor; }
.key b { color: var(--ink); font-weight: 600; }
.key.machine { color: var(--machine); } .key.people { color: var(--people); } .key.left { color: var(--line); }
.bar-back { fill: var(--calm-soft); } .bar-machine { fill: var(--machine); } .bar-people { fill: var(--people); } .bar-late { fill: var(--bad); } .bar-mark { fill: var(--ink); }
table { width: 100%; margin: .5rem 0 1rem; border-collapse: collapse; font-size: .9375rem; }
th, td { padding: .45rem .75rem .45rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { color: var(--faint); font-size: .8125rem; font-weight: 600; white-space: nowrap; }
td { min-width: 4.5rem; }
td.tight { white-space: nowrap; }
td.mid { min-width: 11rem; }
td.wide { min-width: 14rem; }
.pairs th { width: 13rem; font-size: .9375rem; font-weight: 500; }
.moments { margin: .75rem 0 0; padding: 0; list-style: none; border-left: 2px solid var(--line); }
.moments li { position: relative; display: grid; grid-template-columns: max-content 6rem minmax(0, 1fr); gap: 0 1rem; margin: 0; padding: .3rem 0 .3rem 1.1rem; }
.moments li::before { content: ""; position: absolute; left: -.42rem; top: .72rem; width: .7rem; height: .7rem; border-radius: 50%; background: var(--machine); border: 2px solid var(--paper); }
.moments li.person::before { background: var(--people); }
.moments li.trouble::before { background: var(--bad); border-radius: .1rem; }
.moments time, .after { color: var(--faint); font-size: .875rem; line-height: 1.7; font-variant-numeric: tabular-nums; white-space: nowrap; }
.moments b { font-weight: 600; }
footer { margin-top: 3rem; padding-bottom: 3rem; color: var(--faint); font-size: .875rem; }
@media (max-width: 44rem) {
  main, header, footer { padding-left: 1rem; padding-right: 1rem; }
  h1 { font-size: 1.4rem; }
  .story { grid-template-columns: minmax(0, 1fr); }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table, tbody, tr, td, .pairs th { display: block; width: auto; min-width: 0; }
  tr { padding: .6rem 0; border-bottom: 1px solid var(--line); }
  td, td.mid, td.wide, td.tight, .pairs th { padding: .1rem 0; border: 0; min-width: 0; white-space: normal; }
  td[data-title]:not([data-title=""])::before { content: attr(data-title); display: block; color: var(--faint); font-size: .8125rem; }
  td:empty { display: none; }
  .moments li { grid-template-columns: max-content minmax(0, 1fr); padding-bottom: .5rem; }
  .moments li div { grid-column: 1 / -1; }
}
@media print {
  :root { color-scheme: light; }
  body { font-size: 10.5pt; }
  main, header, footer { max-width: none; padding: 0; }
  nav { display: none; }
  h2, h3 { break-after: avoid; }
  tr, .moments li, .story section, figure { break-inside: avoid; }
  thead { display: table-header-group; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
@page { margin: 16mm 14mm; }
`;
