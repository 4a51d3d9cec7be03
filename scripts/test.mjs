/**
 * Runs the compiled tests with Node's own runner: all of them, or those whose path contains an argument.
 *
 *   npm test                      everything
 *   npm test -- completion        test files with "completion" in their path
 */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'

const wanted = process.argv.slice(2)
const files = readdirSync('dist/test', { recursive: true })
  .filter(name => name.endsWith('.test.js'))
  .map(name => join('dist/test', name))
  .filter(file => wanted.length === 0 || wanted.some(part => file.includes(part)))
  .sort()

if (files.length === 0) {
  console.error(`no test file matches: ${wanted.join(' ')}`)
  process.exit(1)
}

const { status } = spawnSync(
  process.execPath,
  [
    '--enable-source-maps',
    '--test',
    '--test-timeout=300000',
    // Node's default leaves one processor to itself, where it does next to nothing.
    `--test-concurrency=${availableParallelism()}`,
    ...files,
  ],
  { stdio: 'inherit' },
)
process.exit(status ?? 1)
