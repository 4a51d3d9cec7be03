/**
 * Runs commands of `install` and `remove` lines, which are written for a shell and find the module's name in
 * MODPROBE_MODULE.
 *
 * A command may run modprobe, and that one the same command again, without an end. So each command also finds in its
 * environment which ones it is run by.
 */
import { spawn } from 'node:child_process'
import { UMH_WAIT_PROC } from '../../../kernel/constants.js'
import type { Kernel } from '../../../kernel/kernel.js'
import { errnoName } from '../../../libc/errno.js'
import { exitStatus, signalName, terminationSignal } from '../../../libc/wait-status.js'

const SHELL = '/bin/sh'

/** The commands that are under way, the outermost first: `install:NAME` or `remove:NAME`, with a blank between. */
const UNDER_WAY = 'KHELPER_MODPROBE_COMMANDS'

/** A command of the configuration. */
interface ModuleCommand {
  /** What the shell is given. */
  readonly line: string
  readonly module: string
  /** It and those that it is run by. */
  readonly underWay: readonly string[]
}

/** @returns what went wrong: its exit status, the signal that it died of, or an error's name; `undefined` if nothing did */
export type RunCommand = (command: ModuleCommand) => Promise<string | undefined>

/** The commands that a process is run by. */
export const commandsUnderWay = (environment: NodeJS.ProcessEnv): readonly string[] =>
  (environment[UNDER_WAY] ?? '').split(' ').filter(command => command !== '')

const variablesOf = ({ module, underWay }: ModuleCommand) => ({
  MODPROBE_MODULE: module,
  [UNDER_WAY]: underWay.join(' '),
})

/** As a child of this process, with its environment and its output. */
export const runByShell: RunCommand = command =>
  new Promise(resolve => {
    const child = spawn(SHELL, ['-c', command.line], {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, ...variablesOf(command) },
    })
    child.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    child.once('exit', (status, signal) => resolve(status === 0 ? undefined : String(signal ?? status)))
  })

/**
 * As a helper of the kernel, like the one that runs it: with its environment, in the root folder, and without output.
 * @param attached gives the kernel for the time of one command
 * @param envp the environment of the helper that is asked to run it
 */
export const runAsHelper =
  (attached: () => Promise<Kernel>, envp: readonly string[]): RunCommand =>
  async command => {
    await using kernel = await attached()
    const variables = Object.entries(variablesOf(command)).map(([name, value]) => `${name}=${value}`)
    // Linux starts modprobe, and so its commands, in the root folder: `./x` is none of wherever the service is.
    const argv = [SHELL, '-c', `cd /\n${command.line}`]
    const retval = await kernel.callUsermodehelper(SHELL, argv, [...envp, ...variables], UMH_WAIT_PROC)
    if (retval === 0) return undefined
    if (retval < 0) return errnoName(retval)
    const signal = terminationSignal(retval)
    return signal > 0 ? signalName(signal) : String(exitStatus(retval))
  }
