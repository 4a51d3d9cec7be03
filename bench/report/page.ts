/**
 * A report as one HTML page that needs nothing else: figures as charts and as tables.
 */
import { readFileSync } from 'node:fs'
import { type Comparison, type Figure, PERCENTILES, ratio } from '../../src/cli/bench/figures.js'
import { machineLine } from '../../src/cli/bench/machine.js'
import { percentileName, readable, spread, times } from '../../src/cli/bench/table.js'
import type { CheckedTarget } from '../targets.js'
import type { Report } from './report.js'

/** The client and the style sheet stay where their sources are. */
const HERE = new URL('../../../bench/report/', import.meta.url)
const ROW_PX = 34
const AXIS_PX = 70
const TALL_PX = 280

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
const escaped = (text: string): string => text.replace(/[&<>"]/g, character => ENTITIES[character] ?? '')
/** JSON within a script element: nothing in it may close the element. */
const embedded = (value: unknown): string => JSON.stringify(value).replaceAll('<', '\\u003c')

export function reportPage({ machine, date, quick, figures, leftOut, targets }: Report): string {
  const read = (name: string): string => readFileSync(new URL(name, HERE), 'utf8')
  const chartJs = readFileSync(new URL('chart.umd.min.js', import.meta.resolve('chart.js')), 'utf8')
  const suites = [...new Set(figures.map(({ suite }) => suite))]
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>khelper: benchmarks</title>
<link rel="icon" href="data:,">
<style>${read('page.css')}</style>
</head>
<body>
<header>
<h1>khelper, its peers and the limit</h1>
<p>${escaped(machineLine(machine))}. ${escaped(date.slice(0, 10))}.</p>
<p>Contenders took turns within one run. Figures are medians with half the distance of the quartiles; a ratio
says how many times as good khelper is as the other.</p>
${quick ? '<p><strong>A quick run: it shows that everything runs, and has too few samples to mean anything.</strong></p>\n' : ''}<nav>${suites.map(suite => `<a href="#${suite}">${escaped(suite)}</a>`).join(' ')}</nav>
</header>
<main>
${targets.length > 0 ? targetsSection(targets) : ''}
${suites.map(suite => section(suite, figures)).join('\n')}
${leftOut.length > 0 ? `<section><h2>Left out</h2><ul>${leftOut.map(({ what, why }) => `<li>${escaped(what)}: ${escaped(why)}</li>`).join('')}</ul></section>` : ''}
</main>
<script type="application/json" id="figures">${embedded(figures.map(withPercentiles))}</script>
<script>${chartJs.replaceAll('</script', '<\\/script')}</script>
<script type="module">${read('client.js')}</script>
</body>
</html>
`
}

const withPercentiles = (figure: Figure): unknown =>
  figure.kind === 'distribution' ? { ...figure, percentiles: PERCENTILES.map(percentileName) } : figure

function targetsSection(targets: readonly CheckedTarget[]): string {
  const rows = targets.map(
    ({ text, goal, reached, met, missedBy }) =>
      `<tr><th scope="row">${escaped(text)}</th><td>${goal}</td><td>${reached}</td><td class="${met ? 'met' : 'missed'}">${met ? 'reached' : `missed by ${Math.ceil(missedBy)} %`}</td></tr>`,
  )
  return `<section id="targets"><h2>Targets</h2><div class="scroll"><table><thead><tr><th scope="col">what</th><th scope="col">goal</th><th scope="col">here</th><th></th></tr></thead><tbody>${rows.join('')}</tbody></table></div></section>`
}

const section = (suite: string, figures: readonly Figure[]): string =>
  `<section id="${suite}"><h2>${escaped(suite)}</h2>${figures
    .filter(figure => figure.suite === suite)
    .map(article)
    .join('\n')}</section>`

function article(figure: Figure): string {
  const alone = figure.kind === 'comparison' && figure.rows.length === 1
  const height = figure.kind === 'comparison' ? figure.rows.length * ROW_PX + AXIS_PX : TALL_PX
  const chart = `<div class="chart" style="height:${height}px"><canvas id="chart-${figure.id}" role="img" aria-label="${escaped(figure.title)}"></canvas></div>`
  const note =
    figure.kind === 'comparison' && figure.note !== undefined ? `<p>${escaped(figure.note)}</p>` : ''
  return `<article><h3>${escaped(figure.title)}</h3>${alone ? '' : chart}<div class="scroll">${figureTable(figure)}</div>${note}</article>`
}

function figureTable(figure: Figure): string {
  switch (figure.kind) {
    case 'comparison':
      return `<table><tbody>${figure.rows.map(row => comparisonRow(figure, row)).join('')}</tbody></table>`
    case 'distribution':
      return `<table><thead><tr><th></th>${PERCENTILES.map(percentile => `<th scope="col">${percentileName(percentile)}</th>`).join('')}</tr></thead><tbody>${figure.lines
        .map(
          ({ name, values }) =>
            `<tr><th scope="row">${escaped(name)}</th>${values.map(value => `<td>${readable(value)} ${figure.unit}</td>`).join('')}</tr>`,
        )
        .join('')}</tbody></table>`
    case 'series':
      return ''
  }
}

function comparisonRow(figure: Comparison, row: Comparison['rows'][number]): string {
  const factor = ratio(figure, row)
  return `<tr><th scope="row">${escaped(row.name)}</th><td>${readable(row.median)} ${figure.unit}</td><td>${spread(row)}</td><td>${factor === undefined ? '' : times(factor)}</td></tr>`
}
