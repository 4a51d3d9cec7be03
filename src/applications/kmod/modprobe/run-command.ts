/**
 * Runs commands of `install` and `remove` lines, which are written for a shell and find the module's name in
 * MODPROBE_MODULE.
 */
import { spawn } from 'node:child_process'
import { UMH_WAIT_PROC } from '../../../kernel/constants.js'
import type { Kernel } from '../../../kernel/kernel.js'
import { errnoName } from '../../../libc/errno.js'

const SHELL = '/bin/sh'
const SIGNAL_BITS = 0x7f
const EXIT_SHIFT = 8

/** @returns what went wrong: its exit status, the signal that it died of, or an error's name; `undefined` if nothing did */
export type RunCommand = (command: string, module: string) => Promise<string | undefined>

/** As a child of this process, with its environment and its output. */
export const runByShell: RunCommand = (command, module) =>
  new Promise(resolve => {
    const child = spawn(SHELL, ['-c', command], {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, MODPROBE_MODULE: module },
    })
    child.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    child.once('exit', (status, signal) => resolve(status === 0 ? undefined : String(signal ?? status)))
  })

/**
 * As a helper of the kernel, like the one that runs it: with its environment, and without output.
 * @param attached gives the kernel for the time of one command
 * @param envp the environment of the helper that is asked to run it
 */
export const runAsHelper =
  (attached: () => Promise<Kernel>, envp: readonly string[]): RunCommand =>
  async (command, module) => {
    await using kernel = await attached()
    const environment = [...envp, `MODPROBE_MODULE=${module}`]
    const retval = await kernel.callUsermodehelper(SHELL, [SHELL, '-c', command], environment, UMH_WAIT_PROC)
    if (retval === 0) return undefined
    if (retval < 0) return errnoName(retval)
    const signal = retval & SIGNAL_BITS
    return signal > 0 ? `signal ${signal}` : String(retval >> EXIT_SHIFT)
  }
