/**
 * How a helper gets into a real group before its program runs with the launcher child_process: a shell writes itself into the group's `cgroup.procs` and
 * then becomes the program, so that the pid stays and nothing of the program ever runs outside the group.
 *
 * The program is looked for before. What the shell cannot do it tells by making a file, so that no exit status of the
 * program can be taken for it.
 */
import { randomUUID } from 'node:crypto'
import {
  accessSync,
  closeSync,
  constants,
  openSync,
  readdirSync,
  readSync,
  statSync,
  unlinkSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { checkArgv, checkString } from '../../kernel/call-spec.js'
import { SystemError, wrongType, wrongValue } from '../../kernel/errors.js'
import { Folder } from '../../kernel/folder.js'
import { findProgram } from '../../kernel/path-search.js'
import type { RunOptions } from '../../kernel/run/types.js'
import { temporaryPlace } from '../../kernel/safe-places.js'
import { makeServiceFolder, removeLeftFolders, removeListed } from '../../kernel/service-folders.js'
import { errno, errnoOf } from '../../libc/errno.js'

/** Its exit status where the group cannot be entered. */
export const CANNOT_ENTER = 125
/** Where the program is none that can be executed, and where there is none. */
export const CANNOT_EXECUTE = 126
export const NOT_FOUND = 127

/**
 * Arguments: the file to be made, the entrances, --, variables that a shell sets itself and that were given, --, the
 * program and its arguments. All but one variable are positional: others could be in the program's environment.
 */
const SCRIPT = `khelper_failed=$1
shift
trap 'set -C; : > "$khelper_failed"' EXIT
case \${BASH_VERSION-} in ?*) shopt -s execfail 2> /dev/null;; esac
while [ "$1" != -- ]; do
  { echo 0 > "$1"; } 2> /dev/null || exit ${CANNOT_ENTER}
  shift
done
shift
unset PWD OLDPWD SHLVL
while [ "$1" != -- ]; do
  export "$1"
  shift
done
shift
exec "$@"
exit $?`

const SHELL_PATH = '/bin:/usr/bin:/usr/local/bin'
/** As kernel.run has it where the environment has no PATH. */
const DEFAULT_PATH = '/bin:/usr/bin'
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/
const OF_THE_SHELL: ReadonlySet<string> = new Set(['PWD', 'OLDPWD', 'SHLVL'])
const BINFMT_MISC = '/proc/sys/fs/binfmt_misc'

/** What kernel.run is given instead. */
export interface Launch {
  readonly file: string
  readonly args: readonly string[]
  readonly options: RunOptions
  /** The error number for which the program will not be executed, if that is known already. */
  readonly refused: number | undefined
  /** @returns whether the shell could not do its part; asked once, when it has ended */
  failed(): boolean
}

/**
 * @param entrances the files of the group that the helper writes itself into
 * @throws for what cannot be had in a real group
 */
export function launchInto(
  entrances: readonly string[],
  file: string,
  args: readonly string[],
  options: RunOptions,
): Launch {
  if (options.argv0 !== undefined) {
    throw wrongValue(
      'options.argv0',
      'cannot be given to a helper in a real group with the launcher child_process: a shell becomes the helper',
    )
  }
  checkString(file, 'file')
  if (file === '') throw wrongValue('file', 'must not be empty')
  checkArgv(args)
  const environment = entriesOf(options.env)
  const found = locate(file, environment, options.cwd)
  const refused = typeof found === 'number' ? found : undefined
  const [shell, ...flags] = shellFor(environment)
  const marker = join(folderOfMarkers(), randomUUID())
  const kept = environment.filter(entry => OF_THE_SHELL.has(nameOf(entry)))
  // The shell looks in the same PATH, and lets the program see its name as it was given.
  const named =
    !file.startsWith('-') && (file.includes('/') || environment.some(entry => entry.startsWith('PATH=')))
  const program = named ? file : `${found}`
  const script =
    refused === undefined
      ? [SCRIPT, 'sh', marker, ...entrances, '--', ...kept, '--', program, ...args]
      : [`exit ${NOT_FOUND}`]
  return {
    file: shell,
    args: [...flags, '-c', ...script],
    options,
    refused,
    failed: () => refused !== undefined || taken(marker),
  }
}

let markers: string | undefined
process.on('exit', () => {
  if (markers !== undefined) removeListed(markers)
})

/**
 * Others see the arguments of a shell. In a folder for temporary files they could make its file, and a helper that has
 * entered its group would be taken for one that has not.
 */
function folderOfMarkers(): string {
  if (markers !== undefined && isThere(markers)) return markers
  const place = temporaryPlace()
  if (markers === undefined) removeLeftFolders(place, 'cgroup')
  markers = makeServiceFolder(place, 'cgroup')
  return markers
}

/** It may have been cleaned up, and another's have come to its path. */
function isThere(folder: string): boolean {
  try {
    Folder.open(folder).close()
    return true
  } catch {
    return false
  }
}

/** @returns whether the file was there */
function taken(marker: string): boolean {
  try {
    unlinkSync(marker)
    return true
  } catch {
    return false
  }
}

const nameOf = (entry: string): string => entry.slice(0, Math.max(entry.indexOf('='), 0))

/** As `KEY=value`; what cannot be an environment kernel.run refuses. */
function entriesOf(env: RunOptions['env']): string[] {
  if (typeof env === 'object' && env !== null && Symbol.iterator in env) {
    return [...env].filter(entry => typeof entry === 'string')
  }
  return Object.entries(env ?? process.env).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${value}`],
  )
}

/** dash drops variables that it could not name itself; bash hands them on. */
function shellFor(environment: readonly string[]): readonly [string, ...string[]] {
  const odd = environment.map(nameOf).filter(name => !VARIABLE.test(name))
  if (odd.length === 0) return ['/bin/sh']
  const bash = findProgram('bash', SHELL_PATH, undefined)
  if (typeof bash === 'string') return [bash, '--posix']
  throw new SystemError(
    'EOPNOTSUPP',
    `without bash no shell can hand on environment variables of such names: ${odd.join(', ')}; leave them out of options.env`,
    { syscall: 'execve' },
  )
}

/** @returns where the program is, or the error number with which execve(2) would fail */
function locate(file: string, environment: readonly string[], cwd: RunOptions['cwd']): string | number {
  const folder = cwd instanceof URL ? fileURLToPath(cwd) : cwd
  if (folder !== undefined && typeof folder !== 'string')
    throw wrongType('options.cwd', 'of type string', cwd)
  const path = environment.find(entry => entry.startsWith('PATH='))?.slice('PATH='.length)
  const program = file.includes('/')
    ? resolve(folder ?? '.', file)
    : findProgram(file, path ?? DEFAULT_PATH, folder)
  if (typeof program === 'number') return program
  try {
    accessSync(program, constants.X_OK)
    if (!statSync(program).isFile()) return errno('EACCES')
  } catch (error) {
    return errnoOf(error, 'ENOENT')
  }
  return hasFormat(program) ? program : errno('ENOEXEC')
}

/** A shell would take anything else for a script of its own. */
function hasFormat(program: string): boolean {
  const head = Buffer.alloc(4)
  try {
    const fd = openSync(program, 'r')
    try {
      readSync(fd, head)
    } finally {
      closeSync(fd)
    }
  } catch {
    // It may be executed and not read.
    return true
  }
  return head.toString('latin1') === '\x7fELF' || head.toString('latin1', 0, 2) === '#!' || otherFormats()
}

function otherFormats(): boolean {
  try {
    return readdirSync(BINFMT_MISC).some(name => name !== 'register' && name !== 'status')
  } catch {
    return false
  }
}
