/**
 * The report as a person opens it: in a browser, on a phone and in the dark.
 */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { type Browser, chromium } from 'playwright-core'
import { reportPage } from '../../bench/report/page.js'
import { checkTargets } from '../../bench/targets.js'
import { type Figure, PERCENTILES } from '../../src/cli/bench/figures.js'
import { machine } from '../../src/cli/bench/machine.js'
import { summary } from '../../src/cli/bench/measure.js'

const CHROMIUM = '/usr/bin/chromium'
const BACKGROUND_OFF = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

const HOSTILE = '</script><script>document.title = "taken"</script>'

const FIGURES: readonly Figure[] = [
  {
    kind: 'comparison',
    suite: 'dispatch',
    id: 'dispatch/1/64',
    title: 'No-op calls, 64 in flight',
    unit: '/s',
    better: 'more',
    rows: [
      summary('khelper', [1_000_000]),
      summary(HOSTILE, [90_000]),
      summary('C shared-memory ring', [1e7]),
    ],
  },
  {
    kind: 'distribution',
    suite: 'event-loop',
    id: 'event-loop/50/delay',
    title: 'Delay of the event loop',
    unit: 'ms',
    lines: [
      { name: 'khelper', values: PERCENTILES.map((_, index) => index + 1) },
      { name: 'child_process', values: PERCENTILES.map((_, index) => 100 * (index + 1)) },
    ],
  },
  {
    kind: 'series',
    suite: 'growth',
    id: 'growth/calls',
    title: 'Cost of a call',
    xTitle: 'calls',
    yTitle: 'µs each',
    logarithmic: true,
    lines: [{ name: 'khelper', points: [10, 100, 1000].map(count => [count, 2] as const) }],
  },
]

const html = reportPage({
  machine: machine(),
  date: new Date().toISOString(),
  figures: FIGURES,
  leftOut: [{ what: 'GNU parallel', why: 'it is not installed' }],
  targets: checkTargets(FIGURES),
})

test('of a quick run the page says that it means nothing', () => {
  const quick = {
    machine: machine(),
    date: new Date().toISOString(),
    figures: FIGURES,
    leftOut: [],
    targets: [],
  }
  assert.match(reportPage({ ...quick, quick: true }), /A quick run/)
  assert.doesNotMatch(reportPage(quick), /A quick run/)
})

test('the page needs nothing but itself', () => {
  assert.doesNotMatch(html, /<(link|script|img)[^>]+(src|href)="(?!data:)/)
})

describe('in a browser', { skip: !existsSync(CHROMIUM) && `${CHROMIUM} is not installed` }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'khelper-report-'))
  const file = join(folder, 'report.html')
  let browser: Browser
  before(async () => {
    writeFileSync(file, html)
    browser = await chromium.launch({ executablePath: CHROMIUM, args: BACKGROUND_OFF })
  })
  after(async () => {
    await browser.close()
    rmSync(folder, { recursive: true, force: true })
  })

  for (const [situation, width, colorScheme] of [
    ['on a desk', 1280, 'light'],
    ['on a phone', 360, 'light'],
    ['on a phone, in the dark', 360, 'dark'],
  ] as const) {
    test(`${situation}: every chart is drawn, nothing is wider than the screen, no error`, async () => {
      const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme })
      const errors: string[] = []
      page.on('pageerror', error => errors.push(String(error)))
      page.on('console', message => message.type() === 'error' && errors.push(message.text()))
      await page.goto(pathToFileURL(file).href)
      await page.waitForSelector(`html[data-charts="${FIGURES.length}"]`)
      assert.deepEqual(errors, [])
      assert.equal(await page.title(), 'khelper: benchmarks')
      const { drawn, scrollWidth, background } = await page.evaluate<{
        drawn: boolean[]
        scrollWidth: number
        background: string
      }>(`({
        drawn: [...document.querySelectorAll('canvas')].map(canvas =>
          canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)),
        scrollWidth: document.documentElement.scrollWidth,
        background: getComputedStyle(document.body).backgroundColor,
      })`)
      assert.deepEqual(
        drawn,
        FIGURES.map(() => true),
      )
      assert.ok(scrollWidth <= width, `${scrollWidth} on ${width}`)
      const [red = 0] = background.match(/\d+/g)?.map(Number) ?? []
      assert.equal(red < 128, colorScheme === 'dark')
      assert.ok((await page.textContent('body'))?.includes('GNU parallel: it is not installed'))
      await page.close()
    })
  }
})
