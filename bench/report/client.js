/* Draws the charts of the report. Runs in the browser, after Chart.js; the figures are in #figures. */
/* global Chart */
const figures = JSON.parse(document.getElementById('figures').textContent)
const dark = matchMedia('(prefers-color-scheme: dark)')
const LOGARITHMIC_FROM = 20
const charts = []

const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()
const colour = (name, index) =>
  name.startsWith('khelper') && index === 0 ? style('--accent') : style(`--line-${(index % 6) + 1}`)

function spans(values) {
  const positive = values.filter(value => value > 0)
  return Math.max(...positive) / Math.min(...positive) > LOGARITHMIC_FROM ? 'logarithmic' : 'linear'
}

/** On a logarithmic axis 1, 3, 10, 30 and so on are told: more do not fit. */
function roundNumber(value) {
  const mantissa = value / 10 ** Math.floor(Math.log10(value) + 1e-9)
  return Math.abs(mantissa - 1) < 1e-6 || Math.abs(mantissa - 3) < 1e-6 ? value.toLocaleString('en-US') : null
}

const axis = (type, text) => ({
  type,
  title: { display: true, text: type === 'logarithmic' ? `${text}, logarithmic` : text },
  grid: { color: style('--grid') },
  ticks: { maxRotation: 0, autoSkipPadding: 12, ...(type === 'logarithmic' && { callback: roundNumber }) },
  border: { display: false },
})

const category = { grid: { display: false }, border: { display: false } }

/** What Chart.js is given for each kind of figure. */
const configurations = {
  comparison: ({ rows, unit, title }) => ({
    type: 'bar',
    data: {
      labels: rows.map(({ name }) => name),
      datasets: [
        {
          label: title,
          data: rows.map(({ median }) => median),
          backgroundColor: rows.map(({ name }) =>
            style(name === 'khelper' ? '--accent' : name.startsWith('C ') ? '--limit' : '--peer'),
          ),
          maxBarThickness: 22,
        },
      ],
    },
    options: {
      indexAxis: 'y',
      plugins: { legend: { display: false } },
      scales: { x: axis(spans(rows.map(({ median }) => median)), unit), y: category },
    },
  }),
  distribution: ({ lines, unit, percentiles }) => ({
    type: 'bar',
    data: {
      labels: percentiles,
      datasets: lines.map(({ name, values }, index) => ({
        label: name,
        data: values,
        backgroundColor: colour(name, index),
        maxBarThickness: 22,
      })),
    },
    options: { scales: { y: axis(spans(lines.flatMap(({ values }) => values)), unit), x: category } },
  }),
  series: ({ lines, xTitle, yTitle, logarithmic }) => ({
    type: 'line',
    data: {
      datasets: lines.map(({ name, points }, index) => ({
        label: name,
        data: points.map(([x, y]) => ({ x, y })),
        borderColor: colour(name, index),
        backgroundColor: colour(name, index),
        borderWidth: 1.5,
        pointRadius: points.length > 20 ? 0 : 3,
      })),
    },
    options: {
      scales: {
        x: axis(logarithmic ? 'logarithmic' : 'linear', xTitle),
        y: axis(logarithmic ? 'logarithmic' : 'linear', yTitle),
      },
    },
  }),
}

function draw() {
  for (const chart of charts.splice(0)) chart.destroy()
  Chart.defaults.color = style('--text')
  Chart.defaults.font.family = style('--font')
  Chart.defaults.animation = false
  Chart.defaults.maintainAspectRatio = false
  for (const figure of figures) {
    const canvas = document.getElementById(`chart-${figure.id}`)
    if (canvas !== null) charts.push(new Chart(canvas, configurations[figure.kind](figure)))
  }
  document.documentElement.dataset.charts = String(charts.length)
}

dark.addEventListener('change', draw)
draw()
