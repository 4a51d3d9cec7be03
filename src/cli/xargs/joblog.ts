/**
 * The joblog: one line for each finished command, in GNU parallel's columns.
 *
 * Each line is one write(2) to a file opened for appending, made when the command has ended: what is in the file
 * survives a crash of khelper. A crash in the middle of a write leaves a line without its end, which is cut
 * off when the log is opened again. The file is flushed to the disk at the end; a power failure before
 * that may cost the last lines, whose commands `--resume` then runs again.
 */
import {
  closeSync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  writeSync,
} from 'node:fs'
import { constants } from 'node:os'
import { quoteCommand } from '../shell-quote.js'
import { fileProblem, UsageError } from '../usage-error.js'

const HEADER = 'Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand'
const COLUMNS = HEADER.split('\t').length
const LOCAL = ':'

/** What became of a command. */
export interface JobResult {
  readonly sequence: number
  readonly command: readonly string[]
  /** Milliseconds since 1970. */
  readonly started: number
  /** Milliseconds. */
  readonly duration: number
  readonly exitCode: number | null
  readonly signalCode: NodeJS.Signals | null
}

export class Joblog {
  readonly #path: string
  readonly #fd: number
  /** Command lines that have finished before, by their number. */
  readonly #finished = new Map<number, string>()

  /**
   * @param resume goes on with a log that is there; without it a log that is there is an error
   * @throws UsageError for a file that cannot be opened, or is no joblog
   */
  constructor(path: string, resume: boolean) {
    this.#path = path
    try {
      this.#fd = openSync(path, 'a+')
    } catch (error) {
      throw new UsageError(`--joblog ${path}: ${fileProblem(error)}`)
    }
    try {
      this.#open(resume)
    } catch (error) {
      closeSync(this.#fd)
      throw error
    }
  }

  #open(resume: boolean): void {
    const text = readFileSync(this.#fd, 'utf8')
    if (text !== '' && !resume) {
      throw new UsageError(`--joblog ${this.#path}: exists; go on with it by --resume, or remove it`)
    }
    const complete = text.slice(0, text.lastIndexOf('\n') + 1)
    if (complete.length < text.length) ftruncateSync(this.#fd, Buffer.byteLength(complete))
    if (complete === '') writeSync(this.#fd, `${HEADER}\n`)
    else this.#read(complete)
  }

  #read(text: string): void {
    const [header, ...lines] = text.split('\n')
    if (header !== HEADER) throw new UsageError(`--joblog ${this.#path}: line 1 is not a joblog's header`)
    for (const [index, line] of lines.entries()) {
      if (line === '') continue
      const columns = line.split('\t')
      const sequence = Number(columns[0])
      if (columns.length < COLUMNS || !Number.isInteger(sequence) || sequence < 1) {
        throw new UsageError(`--joblog ${this.#path}: line ${index + 2} is not a job's`)
      }
      this.#finished.set(sequence, columns.slice(COLUMNS - 1).join('\t'))
    }
  }

  /**
   * Whether a command has finished before.
   * @throws UsageError if the log has another command under its number: the input has changed
   */
  hasFinished(sequence: number, command: readonly string[]): boolean {
    const before = this.#finished.get(sequence)
    if (before === undefined) return false
    const now = quoteCommand(command)
    if (before === now) return true
    throw new UsageError(
      `--resume: command ${sequence} was "${before}" in ${this.#path}, and is "${now}" now; ` +
        'resume with the same command and input, or start a new joblog',
    )
  }

  /** @throws UsageError if the line cannot be written */
  append({ sequence, command, started, duration, exitCode, signalCode }: JobResult): void {
    const signal = signalCode === null ? 0 : (constants.signals[signalCode] ?? 0)
    const columns = [
      sequence,
      LOCAL,
      (started / 1000).toFixed(3),
      (duration / 1000).toFixed(3),
      0,
      0,
      exitCode ?? 0,
      signal,
      quoteCommand(command),
    ]
    const line = Buffer.from(`${columns.join('\t')}\n`)
    const before = fstatSync(this.#fd).size
    try {
      if (writeSync(this.#fd, line) === line.byteLength) return
    } catch (error) {
      throw new UsageError(`--joblog ${this.#path}: ${fileProblem(error)}`)
    }
    // The disk is full: half a line is worse than none.
    ftruncateSync(this.#fd, before)
    throw new UsageError(`--joblog ${this.#path}: No space left on device`)
  }

  close(): void {
    try {
      fdatasyncSync(this.#fd)
    } catch {
      // A pipe or a terminal has no disk to flush to.
    }
    closeSync(this.#fd)
  }
}
