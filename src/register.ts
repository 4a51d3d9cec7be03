/**
 * `node --import khelper/register app.js` puts khelper under `node:child_process` for the whole process, whoever
 * imports it, in CommonJS and ESM alike. `KHELPER_DISABLE=1` turns it off.
 */
import { workerData } from 'node:worker_threads'
import { swapEverywhere } from './child-process/swap.js'

/** Threads of a kernel are given the flags of their process, this one included, but start no programs for others. */
const ofAKernel =
  typeof workerData === 'object' &&
  workerData !== null &&
  ['khelper', 'wait_for_helper'].includes(workerData.thread)

if (process.env['KHELPER_DISABLE'] !== '1' && !ofAKernel) swapEverywhere()
