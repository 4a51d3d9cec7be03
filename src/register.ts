/**
 * `node --import khelper/register app.js` puts khelper under `node:child_process` for the whole process, whoever
 * imports it, in CommonJS and ESM alike. `KHELPER_DISABLE=1` turns it off.
 */
import { swapEverywhere } from './child-process/swap.js'

if (process.env['KHELPER_DISABLE'] !== '1') swapEverywhere()
