/**
 * The orderly end of a service: orderly_poweroff and orderly_reboot as in Linux 6.17, kernel/reboot.c, where the machine
 * is the service's process.
 *
 *   drain       no more helpers start; up to 5 s, and no longer than the deadline, until no caller is inside exec
 *   command     kernel.poweroff_cmd, which runs although helpers are disabled; waited for until its exec. If that fails
 *               or is not over within the deadline: with force the emergency end, else helpers can start again, and the
 *               service goes on
 *   listeners   one after the other, highest priority first, all within the deadline
 *   shutdown    of the kernel, which its applications hear of
 *   exit        code 0, or that for a reboot
 *
 * One such end runs at a time and the first that gets beyond its command is the last: the process goes with it.
 */
import { writeSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'
import { UMH_WAIT_EXEC } from '../../kernel/constants.js'
import { outOfRange, SystemError, unsupported, wrongType } from '../../kernel/errors.js'
import { isFromRoot, POWEROFF } from '../../kernel/helper-programs.js'
import type { Kernel } from '../../kernel/kernel.js'
import { readSysctl } from '../../kernel/proc/sysctls.js'
import { type ErrnoName, errnoName } from '../../libc/errno.js'
import { perKernel } from '../per-kernel.js'
import {
  type RebootAction,
  type RebootListener,
  type RebootNotifierOptions,
  RebootNotifiers,
} from './notifiers.js'
import { checkOptions, type RebootOptions } from './options.js'
import { beginEnd } from './process-end.js'
import { SignalHandlers } from './signals.js'
import { startWatchdog } from './watchdog.js'
import { OrderedWorkqueue, WorkItem } from './work-item.js'

const ENVP = ['HOME=/', 'PATH=/sbin:/bin:/usr/sbin:/usr/bin']
const COMMANDS = { poweroff: 'kernel/poweroff_cmd', reboot: 'khelper/reboot_cmd' } as const
/** What callers inside exec have at most, as in `usermodehelperDisable`; and the kernel's shutdown. */
const DRAIN_MS = 5_000
const SHUTDOWN_MS = 5_000
/** Longest wait that both setTimeout and Atomics.wait take. */
const LONGEST_MS = 2 ** 31 - 1

export class Reboot {
  readonly #kernel: Kernel
  readonly #notifiers = new RebootNotifiers()
  readonly #works: Readonly<Record<RebootAction, WorkItem<SystemError>>>
  readonly #signals: SignalHandlers
  #options = checkOptions({})
  /** Once set, it stays. */
  #force = false
  #ending = false
  #protecting = false

  /** @internal See `reboot`. */
  constructor(kernel: Kernel) {
    if (!isMainThread) throw unsupported('only the main thread can end the service: call reboot() there')
    this.#kernel = kernel
    const workqueue = new OrderedWorkqueue()
    this.#works = {
      poweroff: new WorkItem(workqueue, () => this.#run('poweroff', this.#force)),
      reboot: new WorkItem(workqueue, () => this.#run('reboot', true)),
    }
    this.#signals = new SignalHandlers(
      () => void this.orderlyPoweroff(true),
      signal => this.emergency(signal),
    )
    // Somebody else has shut the kernel down: the signals are Node's again. While this room does it, a second one forces.
    kernel.onShutdown(() => {
      if (!this.#ending) this.#signals.removeAll()
    })
  }

  /** @internal See `reboot`. */
  configure(options: RebootOptions): void {
    this.#options = checkOptions(options, this.#options)
  }

  /**
   * Ends the service in order (orderly_poweroff). Calls that come before it has begun are one.
   * @param force if the command cannot be started, end at once instead of going on. Once `true` it is so for every
   *   later call, too
   * @returns resolves only if nothing comes of it, with what stood in the way, and the service goes on
   */
  orderlyPoweroff(force = false): Promise<SystemError> {
    if (typeof force !== 'boolean') throw wrongType('force', 'of type boolean', force)
    if (force) this.#force = true
    return this.#works.poweroff.schedule()
  }

  /**
   * Ends the service in order, with the exit code that makes its supervisor start it again (orderly_reboot). If the
   * command cannot be started, it ends at once.
   */
  orderlyReboot(): void {
    void this.#works.reboot.schedule()
  }

  /**
   * Has a function called when the service is about to end.
   * @returns takes it back
   */
  registerRebootNotifier(listener: RebootListener, options: RebootNotifierOptions = {}): () => void {
    return this.#notifiers.register(listener, options)
  }

  /**
   * Something that is dangerous to go on with: ends in order, and by force after a time (hw_protection_shutdown). Only
   * the first call of this and of `hwProtectionReboot` proceeds.
   * @param reason is told as a warning
   * @param msUntilForced milliseconds; 0: never by force
   * @returns whether this call was the first
   */
  hwProtectionShutdown(reason: string, msUntilForced: number): boolean {
    return this.#protect('poweroff', reason, msUntilForced)
  }

  /** The same, with the exit code for a reboot (hw_protection_reboot). */
  hwProtectionReboot(reason: string, msUntilForced: number): boolean {
    return this.#protect('reboot', reason, msUntilForced)
  }

  /**
   * Ends the process at once: nobody gets a turn but the process's `exit` listeners, and if those do not end within
   * the deadline the process is killed.
   * @param exitCode default: the option `emergencyExitCode`
   */
  emergency(exitCode: number = this.#options.emergencyExitCode): never {
    if (!Number.isInteger(exitCode) || exitCode < 0 || exitCode > 255) {
      throw outOfRange('exitCode', 'an integer from 0 to 255', exitCode)
    }
    startWatchdog(this.#options.deadline)
    return process.exit(exitCode)
  }

  /**
   * Has signals end the service in order, by force if need be; a second one ends it at once, with 128 and the signal's
   * number as the exit code.
   * @param signals default: SIGTERM and SIGINT
   * @returns gives the signals back to Node
   */
  onSignals(signals: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT']): () => void {
    return this.#signals.add(signals)
  }

  #protect(action: RebootAction, reason: string, msUntilForced: number): boolean {
    if (typeof reason !== 'string') throw wrongType('reason', 'of type string', reason)
    if (!Number.isInteger(msUntilForced) || msUntilForced < 0 || msUntilForced > LONGEST_MS) {
      throw outOfRange('msUntilForced', `an integer from 0 to ${LONGEST_MS}`, msUntilForced)
    }
    if (this.#protecting) return false
    this.#protecting = true
    process.emitWarning(`protection ${action}: ${reason}`, { code: 'KHELPER_PROTECTION' })
    if (msUntilForced > 0) {
      setTimeout(() => this.emergency(this.#exitCodeOfForce(action)), msUntilForced).unref()
      startWatchdog(Math.min(LONGEST_MS, msUntilForced + this.#options.deadline))
    }
    if (action === 'poweroff') void this.orderlyPoweroff(true)
    else this.orderlyReboot()
    return true
  }

  #exitCodeOfForce(action: RebootAction): number {
    return action === 'reboot' ? this.#options.rebootExitCode : this.#options.emergencyExitCode
  }

  /** The work: gives what stood in the way of the command, or ends the process. */
  async #run(action: RebootAction, force: boolean): Promise<SystemError> {
    const { deadline, rebootExitCode } = this.#options
    const ended = beginEnd()
    // Each step has the deadline or less: whoever is still at them after that and the deadline once more hangs.
    const stopWatchdog = startWatchdog(Math.min(LONGEST_MS, DRAIN_MS + 3 * deadline + SHUTDOWN_MS))
    // Holds the event loop open: a process that ends by itself meanwhile would end with another code.
    const open = setInterval(() => {}, LONGEST_MS)
    const enableHelpers = await this.#kernel.drain(Math.min(DRAIN_MS, deadline))
    const failed = await this.#runCommand(action, enableHelpers !== undefined, deadline)
    if (failed !== undefined) {
      if (force) {
        tellNow(`${failed.message}; ending at once`)
        return this.emergency(this.#exitCodeOfForce(action))
      }
      enableHelpers?.()
      clearInterval(open)
      stopWatchdog()
      void ended()
      return failed
    }
    this.#ending = true
    await this.#notifiers.call(action, deadline)
    await within(SHUTDOWN_MS, this.#kernel.shutdown())
    // Others have watchdogs of their own.
    stopWatchdog()
    await ended()
    return this.emergency(action === 'reboot' ? rebootExitCode : 0)
  }

  /**
   * @param disabled whether it is run although helpers are disabled
   * @param deadline milliseconds until its exec has to be over
   * @returns what stood in the way
   */
  async #runCommand(
    action: RebootAction,
    disabled: boolean,
    deadline: number,
  ): Promise<SystemError | undefined> {
    const name = COMMANDS[action]
    const command = readSysctl(this.#kernel, name)
    const argv = command.split(/[\t-\r ]+/).filter(word => word !== '')
    const [path] = argv
    if (path === undefined || !isFromRoot(path)) return notStarted('EINVAL', name, command)
    // It does nothing, for which no helper is needed that would have to find a descriptor and a khelper.
    if (path === POWEROFF) return undefined
    try {
      const { retval, aborted } = await this.#kernel.runAtEnd(
        path,
        argv.slice(1),
        {
          argv0: path,
          env: ENVP,
          wait: UMH_WAIT_EXEC,
          signal: AbortSignal.timeout(deadline),
          reject: false,
        },
        disabled,
      )
      if (aborted) return notStarted('ETIMEDOUT', name, path)
      if (retval === 0) return undefined
      return notStarted(errnoName(retval) as ErrnoName, name, path)
    } catch (cause) {
      return notStarted('ECANCELED', name, path, cause)
    }
  }
}

/** On standard error and at once: a warning would come too late. */
function tellNow(text: string): void {
  try {
    writeSync(process.stderr.fd, `khelper: ${text}\n`)
  } catch {
    // Nobody listens there.
  }
}

const notStarted = (code: ErrnoName, name: string, path: string, cause?: unknown) =>
  new SystemError(code, `${name} could not be started: '${path}'`, { syscall: 'execve', path, cause })

/** Waits for a promise, however it ends, but not longer than a time. */
async function within(milliseconds: number, promise: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const over = new Promise<void>(resolve => {
    timer = setTimeout(resolve, milliseconds)
  })
  await Promise.race([promise.catch(() => {}), over])
  clearTimeout(timer)
}

const states = perKernel(kernel => new Reboot(kernel))

/**
 * A kernel's orderly end; only on the main thread.
 * @param options stay as they are where none are given
 */
export function reboot(kernel: Kernel, options: RebootOptions = {}): Reboot {
  const state = states(kernel)
  state.configure(options)
  return state
}
