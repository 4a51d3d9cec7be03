/**
 * Compiles everything into a fresh dist/, so that a file deleted in the source cannot live on there; then puts the
 * package's entries and its threads into one file each, with what the entries share beside them: a thread that reads
 * one file instead of thirty comes up in two thirds of the time and holds less.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { build } from 'esbuild'

const ENTRIES = [
  'src/index.ts',
  'src/linux.ts',
  'src/atomics-sync/index.ts',
  'src/child-process.ts',
  'src/register.ts',
  'src/cli/main.ts',
  'src/explore/index.ts',
  ...readdirSync('src/applications', { recursive: true })
    .filter(name => /^[^/]+\/index\.ts$/.test(name))
    .map(name => `src/applications/${name}`),
]
/** What is loaded by its path: threads, in-thread helpers, modules. Each is whole by itself. */
const ALONE = ['workers', 'src/modules'].flatMap(folder =>
  existsSync(folder) ? readdirSync(folder).map(name => `${folder}/${name}`) : [],
)
const COMMAND = 'dist/src/cli/main.js'
/** As deep as the sources that they are made of, which name the threads' files relative to their own. */
const CHUNKS = 'src/chunks'

rmSync('dist', { recursive: true, force: true })
const { status } = spawnSync('npx', ['--no-install', 'tsc'], { stdio: 'inherit' })
if (status !== 0) process.exit(status ?? 1)

const common = {
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  packages: 'external',
  outdir: 'dist',
  outbase: '.',
  allowOverwrite: true,
  sourcemap: true,
  sourcesContent: false,
  logLevel: 'warning',
}
await build({ ...common, entryPoints: ENTRIES, splitting: true, chunkNames: `${CHUNKS}/[name]-[hash]` })
await build({ ...common, entryPoints: ALONE })

const naming = readdirSync(`dist/${CHUNKS}`).filter(name =>
  readFileSync(`dist/${CHUNKS}/${name}`, 'utf8').includes('../../workers/khelper.js'),
)
if (naming.filter(name => name.endsWith('.js')).length !== 1) {
  throw new Error(`the threads are to be started from dist/${CHUNKS} and nowhere else`)
}
chmodSync(COMMAND, 0o755)
