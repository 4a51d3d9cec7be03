/**
 * Builds the exec step (native/exec-step.c) for every architecture, into src/exec/exec-step-images.ts, which is committed:
 * who installs khelper needs no compiler.
 *
 *   node scripts/exec-step.mjs            builds it anew
 *   node scripts/exec-step.mjs --check    says whether what is committed is what this source gives
 *   node scripts/exec-step.mjs --out DIR  writes the programs as files, to be run by hand
 *
 * One compiler for all of them, Debian's clang: of one version, it gives the same bytes everywhere.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const SOURCE = 'native/exec-step.c'
const IMAGES = 'src/exec/exec-step-images.ts'
const VERSION = 19
const TARGETS = {
  x64: ['x86_64'],
  arm64: ['aarch64'],
  riscv64: ['riscv64', '-march=rv64gc', '-mno-relax'],
  loong64: ['loongarch64', '-msimd=none'],
}
const COMPILER_FLAGS = [
  '-Oz',
  '-std=c11',
  '-Wall',
  '-Wextra',
  '-Werror',
  '-ffreestanding',
  '-fno-builtin',
  '-fno-ident',
  '-fno-pic',
  '-fno-stack-protector',
  '-fno-unwind-tables',
  '-fno-asynchronous-unwind-tables',
]
/** One segment, readable and executable, and nothing else in the file. */
const LINKER_FLAGS = [
  '-nostdlib',
  '-static',
  `-fuse-ld=lld-${VERSION}`,
  `-Wl,${[
    '--build-id=none',
    '--gc-sections',
    '--nmagic',
    '--no-rosegment',
    '--strip-all',
    ...['noexecstack', 'norelro', 'noseparate-code'].flatMap(keyword => ['-z', keyword]),
  ].join(',')}`,
]

function run(command, args) {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit' })
  if (error !== undefined) {
    console.error(
      `${command}: ${error.message}; install clang-${VERSION}, lld-${VERSION} and llvm-${VERSION}`,
    )
  }
  if (status !== 0) process.exit(status ?? 1)
}

function build(folder) {
  return Object.entries(TARGETS).map(([arch, [machine, ...flags]]) => {
    const file = join(folder, `exec-step-${arch}`)
    const target = `--target=${machine}-linux-gnu`
    run(`clang-${VERSION}`, [target, ...flags, ...COMPILER_FLAGS, ...LINKER_FLAGS, '-o', file, SOURCE])
    run(`llvm-objcopy-${VERSION}`, ['--strip-sections', file])
    return [arch, readFileSync(file)]
  })
}

const text = images => `/**
 * The exec step (native/exec-step.c) as a program for each architecture, in base64. Made by scripts/exec-step.mjs; CI
 * builds it anew and compares.
 */
export const EXEC_STEP_IMAGES: Readonly<Record<string, string>> = {
${images.map(([arch, bytes]) => `  ${arch}: '${bytes.toString('base64')}',`).join('\n')}
}
`

const [option, out] = process.argv.slice(2)
const folder = option === '--out' ? out : mkdtempSync(join(tmpdir(), 'khelper-exec-step-'))
mkdirSync(folder, { recursive: true })
try {
  const images = build(folder)
  for (const [arch, { byteLength }] of images) console.log(`${arch}: ${byteLength} bytes`)
  if (option === undefined) writeFileSync(IMAGES, text(images))
  if (option === '--check' && readFileSync(IMAGES, 'utf8') !== text(images)) {
    console.error(`${IMAGES} is not what ${SOURCE} gives; node scripts/exec-step.mjs builds it anew`)
    process.exitCode = 1
  }
} finally {
  if (option !== '--out') rmSync(folder, { recursive: true, force: true })
}
