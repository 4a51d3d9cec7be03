/**
 * A service that uses execa as it is: execa-service.js MEGABYTES COUNT prints how many programs it ran a second.
 * With `--import khelper/register` khelper is under it.
 */
import { execa } from 'execa'
import { growTo } from '../../src/cli/bench/ballast.js'
import { contender } from '../../src/cli/bench/in-flight.js'
import { TRUE } from '../../src/cli/bench/launchers.js'

const IN_FLIGHT = 8
const MS_PER_SECOND = 1_000

const [megabytes = '0', count = '1'] = process.argv.slice(2)
growTo(Number(megabytes))
const calls = contender('execa', IN_FLIGHT, serial => execa(TRUE, [serial]))
await calls.run(IN_FLIGHT)
const start = performance.now()
await calls.run(Number(count))
process.stdout.write(String((Number(count) * MS_PER_SECOND) / (performance.now() - start)))
