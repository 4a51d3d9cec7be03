/**
 * The suites by name, in the order in which they run. Each is loaded in its own process only.
 */
import type { Suite } from '../suite.js'

export const SUITES: Readonly<Record<string, () => Promise<{ readonly suite: Suite }>>> = {
  launch: () => import('./launch.js'),
  credentials: () => import('./credentials.js'),
  capture: () => import('./capture.js'),
  stdin: () => import('./stdin.js'),
  dispatch: () => import('./dispatch.js'),
  blocking: () => import('./blocking.js'),
  'event-loop': () => import('./event-loop.js'),
  'drop-in': () => import('./drop-in.js'),
  service: () => import('./service.js'),
  batch: () => import('./batch.js'),
  memory: () => import('./memory.js'),
  startup: () => import('./startup.js'),
  growth: () => import('./growth.js'),
  textsearch: () => import('./textsearch.js'),
}
