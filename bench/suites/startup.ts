/**
 * How long a process takes that has just started.
 */
import { SUBJECT } from '../../src/cli/bench/figures.js'
import { CHILD_PROCESS } from '../../src/cli/bench/launchers.js'
import { summary } from '../../src/cli/bench/measure.js'
import { probe } from '../probes/index.js'
import type { Suite } from '../suite.js'

const ROUNDS = { full: 15, quick: 2 }

export const suite: Suite = {
  title: 'startup',
  async run({ quick, add }) {
    const found = await probe(['first-helper', 'first-child', 'import'], ROUNDS[quick ? 'quick' : 'full'])
    add({
      kind: 'comparison',
      suite: 'startup',
      id: 'startup/first',
      title: 'From boot() to the exit of the first helper; from spawn() to the exit of the first child',
      unit: 'ms',
      better: 'less',
      rows: [summary(SUBJECT, found['first-helper']), summary(CHILD_PROCESS, found['first-child'])],
    })
    add({
      kind: 'comparison',
      suite: 'startup',
      id: 'startup/import',
      title: 'Importing khelper',
      unit: 'ms',
      better: 'less',
      rows: [summary(SUBJECT, found.import)],
    })
  },
}
