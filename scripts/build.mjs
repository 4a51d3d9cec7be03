/** Compiles everything into a fresh dist/, so that a file deleted in the source cannot live on there. */
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, rmSync } from 'node:fs'

rmSync('dist', { recursive: true, force: true })
const { status } = spawnSync('npx', ['--no-install', 'tsc'], { stdio: 'inherit' })
const command = 'dist/src/cli/main.js'
if (existsSync(command)) chmodSync(command, 0o755)
process.exit(status ?? 1)
